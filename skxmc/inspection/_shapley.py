"""Shapley values of the non-zero features of a row, by a weighted regression."""

import numpy as np
import scipy.sparse as sp
from scipy.special import comb

from skxmc._blocks import BLOCK_ROWS


def shapley_values(score, x, n_subsets, random_state):
    """Estimate what each non-zero feature adds to the score of a row.

    Shapley values are the linear function of which features are there that fits the
    scores of all subsets best, with weights ``(n - 1) / (C(n, s) s (n - s))`` for
    those of s of n features, and is exact for none and all (Lundberg and Lee, 2017).
    It is fitted to all subsets if `n_subsets` allows, and is exact then; else to all
    single features, to all that leave one out, and to random subsets together with
    what they leave out.

    Parameters
    ----------
    score : callable
        Maps a CSR block of at most `BLOCK_ROWS` rows to an ndarray of scores.
    x : csr_array of shape (1, n_features), canonical
        The row.
    n_subsets : int
        Subsets to score; at least twice as many as there are features are.
    random_state : numpy RandomState
        Draws them.

    Returns
    -------
    values : ndarray of shape (n_nonzero,), float64
        They sum to ``full - empty``.
    full, empty : float
        Scores of the row and of an empty row.
    """
    n = x.nnz
    ends = score(_rows_of(x, np.repeat([[False], [True]], n, axis=1)))
    empty, full = map(float, ends)
    if n < 2:
        return np.full(n, full - empty), full, empty
    gram, moment = np.zeros((n, n)), np.zeros(n)
    for kept, weights in _draw_subsets(n, n_subsets, random_state):
        gains = score(_rows_of(x, kept)).astype(np.float64) - empty
        weighted = kept.T * weights
        gram += weighted @ kept
        moment += weighted @ gains
    fit, ones = np.linalg.solve(gram, np.column_stack([moment, np.ones(n)])).T
    # The multiplier of the constraint on the sum.
    return fit + ones * (full - empty - fit.sum()) / ones.sum(), full, empty


def _draw_subsets(n, n_subsets, random_state):
    """Yield blocks of subsets of n features and their weights.

    kept : bool ndarray of shape (n_block, n); weights : ndarray of shape (n_block,)
    """
    features = np.arange(n)
    if n <= max(3, np.log2(n_subsets + 2)):
        for numbers in _cut(np.arange(1, 2**n - 1)):
            kept = numbers[:, None] >> features & 1 > 0
            sizes = kept.sum(axis=1)
            yield kept, (n - 1) / (comb(n, sizes) * sizes * (n - sizes))
        return
    for numbers in _cut(features):
        single = numbers[:, None] == features
        weights = np.full(len(numbers), 1 / n)
        yield single, weights
        yield ~single, weights
    n_pairs = (n_subsets - 2 * n) // 2
    sizes = np.arange(2, n - 1)
    mass = (n - 1) / (sizes * (n - sizes))  # of all subsets of a size
    drawn = random_state.choice(sizes, max(0, n_pairs), p=mass / mass.sum())
    for some in _cut(drawn):
        places = random_state.uniform(size=(len(some), n)).argsort(axis=1)
        kept = places < some[:, None]
        weights = np.full(len(some), mass.sum() / (2 * n_pairs))
        yield kept, weights
        yield ~kept, weights


def _cut(numbers):
    for start in range(0, len(numbers), BLOCK_ROWS):
        yield numbers[start : start + BLOCK_ROWS]


def _rows_of(x, kept):
    """Return the rows that keep only some non-zero features of x."""
    columns = np.nonzero(kept)[1]
    indptr = np.append(0, np.cumsum(kept.sum(axis=1)))
    parts = x.data[columns], x.indices[columns], indptr
    return sp.csr_array(parts, shape=(len(kept), x.shape[1]))
