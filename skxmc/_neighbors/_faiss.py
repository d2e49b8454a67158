"""Approximate search by faiss; nothing else imports it."""

import numpy as np

from skxmc._forked import openmp_is_broken
from skxmc._neighbors._exact import search_exact

_RECALL_GOAL = 0.95


def build(keys, kind):
    """Return a "hnsw" or "ivf" index of keys."""
    faiss = load_faiss()
    n_keys, size = keys.shape
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(size, 32, faiss.METRIC_INNER_PRODUCT)
    else:
        n_lists = max(1, min(int(2 * np.sqrt(n_keys)), n_keys // 39))
        quantizer = faiss.IndexFlatIP(size)
        index = faiss.IndexIVFFlat(quantizer, size, n_lists, faiss.METRIC_INNER_PRODUCT)
        # faiss's 25 rounds over 256 keys a list take many minutes for a million keys.
        index.cp.min_points_per_centroid = 1  # it prints a warning otherwise
        index.cp.niter, index.cp.max_points_per_centroid = 10, 64
        index.train(keys)
    index.add(keys)
    return index


def tune(index, keys, queries, n_neighbors):
    """Double the search effort until the recall goal is met; return the recall."""
    k = min(n_neighbors, len(keys))
    truth = search_exact(queries, keys, k)[0]
    effort, most = (8, index.nlist) if hasattr(index, "nprobe") else (64, 4096)
    while True:
        set_effort(index, min(effort, most))
        found = search(index, queries, k)[0]
        recall = np.mean(
            [np.isin(t, f).mean() for t, f in zip(truth, found, strict=True)]
        )
        if recall >= _RECALL_GOAL or effort >= most:
            return float(recall)
        effort *= 2


def search(index, queries, k):
    """Return what `NeighborIndex.search` does."""
    load_faiss()
    scores, found = index.search(np.ascontiguousarray(queries), k)
    return found.astype(np.intp), np.where(found >= 0, scores, -np.inf)


def get_effort(index):
    """Return how much an index searches."""
    return index.nprobe if hasattr(index, "nprobe") else index.hnsw.efSearch


def set_effort(index, effort):
    """Set how much an index searches."""
    if hasattr(index, "nprobe"):
        index.nprobe = effort
    else:
        index.hnsw.efSearch = effort


def load_faiss():
    """Return the module, which keeps to one thread where more would hang."""
    # Imported here: faiss takes a while, and an exact search does not need it.
    import faiss

    if openmp_is_broken():
        faiss.omp_set_num_threads(1)
    return faiss
