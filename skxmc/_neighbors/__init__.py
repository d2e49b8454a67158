"""Nearest neighbours of vectors and of sparse rows."""

from skxmc._neighbors._clusters import KeyClusters, map_nearest_others
from skxmc._neighbors._dense import NeighborIndex, index_bytes
from skxmc._neighbors._exact import largest_norm, normalize_rows, search_exact
from skxmc._neighbors._sparse import SparseNeighborIndex, StoredColumns

__all__ = [
    "KeyClusters",
    "NeighborIndex",
    "SparseNeighborIndex",
    "StoredColumns",
    "index_bytes",
    "largest_norm",
    "map_nearest_others",
    "normalize_rows",
    "search_exact",
]
