"""Exact search among sparse rows."""

import copy

import numpy as np
import scipy.sparse as sp

from skxmc._blocks import row_blocks, rows_of
from skxmc._neighbors._exact import Ranking

# Sparse keys compared at once: with 64 queries 16 MiB of similarities.
_SHARD_KEYS = 2**16
# Sparse keys that are copied at once: with 100 values each, 10 MiB and their places.
_COPIED_KEYS = 2**12


class SparseNeighborIndex:
    """Sparse keys that are searched for those of largest cosine with a query.

    Exact. Only the columns that a block of queries has are read.

    Parameters
    ----------
    keys : csr_array or SelectedRows of shape (n_keys, n_features), float32
        The rows to search; copied, a few at a time. Zero rows have similarity 0.
    """

    def __init__(self, keys):
        self.shards = [
            _unit_columns(keys, range(start, min(start + _SHARD_KEYS, keys.shape[0])))
            for start in range(0, keys.shape[0], _SHARD_KEYS)
        ]

    def search(self, queries, k):
        """Find the `k` most similar keys of each query.

        Parameters
        ----------
        queries : csr_array of shape (n_queries, n_features), float32
            What to search for.
        k : int
            At most n_keys.

        Returns
        -------
        indices : ndarray of shape (n_queries, k), intp
            Best first; equal similarities in the order of the keys.
        similarities : ndarray of shape (n_queries, k), float32
        """
        parts = [
            self._search_block(_unit_rows(block), k) for block in row_blocks(queries)
        ]
        indices, similarities = zip(*parts, strict=True)
        return np.concatenate(indices), np.concatenate(similarities)

    def _search_block(self, queries, k):
        n_queries = queries.shape[0]
        columns, places = np.unique(queries.indices, return_inverse=True)
        # Products add up column by column, so that a query's come out alike whatever it
        # is searched with, if its place in a vector register does not matter: a
        # multiple of 8 places leaves no remainder that is computed otherwise.
        dense = np.zeros((len(columns), -(-n_queries // 8) * 8), dtype=np.float32)
        dense[places, rows_of(queries)] = queries.data
        best = Ranking(n_queries)
        for number, shard in enumerate(self.shards):
            products = (_columns_of(shard, columns) @ dense).T[:n_queries]
            best.merge(np.ascontiguousarray(products), number * _SHARD_KEYS, k)
        return best.indices, best.scores

    def compressed(self, storage):
        """Return an index of the same keys, with cosines of 16 bits or at least 8."""
        small = copy.copy(self)
        small.shards = [StoredColumns(shard, storage) for shard in self.shards]
        return small

    @property
    def n_bytes(self):
        """Memory of the keys in bytes."""
        return sum(
            part.nbytes
            for shard in self.shards
            for part in (shard.data, shard.indices, shard.indptr)
        )


class StoredColumns:
    """Columns of at most `_SHARD_KEYS` unit rows, in 3 or 4 bytes an entry."""

    def __init__(self, shard, storage):
        self.shape, self.indptr = shard.shape, shard.indptr
        self.indices = shard.indices.astype(np.uint16)
        self.scale = 1.0 if storage == "float16" else 1 / 127
        data = shard.data / np.float32(self.scale)
        is_half = storage == "float16"
        self.data = (
            data.astype(np.float16) if is_half else np.rint(data).astype(np.int8)
        )

    def __getitem__(self, columns):
        """Return some columns as csc_array."""
        starts, stops = self.indptr[columns], self.indptr[columns + 1]
        indptr = np.append(0, np.cumsum(stops - starts)).astype(self.indptr.dtype)
        places = np.arange(indptr[-1])
        places += np.repeat(starts - indptr[:-1], stops - starts)
        data = self.data[places].astype(np.float32) * np.float32(self.scale)
        indices = self.indices[places].astype(self.indptr.dtype)
        return sp.csc_array((data, indices, indptr), (self.shape[0], len(columns)))


def _columns_of(shard, columns):
    return shard[:, columns] if sp.issparse(shard) else shard[columns]


def _unit_rows(X):
    rows = rows_of(X)
    norms = np.sqrt(np.bincount(rows, X.data**2, X.shape[0])).astype(np.float32)
    scale = 1 / np.where(norms > 0, norms, 1)
    return sp.csr_array((X.data * scale[rows], X.indices, X.indptr), shape=X.shape)


def _unit_columns(keys, span):
    """Return a range of the rows, at unit length, as a csc_array.

    Filled in place from a few rows at a time: beside the result, no more is made.
    """
    starts = range(span.start, span.stop, _COPIED_KEYS)
    parts = [slice(start, min(start + _COPIED_KEYS, span.stop)) for start in starts]
    n_columns = keys.shape[1]
    counts = sum(np.bincount(keys[p].indices, minlength=n_columns) for p in parts)
    indptr = np.append(0, np.cumsum(counts))
    indptr = indptr.astype(sp.get_index_dtype(maxval=indptr[-1]))
    data = np.empty(indptr[-1], dtype=np.float32)
    indices = np.empty(indptr[-1], dtype=indptr.dtype)
    free = indptr[:-1].copy()  # where each column goes on
    for part in parts:
        block = sp.csc_array(_unit_rows(keys[part]))
        counts = np.diff(block.indptr)
        places = np.repeat(free - block.indptr[:-1], counts) + np.arange(block.nnz)
        data[places] = block.data
        indices[places] = block.indices + (part.start - span.start)
        free += counts
    return sp.csc_array((data, indices, indptr), shape=(len(span), n_columns))
