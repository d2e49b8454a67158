"""Nearest neighbours by inner product or cosine: the only module that uses faiss."""

import numpy as np

from skxmc._forked import openmp_is_broken
from skxmc._topk import topk_dense

# Keys compared at once: 64 queries x 16384 float32 scores are 4 MiB.
_BLOCK_KEYS = 16_384
# Above so many keys, "auto" searches approximately.
_MAX_EXACT_KEYS = 500_000
_RECALL_GOAL = 0.95
_N_RECALL_QUERIES = 256


class NeighborIndex:
    """Keys that are searched for those of largest inner product with a query.

    Parameters
    ----------
    keys : ndarray of shape (n_keys, n_components), float32
        The vectors to search.
    similarity : {"cosine", "dot"}
        "cosine" normalises keys and queries; zero vectors have similarity 0.
    kind : {"auto", "exact", "ivf", "hnsw"}
        "exact" is a blocked matrix product. "ivf" (clusters) and "hnsw" (graph) are
        faiss's approximate indexes, with the search effort doubled until the recall
        goal of 0.95 is met. "auto" is exact up to 500 000 keys, "ivf" above.
    n_neighbors : int
        For how many neighbours to tune and measure an approximate index.

    Attributes
    ----------
    recall_ : float
        Share of the true nearest neighbours that are found, measured on 256 keys as
        queries; 1 for an exact index.
    """

    def __init__(self, keys, *, similarity, kind, n_neighbors):
        self.similarity = similarity
        self.keys = normalize_rows(keys) if similarity == "cosine" else keys
        if kind == "auto":
            kind = "exact" if len(keys) <= _MAX_EXACT_KEYS else "ivf"
        self.kind = kind
        self.index, self.recall_ = None, 1.0
        if kind != "exact":
            self.index = _build_faiss(self.keys, kind)
            self.recall_ = _tune(self.index, self.keys, n_neighbors)

    def search(self, queries, k):
        """Find the `k` most similar keys of each query.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, n_components), float32
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
            return search_exact(queries, self.keys, k)
        return _search_faiss(self.index, queries, k)

    @property
    def n_bytes(self):
        """Memory of the keys in bytes."""
        return self.keys.nbytes

    def __getstate__(self):
        state = dict(vars(self))
        if self.index is not None:
            state["index"] = _faiss().serialize_index(self.index)
        return state

    def __setstate__(self, state):
        vars(self).update(state)
        if self.index is not None:
            self.index = _faiss().deserialize_index(self.index)


def search_exact(queries, keys, k):
    """Rank all keys by inner product, a block of keys at a time.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_components)
    keys : ndarray of shape (n_keys, n_components)
    k : int
        At most n_keys.

    Returns
    -------
    indices, scores : ndarrays of shape (n_queries, k)
        Best first, ties by lowest index.
    """
    best = None
    for start in range(0, len(keys), _BLOCK_KEYS):
        scores = queries @ keys[start : start + _BLOCK_KEYS].T
        found, scores = topk_dense(scores, min(k, scores.shape[1]))
        found += start
        if best is not None:
            # Earlier keys stand first, so that ties go to the lowest index.
            found = np.hstack([best[0], found])
            scores = np.hstack([best[1], scores])
            order, scores = topk_dense(scores, min(k, scores.shape[1]))
            found = np.take_along_axis(found, order, axis=1)
        best = found, scores
    return best


def normalize_rows(A):
    """Return rows of unit length; zero rows stay zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", A, A))[:, None]
    return A / np.where(norms > 0, norms, 1)


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
        n_lists = max(1, min(int(4 * np.sqrt(n_keys)), n_keys // 39))
        quantizer = faiss.IndexFlatIP(size)
        index = faiss.IndexIVFFlat(quantizer, size, n_lists, faiss.METRIC_INNER_PRODUCT)
        index.train(keys)
    index.add(keys)
    return index


def _tune(index, keys, n_neighbors):
    """Double the search effort until the recall goal is met; return the recall."""
    step = max(1, len(keys) // _N_RECALL_QUERIES)
    queries, k = keys[::step], min(n_neighbors, len(keys))
    truth = search_exact(queries, keys, k)[0]
    is_ivf = hasattr(index, "nprobe")
    effort, most = (8, index.nlist) if is_ivf else (64, 4096)
    while True:
        if is_ivf:
            index.nprobe = min(effort, most)
        else:
            index.hnsw.efSearch = min(effort, most)
        found = _search_faiss(index, queries, k)[0]
        recall = np.mean(
            [np.isin(t, f).mean() for t, f in zip(truth, found, strict=True)]
        )
        if recall >= _RECALL_GOAL or effort >= most:
            return float(recall)
        effort *= 2


def _search_faiss(index, queries, k):
    _faiss()
    scores, found = index.search(np.ascontiguousarray(queries), k)
    return found.astype(np.intp), np.where(found >= 0, scores, -np.inf)
