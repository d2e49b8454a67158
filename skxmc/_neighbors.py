"""Nearest neighbours by inner product or cosine: the only module that uses faiss."""

import copy

import numpy as np
import scipy.sparse as sp

from skxmc._blocks import row_blocks
from skxmc._forked import openmp_is_broken
from skxmc._pairs import pair_products
from skxmc._stored import StoredRows, chunks
from skxmc._topk import topk_dense

# Keys compared at once: 64 queries x 16384 float32 scores are 4 MiB.
_BLOCK_KEYS = 16_384
# Candidates beyond the k wanted, to tell whether rounding can have hidden a better one.
_N_SPARE = 64
# Above so many keys, "auto" searches approximately.
_MAX_EXACT_KEYS = 500_000
_RECALL_GOAL = 0.95
_N_RECALL_QUERIES = 256
# Sparse keys compared at once: with 64 queries 16 MiB of similarities.
_SHARD_KEYS = 2**16
# Sparse keys that are copied at once: with 100 values each, 10 MiB and their places.
_COPIED_KEYS = 2**12


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
        goal of 0.95 is met. "auto" is exact up to 500 000 keys, "ivf" above.
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

    def __init__(self, keys, *, similarity, kind, n_neighbors, queries=None):
        self.similarity = similarity
        self.keys = keys
        if similarity == "cosine":
            normalize_rows(keys, out=keys)
        self.max_norm = largest_norm(self.keys)
        if kind == "auto":
            kind = "exact" if len(keys) <= _MAX_EXACT_KEYS else "ivf"
        self.kind = kind
        self.index, self.recall_ = None, 1.0
        if kind != "exact":
            self.index = _build_faiss(self.keys, kind)
            if queries is None:
                queries = keys[:: max(1, len(keys) // _N_RECALL_QUERIES)]
            elif similarity == "cosine":
                queries = normalize_rows(queries)
            self.recall_ = _tune(self.index, self.keys, queries, n_neighbors)

    def search(self, queries, k):
        """Find the `k` most similar keys of each query.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, n_components), float32
            What to search for.
        k : int
            At most n_keys.

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
        if self.index is None:
            return search_exact(queries, self.keys, k, max_norm=self.max_norm)
        return _search_faiss(self.index, queries, k)

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
        return self.keys.nbytes

    @property
    def effort(self):
        """How much an approximate index searches, None for an exact one."""
        if self.index is None:
            return None
        is_ivf = hasattr(self.index, "nprobe")
        return self.index.nprobe if is_ivf else self.index.hnsw.efSearch

    def rebuild(self, effort):
        """Make an approximate index anew from its keys."""
        self.index = _build_faiss(np.ascontiguousarray(self.keys[:]), self.kind)
        _set_effort(self.index, effort)

    def __getstate__(self):
        state = dict(vars(self))
        if self.index is not None:
            state["index"] = _faiss().serialize_index(self.index)
        return state

    def __setstate__(self, state):
        vars(self).update(state)
        if self.index is not None:
            self.index = _faiss().deserialize_index(self.index)


def index_bytes(kind, n_keys, n_components):
    """Return the bytes of an index before it is made: faiss keeps keys of its own."""
    is_exact = kind == "exact" or (kind == "auto" and n_keys <= _MAX_EXACT_KEYS)
    return 4 * n_keys * n_components * (1 if is_exact else 2)


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
        columns = np.unique(queries.indices)
        # Products add up column by column, so that a query's come out alike whatever it
        # is searched with, if its place in a vector register does not matter: a
        # multiple of 8 places leaves no remainder that is computed otherwise.
        dense = np.zeros((len(columns), -(-n_queries // 8) * 8), dtype=np.float32)
        dense[:, :n_queries] = queries[:, columns].T.toarray()
        best = _Ranking(n_queries)
        for number, shard in enumerate(self.shards):
            products = (_columns_of(shard, columns) @ dense).T[:n_queries]
            best.merge(np.ascontiguousarray(products), number * _SHARD_KEYS, k)
        return best.indices, best.scores

    def compressed(self, storage):
        """Return an index of the same keys with cosines of 8 or 16 bits."""
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
        self.data = (data if storage == "float16" else np.rint(data)).astype(storage)

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


class _Ranking:
    """A ranking of keys that grows as blocks of keys are scored; empty at first."""

    def __init__(self, n_queries):
        self.indices = np.empty((n_queries, 0), dtype=np.intp)
        self.scores = np.empty((n_queries, 0), dtype=np.float32)

    def merge(self, block, first, k):
        """Take in the scores (n_queries, n_keys) of the keys from `first` on."""
        found, found_scores = topk_dense(block, min(k, block.shape[1]))
        indices = np.hstack([self.indices, found + first])
        scores = np.hstack([self.scores, found_scores])
        order, self.scores = topk_dense(scores, min(k, scores.shape[1]))
        self.indices = np.take_along_axis(indices, order, axis=1)


def _unit_rows(X):
    norms = np.sqrt(np.asarray(X.power(2).sum(axis=1), dtype=np.float32))
    scale = 1 / np.where(norms > 0, norms, 1)
    data = X.data * np.repeat(scale, np.diff(X.indptr))
    return sp.csr_array((data, X.indices, X.indptr), shape=X.shape)


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


def search_exact(queries, keys, k, *, max_norm=None):
    """Rank keys by inner product, exactly, and the same way in every batch.

    A matrix product finds a few more than `k` candidates; their inner products are then
    computed one by one. The product rounds a row differently from place to place and
    shape to shape, the single inner products do not: a query has the same answer bit
    for bit whatever it is searched together with, ties included.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_components), float32
        What to search for.
    keys : ndarray of shape (n_keys, n_components), float32
        Where to search.
    k : int
        At most n_keys.
    max_norm : float or None, default=None
        Largest norm of a key, computed if not known.

    Returns
    -------
    indices : ndarray of shape (n_queries, k), intp
        Best first, ties by lowest index.
    scores : ndarray of shape (n_queries, k), float32
        Their inner products.
    """
    if max_norm is None:
        max_norm = largest_norm(keys)
    blocks = [_search_block(block, keys, k, max_norm) for block in row_blocks(queries)]
    indices, scores = zip(*blocks, strict=True)
    return np.concatenate(indices), np.concatenate(scores)


def _search_block(queries, keys, k, max_norm):
    n_candidates = min(k + _N_SPARE, len(keys))
    candidates, rough = _rank_roughly(queries, keys, n_candidates)
    indices, scores = _rank_exactly(queries, keys, candidates, k)
    if n_candidates == len(keys):
        return indices, scores
    # Two ways to round an inner product differ by this much at most. Where the last
    # candidate is closer to the k-th than both can be off, other keys may be as good.
    rounding = np.finfo(np.float32).eps * queries.shape[1] * max_norm
    slack = 2 * rounding * np.sqrt(_square_norms(queries))
    for row in np.flatnonzero(rough[:, k - 1] - rough[:, -1] <= slack):
        goal = rough[row, k - 1] - slack[row]
        close = [part @ queries[row] >= goal for part in chunks(keys)]
        some = np.flatnonzero(np.concatenate(close))[None]
        indices[row], scores[row] = _rank_exactly(queries[[row]], keys, some, k)
    return indices, scores


def _rank_roughly(queries, keys, k):
    """Rank by matrix products, a block of keys at a time."""
    best = _Ranking(len(queries))
    for start in range(0, len(keys), _BLOCK_KEYS):
        best.merge(queries @ keys[start : start + _BLOCK_KEYS].T, start, k)
    return best.indices, best.scores


def _rank_exactly(queries, keys, candidates, k):
    """Rank the candidates of each query by inner products computed one by one."""
    candidates = np.sort(candidates, axis=1)  # so that ties go to the lowest index
    rows = np.repeat(np.arange(len(queries)), candidates.shape[1])
    scores = pair_products(queries, rows, keys, candidates.ravel())
    scores = scores.reshape(candidates.shape)
    order, scores = topk_dense(scores, k)
    return np.take_along_axis(candidates, order, axis=1), scores


def normalize_rows(A, out=None):
    """Return rows of unit length; zero rows stay zero."""
    norms = np.sqrt(_square_norms(A))[:, None]
    return np.divide(A, np.where(norms > 0, norms, 1), out=out)


def largest_norm(A):
    """Return the largest Euclidean norm of a row."""
    return float(
        np.sqrt(max((_square_norms(part).max() for part in chunks(A)), default=0))
    )


def _square_norms(A):
    return np.einsum("ij,ij->i", A, A)


def _faiss():
    # Imported here: faiss takes a while, and an exact search does not need it.
    import faiss

    if openmp_is_broken():
        faiss.omp_set_num_threads(1)
    return faiss


def _build_faiss(keys, kind):
    faiss = _faiss()
    n_keys, size = keys.shape
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(size, 32, faiss.METRIC_INNER_PRODUCT)
    else:
        n_lists = max(1, min(int(2 * np.sqrt(n_keys)), n_keys // 39))
        quantizer = faiss.IndexFlatIP(size)
        index = faiss.IndexIVFFlat(quantizer, size, n_lists, faiss.METRIC_INNER_PRODUCT)
        # faiss's 25 rounds over 256 keys a list take many minutes for a million keys.
        index.cp.niter, index.cp.max_points_per_centroid = 10, 64
        index.train(keys)
    index.add(keys)
    return index


def _tune(index, keys, queries, n_neighbors):
    """Double the search effort until the recall goal is met; return the recall."""
    k = min(n_neighbors, len(keys))
    truth = search_exact(queries, keys, k)[0]
    effort, most = (8, index.nlist) if hasattr(index, "nprobe") else (64, 4096)
    while True:
        _set_effort(index, min(effort, most))
        found = _search_faiss(index, queries, k)[0]
        recall = np.mean(
            [np.isin(t, f).mean() for t, f in zip(truth, found, strict=True)]
        )
        if recall >= _RECALL_GOAL or effort >= most:
            return float(recall)
        effort *= 2


def _set_effort(index, effort):
    if hasattr(index, "nprobe"):
        index.nprobe = effort
    else:
        index.hnsw.efSearch = effort


def _search_faiss(index, queries, k):
    _faiss()
    scores, found = index.search(np.ascontiguousarray(queries), k)
    return found.astype(np.intp), np.where(found >= 0, scores, -np.inf)
