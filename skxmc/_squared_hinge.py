"""One linear support vector machine a label, on sparse rows."""

from itertools import islice

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed

from skxmc import _nn
from skxmc._hinge_newton import constant_planes, solve_labels, true_rows
from skxmc._mapped import input_scale, is_mapped
from skxmc._ridge import RidgeSystem

# Labels that a thread solves for at a time.
BLOCK_LABELS = 16
# Labels whose weights are held before they are turned to codes.
_PROJECTED = 64
# What least squares start with: the rows that have a label, and for each of them so
# many others; then those within the margin of what these give.
N_OTHERS, _LEAST_OTHERS = 12, 64
_RIDGE_STEPS = 2
# How exactly the first solution is found, and the second; more ranks no better.
_FIRST_TOL, _TOL = 1e-2, 1e-3
MAX_ENTRIES = 2**31 - 1  # of rows that are put side by side
# Each thread may copy X: values that all threads together copy at once.
MOST_COPIED = 2**28
# Of a penalty that suits least squares, what suits squared hinge.
HINGE_SHARE = 1 / 6


def fits_in_memory(X, Y):
    """Whether rows and labels are in memory, with values that int32 can number."""
    return not is_mapped(X, Y) and X.nnz + X.shape[0] <= MAX_ENTRIES


def fit_squared_hinge(X, Y, alpha, projection):
    """Solve ``min sum_i max(0, 1 - t_il f_l(x_i)) ** 2 + alpha / 6 * s * ||w_l||^2``.

    For each label l, with ``f_l(x) = x @ w_l + b_l`` and t 1 where the label is true
    and -1 elsewhere. s is the mean squared norm of the rows of X; the bias counts in
    the penalty. Where least squares pull every row to its target, rows beyond it are
    left alone here.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Input rows.
    Y : csr_array of shape (n_samples, n_labels), float32
        Label indicator.
    alpha : float
        Strength of the penalty, as for `fit_ridge`; positive.
    projection : ndarray of shape (n_labels, n_targets), float32
        What turns labels to codes.

    Returns
    -------
    weight : ndarray of shape (n_features, n_targets), float32
    bias : ndarray of shape (n_targets,), float32
        Of the codes of ``(f + 1) / 2``, which is 1 and 0 where t is 1 and -1.
    recall : float
        Share of the true labels with f above 0: near 0 where no plane parts a label
        from the others, and least squares say more.

    Raises
    ------
    ValueError
        If X or Y is mapped, or X has more than 2 147 483 647 values and rows.

    Notes
    -----
    A row beyond its margin does not matter, and of most labels most rows are. A first
    solution is of the rows that least squares, roughly solved, score highest; a second
    one, from there, of all rows that the first has within the margin.
    """
    if not fits_in_memory(X, Y):
        raise ValueError(
            "loss='squared_hinge' needs X and y in memory, with at most "
            f"{MAX_ENTRIES} values and rows of X together; got {int(X.indptr[-1])} "
            f"values and {X.shape[0]} rows in a {type(X).__name__}, and y in a "
            f"{type(Y).__name__}. Use loss='squared_error'."
        )
    rows, scale = scaled_rows(X)
    system, truth, n_found = RidgeSystem(rows, alpha), Y.tocsc(), 0
    weight = np.zeros((X.shape[1], projection.shape[1]), dtype=np.float32)
    bias = np.zeros(projection.shape[1], dtype=np.float32)
    n_threads, penalty = threads_for(X), HINGE_SHARE * alpha
    starts = range(0, Y.shape[1], BLOCK_LABELS)
    with (
        _nn.one_blas_thread(),
        Parallel(n_threads, backend="threading", return_as="generator") as parallel,
    ):
        fits = parallel(
            delayed(_fit_block)(
                rows, system, truth[:, start : start + BLOCK_LABELS], penalty
            )
            for start in starts
        )
        for start in range(0, Y.shape[1], _PROJECTED):
            parts, found = zip(*islice(fits, _PROJECTED // BLOCK_LABELS), strict=True)
            W, share = np.hstack(parts), projection[start : start + _PROJECTED] / 2
            weight += W[:-1] @ (share * scale)
            bias += (W[-1] + 1) @ share
            n_found += sum(found)
    return weight, bias, n_found / max(1, Y.nnz)


@_nn.limited_threads(one_thread=True)  # in each of the threads
def _fit_block(X, system, truth, alpha):
    """Fit some labels: weights over biases (n_features + 1, n), and how many are found.

    Those are the true labels with a score above 0.
    """
    W, parted = constant_planes(truth, X.shape[1])
    n_found = truth.shape[0] * np.count_nonzero(W[-1] > 0)
    if not len(parted):
        return W, n_found
    truth = truth[:, parted]
    weight, bias = system.solve(truth.toarray(), max_iter=_RIDGE_STEPS)
    first = np.vstack([2 * weight, 2 * bias - 1])
    for choose, tol in ((_highest, _FIRST_TOL), (_within_margin, _TOL)):
        scores = (system.rows @ first[:-1] + first[-1]).T
        chosen = [
            choose(some, true_rows(truth, label)) for label, some in enumerate(scores)
        ]
        del scores
        first, found = solve_labels(X, truth, chosen, first, alpha, tol)
    W[:, parted] = first
    return W, n_found + found


def _highest(scores, own):
    """Choose the true rows and, of the others, those of the highest scores."""
    n_rows = max(_LEAST_OTHERS, N_OTHERS * len(own)) + len(own)
    if n_rows >= len(scores):
        return np.arange(len(scores))
    scores[own] = np.inf
    return np.sort(np.argpartition(scores, -n_rows)[-n_rows:])


def _within_margin(scores, own):
    """Choose the true rows, and those that are not beyond the margin of the others."""
    scores[own] = np.inf
    return np.flatnonzero(scores > -1)


def threads_for(X):
    """Return how many threads may have copies of X at once."""
    return min(_nn.n_available(), max(1, MOST_COPIED // max(1, X.nnz)))


def scaled_rows(X):
    """Return rows of mean squared norm 1, with indices of 32 bits, and the scale."""
    scale = np.float32(input_scale(X))
    places = (part.astype(np.int32, copy=False) for part in (X.indices, X.indptr))
    return sp.csr_array((X.data * scale, *places), X.shape), scale
