"""Exact search for the keys of largest inner product, and the norms that it needs."""

import numpy as np

from skxmc._blocks import row_blocks, searched_rows
from skxmc._pairs import pair_products
from skxmc._stored import chunks
from skxmc._topk import topk_dense

# Keys compared at once: 256 queries x 16384 float32 scores are 16 MiB. With fewer
# queries more keys are, but for those that are unpacked for it.
_BLOCK_KEYS, _BLOCK_SCORES = 16_384, 2**22
# Candidates beyond the k wanted, to tell whether rounding can have hidden a better one.
_N_SPARE = 64


def search_exact(queries, keys, k, *, max_norm=None, on_device=None):
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
    on_device : DeviceKeys or None, default=None
        The same keys on a GPU, which then finds the candidates.

    Returns
    -------
    indices : ndarray of shape (n_queries, k), intp
        Best first, ties by lowest index.
    scores : ndarray of shape (n_queries, k), float32
        Their inner products.
    """
    if max_norm is None:
        max_norm = largest_norm(keys)
    size = searched_rows(None if on_device is None else on_device.device)
    blocks = [
        _search_block(block, keys, k, max_norm, on_device)
        for block in row_blocks(queries, size)
    ]
    indices, scores = zip(*blocks, strict=True)
    return np.concatenate(indices), np.concatenate(scores)


def _search_block(queries, keys, k, max_norm, on_device):
    n_candidates = min(k + _N_SPARE, len(keys))
    if on_device is None:
        candidates, rough = _rank_roughly(queries, keys, n_candidates)
    else:
        candidates, rough = on_device.rank_roughly(queries, n_candidates)
    # Two ways to round an inner product differ by this much at most: keys below the
    # k-th by more than both can be off are none of the best.
    rounding = np.finfo(np.float32).eps * queries.shape[1] * max_norm
    slack = 2 * rounding * np.sqrt(_square_norms(queries))
    goals = rough[:, k - 1] - slack
    is_close = rough >= goals[:, None]
    is_close[:, :k] = True
    indices, scores = _rank_exactly(queries, keys, candidates, k, is_close)
    if n_candidates == len(keys):
        return indices, scores
    # Where even the last candidate is close, other keys may be as good.
    for row in np.flatnonzero(is_close[:, -1]):
        close = [part @ queries[row] >= goals[row] for part in chunks(keys)]
        some = np.flatnonzero(np.concatenate(close))[None]
        indices[row], scores[row] = _rank_exactly(queries[[row]], keys, some, k)
    return indices, scores


def _rank_roughly(queries, keys, k):
    """Rank by matrix products, a block of keys at a time."""
    best, size = Ranking(len(queries)), _BLOCK_KEYS
    if isinstance(keys, np.ndarray):
        size = max(size, _BLOCK_SCORES // max(1, len(queries)))
    for start in range(0, len(keys), size):
        # OpenBLAS at times raises the flag where all is finite: numpy issue 28227.
        with np.errstate(invalid="ignore"):
            block = _products(queries, keys, start, start + size)
        best.merge(block, start, k)
    return best.indices, best.scores


def _products(queries, keys, start, stop):
    """Compute the inner products of queries with some of the keys."""
    if isinstance(keys, np.ndarray):
        return queries @ keys[start:stop].T
    return np.hstack([queries @ part.T for part in chunks(keys, start, stop)])


def _rank_exactly(queries, keys, candidates, k, is_close=None):
    """Rank the candidates of each query by inner products computed one by one.

    Those that are not close, where this is told, are ranked last.
    """
    order = np.argsort(candidates, axis=1)  # so that ties go to the lowest index
    candidates = np.take_along_axis(candidates, order, axis=1)
    wanted = np.ones(candidates.shape, dtype=bool)
    if is_close is not None:
        wanted = np.take_along_axis(is_close, order, axis=1)
    scores = np.full(candidates.shape, -np.inf, dtype=np.float32)
    rows = np.nonzero(wanted)[0]
    scores[wanted] = pair_products(queries, rows, keys, candidates[wanted])
    order, scores = topk_dense(scores, k)
    return np.take_along_axis(candidates, order, axis=1), scores


class Ranking:
    """A ranking of keys that grows as blocks of keys are scored; empty at first."""

    def __init__(self, n_queries):
        self.indices = np.empty((n_queries, 0), dtype=np.intp)
        self.scores = np.empty((n_queries, 0), dtype=np.float32)

    def merge(self, block, first, k):
        """Take in the scores (n_queries, n_keys) of the keys from `first` on."""
        found, found_scores = topk_dense(block, min(k, block.shape[1]))
        if not self.indices.shape[1]:
            self.indices, self.scores = found + first, found_scores
            return
        indices = np.hstack([self.indices, found + first])
        scores = np.hstack([self.scores, found_scores])
        order, self.scores = topk_dense(scores, min(k, scores.shape[1]))
        self.indices = np.take_along_axis(indices, order, axis=1)


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
