"""Exact search for the keys of largest inner product, and the norms that it needs."""

from itertools import repeat

import numpy as np
import scipy.sparse as sp

from skxmc._blocks import (
    ROWS_AT_ONCE,
    filled_up,
    row_blocks,
    rows_of,
    searched_rows,
)
from skxmc._nn import (
    has_whole_numbers,
    products_are_steady,
    steady_products,
    whole_products,
)
from skxmc._pairs import holds_labels, pair_products
from skxmc._stored import chunks
from skxmc._topk import topk_csr, topk_dense

# Keys compared at once: 256 queries x 16384 float32 scores are 16 MiB. With fewer
# queries more keys are, but for those that are unpacked for it.
_BLOCK_KEYS, _BLOCK_SCORES = 16_384, 2**22
# Queries whose keys are put together for products of chosen pairs: few where there are
# more keys than this, so that not too many are compared that are not wanted.
_FEW_KEYS, _FEW_QUERIES = 8192, 32
# Candidates beyond the k wanted, to tell whether rounding can have hidden a better one.
_N_SPARE = 64


def search_exact(
    queries, keys, k, *, max_norm=None, on_device=None, panels=None, added=None
):
    """Rank keys by inner product, exactly, and the same way in every batch.

    A query has the same answer bit for bit whatever it is searched together with, ties
    included. Most matrix products round a row differently from place to place and shape
    to shape. Where there are none that do not (`steady_products`), the product finds a
    few more than `k` candidates, whose inner products are then computed one by one.
    Of keys in 8 bits or fewer, queries are rounded to 8 bits as well.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_components), float32
        What to search for.
    keys : ndarray or StoredRows of shape (n_keys, n_components), float32
        Where to search.
    k : int
        At most n_keys.
    max_norm : float or None, default=None
        Largest norm of a key, computed if not known.
    on_device : DeviceKeys or None, default=None
        The same keys on a GPU, which then finds the candidates.
    panels : KeyPanels or None, default=None
        The same keys, among which the candidates of a single query are found.
    added : csr_array of shape (n_queries, n_keys), float32, or None, default=None
        What is added to the inner products of some pairs; not negative.

    Returns
    -------
    indices : ndarray of shape (n_queries, k), intp
        Best first, ties by lowest index.
    scores : ndarray of shape (n_queries, k), float32
        Their inner products, with what is added.
    """
    size = searched_rows(on_device and on_device.device)
    is_whole = has_whole_numbers(keys)
    is_steady = is_whole or (on_device is None and products_are_steady())
    is_one = len(queries) == 1 and (panels is not None or not is_whole)
    if is_steady and not is_one:
        parts = repeat(None) if added is None else row_blocks(added, size)
        # As many of both, or of one without end.
        blocks = zip(row_blocks(queries, size), parts, strict=False)
        return _concatenate([_rank(a, keys, k, steady_products, b) for a, b in blocks])
    if max_norm is None:
        max_norm = largest_norm(keys)
    if is_steady:
        return _search_one(queries, keys, k, max_norm, panels, added)
    found = _concatenate(
        [
            _search_twice(block, keys, k, max_norm, on_device)
            for block in row_blocks(queries, size)
        ]
    )
    return found if added is None else raise_pairs(found, queries, keys, added)


def _concatenate(blocks):
    indices, scores = zip(*blocks, strict=True)
    return np.concatenate(indices), np.concatenate(scores)


def raise_pairs(found, queries, keys, added):
    """Rank keys that were found by inner product anew, with what is added to some.

    A key without is among the best of all only if it is among the best by inner product
    alone; so these, and those with, are enough to know.

    Parameters
    ----------
    found : tuple of ndarrays of shape (n_queries, k)
        The best keys by inner product, -1 for none, and these.
    queries, keys, added
        See `search_exact`.

    Returns
    -------
    indices, scores : ndarrays of shape (n_queries, k)
        Best first, ties by lowest index; -1 and -inf for none.
    """
    (indices, scores), rows = found, rows_of(added)
    raised = score_pairs(queries, rows, keys, added.indices) + added.data
    is_other = (indices >= 0) & ~holds_labels(added, indices)
    rows = np.concatenate([rows, np.nonzero(is_other)[0]])
    numbers = np.concatenate([added.indices, indices[is_other]])
    total = np.concatenate([raised, scores[is_other]])
    order = np.lexsort((numbers, rows))
    ends = np.cumsum(np.bincount(rows, minlength=len(indices)))
    parts = total[order], numbers[order], np.append(0, ends)
    return topk_csr(sp.csr_array(parts, shape=added.shape), indices.shape[1])


def score_pairs(queries, rows, keys, numbers):
    """Compute the inner products of some queries and keys as `search_exact` does.

    On the CPU, and so alike in every batch.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_components), float32
    rows : ndarray of shape (n_pairs,), int
        Queries, sorted.
    keys : ndarray or StoredRows of shape (n_keys, n_components), float32
    numbers : ndarray of shape (n_pairs,), int
        Keys.

    Returns
    -------
    products : ndarray of shape (n_pairs,), float32
    """
    if not (has_whole_numbers(keys) or products_are_steady()):
        return pair_products(queries, rows, keys, numbers)
    size = ROWS_AT_ONCE if len(keys) <= _FEW_KEYS else _FEW_QUERIES
    products = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(queries), size):
        pairs = slice(*np.searchsorted(rows, [start, start + size]))
        some, places = np.unique(numbers[pairs], return_inverse=True)
        some = _filled(some)
        block = queries[start : start + size]
        if has_whole_numbers(keys):
            dense = whole_products(block, keys, some.astype(np.int64))
        else:
            dense = steady_products(block, keys[some])
        products[pairs] = dense[rows[pairs] - start, places]
    return products


def _search_one(query, keys, k, max_norm, panels, added):
    """Rank for one query by steady products, with the fewest operations."""
    errors = np.float32(0)
    if panels is None:
        rough = products_of(query, keys, 0, len(keys), _multiply_one)[0]
    else:
        rough, errors = panels.products(query)
    bonus = np.zeros_like(rough)
    if added is not None:
        bonus[added.indices] = added.data
        rough += bonus
    cut = len(rough) - k
    goal = np.partition(rough - errors, cut)[cut] - _slack(query, max_norm)[0]
    close = np.flatnonzero(rough + errors >= goal)
    if not k <= len(close) <= len(keys) // 2:
        return _rank(query, keys, k, steady_products, added)
    order, scores = topk_dense(_multiply_few(query, keys, close) + bonus[close], k)
    return close[order], scores


def search_spans(query, keys, k, starts, stops):
    """Rank for one query the keys of some spans of an ndarray, by steady products.

    Parameters
    ----------
    query : ndarray of shape (1, n_components), float32
    keys : ndarray of shape (n_keys, n_components), float32
        None is longer than 1, but for rounding.
    k : int
        At most as many as the spans hold.
    starts, stops : list of int

    Returns
    -------
    indices, scores : ndarrays of shape (1, k)
        Best first, ties by what comes first in the spans.
    """
    spans = [*map(slice, starts, stops)]
    rough = np.concatenate([_multiply_one(query, keys[span])[0] for span in spans])
    numbers = np.concatenate([np.arange(s.start, s.stop) for s in spans])
    cut = len(rough) - k
    close = np.partition(rough, cut)[cut] - _slack(query, 1.01)[0] <= rough
    order, scores = topk_dense(_multiply_few(query, keys, numbers[close]), k)
    return numbers[close][order], scores


def _multiply_few(query, keys, numbers):
    """Compute the steady products of one query with some keys."""
    some = _filled(numbers)
    if has_whole_numbers(keys):
        return whole_products(query, keys, some)[:, : len(numbers)]
    twice = np.repeat(query, 2, axis=0)  # what it would be filled up to
    return steady_products(twice, keys[some])[:1, : len(numbers)]


def _filled(numbers):
    """Repeat some numbers of keys, so that there are few different counts.

    The code of a product is compiled for each that is met, which takes a millisecond.
    """
    return np.resize(numbers, filled_up(len(numbers)))


def _search_twice(queries, keys, k, max_norm, on_device):
    """Rank by products as they are rounded here, and the best of them one by one."""
    n_candidates = min(k + _N_SPARE, len(keys))
    if on_device is None:
        candidates, rough = _rank(queries, keys, n_candidates, _multiply)
    else:
        candidates, rough = on_device.rank_roughly(queries, n_candidates)
    goals = rough[:, k - 1] - _slack(queries, max_norm)
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


def _slack(queries, max_norm):
    """Return how far below the k-th product one may be that is among the k best.

    That is twice as much as two ways to round an inner product differ by at most.
    """
    rounding = np.finfo(np.float32).eps * queries.shape[1] * max_norm
    return 2 * rounding * np.sqrt(_square_norms(queries))


def _rank(queries, keys, k, multiply, added=None):
    """Rank by matrix products, a block of keys at a time."""
    best, size = Ranking(len(queries)), _BLOCK_KEYS
    if isinstance(keys, np.ndarray):
        size = max(size, _BLOCK_SCORES // max(1, len(queries)))
    for start in range(0, len(keys), size):
        products = products_of(queries, keys, start, start + size, multiply)
        if added is not None:
            _raise(products, added, start)
        best.merge(products, start, k)
    return best.indices, best.scores


def _raise(products, added, start):
    """Add to the products with keys from `start` on, in place."""
    rows, columns, values = rows_of(added), added.indices - start, added.data
    if products.shape[1] < added.shape[1]:
        is_here = (columns >= 0) & (columns < products.shape[1])
        rows, columns, values = rows[is_here], columns[is_here], values[is_here]
    products[rows, columns] += values


def products_of(queries, keys, start, stop, multiply):
    """Compute the inner products of queries with some of the keys."""
    if isinstance(keys, np.ndarray):
        return multiply(queries, keys[start:stop])
    if has_whole_numbers(keys):
        return whole_products(queries, keys, slice(start, stop))
    return np.hstack([multiply(queries, part) for part in chunks(keys, start, stop)])


def _multiply(A, B):
    # OpenBLAS at times raises the flag where all is finite: numpy issue 28227.
    with np.errstate(invalid="ignore"):
        return A @ B.T


def _multiply_one(query, B):
    # Not by BLAS, which wakes other threads for so little and waits for them: where the
    # machine is busy, for milliseconds.
    return np.einsum("ij,j->i", B, query[0])[None]


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
