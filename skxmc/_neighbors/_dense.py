"""Vectors that are searched, exactly or approximately."""

import copy
from typing import Any

import numpy as np

from skxmc._blocks import row_blocks, searched_rows
from skxmc._neighbors import _faiss
from skxmc._neighbors._clusters import cluster_keys
from skxmc._neighbors._exact import (
    largest_norm,
    normalize_rows,
    raise_pairs,
    score_pairs,
    search_exact,
)
from skxmc._nn import keys_on, panels_of, products_are_steady
from skxmc._stored import StoredRows

# Above so many keys, "auto" searches approximately. By cosine, clusters save little
# time with half as many.
_MAX_EXACT_KEYS, _MAX_EXACT_COSINES = 500_000, 65_536
_N_RECALL_QUERIES = 256
# So many searches for one query take the time that `KeyPanels` take to be made.
_SINGLE_QUERIES = 32


class NeighborIndex:
    """Keys that are searched for those of largest inner product with a query.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_components), float32
        The vectors to search; taken over, and normalised in place for "cosine".
    similarity : {"cosine", "dot"}
        "cosine" normalises keys and queries; zero vectors have similarity 0.
    kind : {"auto", "exact", "ivf", "hnsw"}
        "exact" is a blocked matrix product. "ivf" (clusters) and "hnsw" (graph) are
        faiss's approximate indexes, with the search effort doubled until the recall
        goal of 0.95 is met. "auto" is exact up to 500 000 keys, "ivf" above, but for
        "cosine" and more than 65 536 keys `KeyClusters` are searched if they do.
    n_neighbors : int
        For how many neighbours to tune and measure an approximate index.
    queries : ndarray of shape (n_queries, n_components) or None
        Typical queries to tune it with; by default 256 of the keys.

    Attributes
    ----------
    recall_ : float
        Share of the true nearest neighbours of these queries that are found; 1 for an
        exact index.
    """

    clusters: Any = None  # the keys stand in their order, if there are any
    # The keys as they were last searched: on a GPU, and for single queries.
    _on_device: Any = None
    _panels: Any = None
    _n_single = 0

    def __init__(self, keys, *, similarity, kind, n_neighbors, queries=None):
        self.similarity = similarity
        self.keys = keys
        if similarity == "cosine":
            normalize_rows(keys, out=keys)
        self.max_norm = largest_norm(self.keys)
        self.index, self.recall_ = None, 1.0
        if queries is None:
            queries = keys[:: max(1, len(keys) // _N_RECALL_QUERIES)]
        elif similarity == "cosine":
            queries = normalize_rows(queries)
        if kind == "auto" and similarity == "cosine" and len(keys) > _MAX_EXACT_COSINES:
            self.clusters = cluster_keys(keys, queries, min(n_neighbors, len(keys)))
        self.kind = _chosen(kind, len(keys))
        if self.clusters is not None:
            self.kind, self.recall_ = "clusters", self.clusters.recall
        elif self.kind != "exact":
            self.index = _faiss.build(self.keys, self.kind)
            self.recall_ = _faiss.tune(self.index, self.keys, queries, n_neighbors)

    def search(self, queries, k, device=None, *, added=None):
        """Find the `k` most similar keys of each query.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, n_components), float32
            What to search for.
        k : int
            At most n_keys.
        device : torch.device or None, default=None
            Where to look for candidates, if exact and if the keys have room there. They
            stay there for the next search.
        added : csr_array of shape (n_queries, n_keys), float32, or None, default=None
            What is added to some similarities, for "dot"; not negative.

        Returns
        -------
        indices : ndarray of shape (n_queries, k), intp
            Best first; equal similarities in the order of the keys, if exact. An
            approximate index that finds fewer fills up with -1.
        similarities : ndarray of shape (n_queries, k), float32
            -inf where the index is -1.
        """
        if self.similarity == "cosine":
            queries = normalize_rows(queries)
        if self.clusters is not None:
            return self._search_clusters(queries, k, device)
        if self.index is None:
            return self._search_exactly(queries, k, device, added)
        found = _faiss.search(self.index, queries, k)
        if added is None:
            return found
        return raise_pairs(found, queries, self.keys, added)

    def _search_exactly(self, queries, k, device, added=None):
        self._on_device = keys = keys_on(device, self.keys, self._on_device)
        return search_exact(
            *(queries, self.keys, k),
            max_norm=self.max_norm,
            on_device=keys,
            panels=self._panels_for(queries),
            added=added,
        )

    def _search_clusters(self, queries, k, device):
        """Search clusters, but all keys where a GPU does or for many neighbours."""
        clusters, is_cpu = self.clusters, device is None or device.type == "cpu"
        if is_cpu and clusters.hold(k) and products_are_steady():
            parts = [
                clusters.search(block, self.keys, k)
                for block in row_blocks(queries, searched_rows(device))
            ]
            return tuple(map(np.concatenate, zip(*parts, strict=True)))
        found, similarities = self._search_exactly(queries, k, device)
        return clusters.numbers[found].astype(np.intp), similarities

    def _panels_for(self, queries):
        """Return the keys as single queries are fastest, once there were some."""
        if len(queries) == 1 and self._panels is None:
            self._n_single += 1
            if self._n_single > _SINGLE_QUERIES:
                self._panels = panels_of(self.keys)
        return self._panels

    def score(self, queries, number):
        """Score one key as `search` does, for "dot": (n_queries,), float32."""
        rows = np.arange(len(queries))
        return self.score_pairs(queries, rows, np.full_like(rows, number))

    def score_pairs(self, queries, rows, numbers):
        """Score pairs of a query and a key, see `score_pairs`; for "dot"."""
        return score_pairs(queries, rows, self.keys, numbers)

    def compressed(self, storage, n_exact=0):
        """Return an index of the same keys in fewer bits, see `StoredRows`.

        An approximate index is copied as it is, with keys of its own.
        """
        small = copy.copy(self)
        small.keys = StoredRows(self.keys, storage, n_exact)
        small.max_norm = largest_norm(small.keys)
        return small

    @property
    def n_bytes(self):
        """Memory of the keys in bytes."""
        return self.keys.nbytes + (self.clusters.n_bytes if self.clusters else 0)

    @property
    def effort(self):
        """How much an approximate index searches, None for an exact one."""
        return None if self.index is None else _faiss.get_effort(self.index)

    def rebuild(self, effort):
        """Make an approximate index anew from its keys."""
        self.index = _faiss.build(np.ascontiguousarray(self.keys[:]), self.kind)
        _faiss.set_effort(self.index, effort)

    def kept_state(self):
        """Return all attributes but the keys as they were last searched."""
        passing = {"_on_device", "_panels", "_n_single"}
        return {name: v for name, v in vars(self).items() if name not in passing}

    def __getstate__(self):
        state = self.kept_state()
        if self.index is not None:
            state["index"] = _faiss.load_faiss().serialize_index(self.index)
        return state

    def __setstate__(self, state):
        vars(self).update(state)
        if self.index is not None:
            self.index = _faiss.load_faiss().deserialize_index(self.index)


def index_bytes(kind, n_keys, n_components):
    """Return the bytes of an index before it is made: faiss keeps keys of its own."""
    is_exact = _chosen(kind, n_keys) == "exact"
    return 4 * n_keys * n_components * (1 if is_exact else 2)


def _chosen(kind, n_keys):
    """Return how so many keys are searched without clusters."""
    if kind != "auto":
        return kind
    return "exact" if n_keys <= _MAX_EXACT_KEYS else "ivf"
