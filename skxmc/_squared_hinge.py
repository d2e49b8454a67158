"""One linear support vector machine a label, on sparse rows, by scikit-learn."""

import warnings

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from skxmc import _nn
from skxmc._mapped import input_scale, is_mapped

# Labels whose weights are held before they are turned to codes.
_BLOCK_LABELS = 64
# Looser than scikit-learn's 1e-4: a finer solution ranks no better.
_TOL, _MAX_ITER = 0.01, 100
MAX_ENTRIES = 2**31 - 1  # of a matrix that LIBLINEAR takes
# LIBLINEAR copies X for each machine: values that all threads together copy at once.
MOST_COPIED = 2**28
# Of an `alpha` that suits least squares, what suits squared hinge.
HINGE_ALPHA = 1 / 6


def fits_liblinear(X, Y):
    """Whether rows and labels are in memory, with no more values than it can number."""
    return not is_mapped(X, Y) and X.nnz <= MAX_ENTRIES


def fit_squared_hinge(X, Y, alpha, projection):
    """Solve ``min sum_i max(0, 1 - t_il f_l(x_i)) ** 2 + alpha * s * ||w_l||^2``.

    For each label l, with ``f_l(x) = x @ w_l + b_l`` and t 1 where the label is true
    and -1 elsewhere. s is the mean squared norm of the rows of X. Where least squares
    pull every row to its target, rows beyond it are left alone here.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Input rows.
    Y : csr_array of shape (n_samples, n_labels), float32
        Label indicator.
    alpha : float
        Strength of the penalty; positive.
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
        If X or Y is mapped, or X has more than 2 147 483 647 values.
    """
    if not fits_liblinear(X, Y):
        raise ValueError(
            f"loss='squared_hinge' needs X in memory, with at most {MAX_ENTRIES} "
            f"values; got {int(X.indptr[-1])} values in a {type(X).__name__}. Use "
            "loss='squared_error'."
        )
    scale = input_scale(X)
    rows = sp.csr_array(
        (X.data * np.float64(scale), _int32(X.indices), _int32(X.indptr)), X.shape
    )
    columns, n_found = Y.tocsc(), 0
    weight = np.zeros((X.shape[1], projection.shape[1]), dtype=np.float32)
    bias = np.zeros(projection.shape[1], dtype=np.float32)
    n_threads = min(_nn.n_available(), max(1, MOST_COPIED // max(1, X.nnz)))
    # Vectors are too short to be split, and LIBLINEAR's products come out alike then.
    with _nn.one_blas_thread(), Parallel(n_threads, backend="threading") as parallel:
        for start in range(0, Y.shape[1], _BLOCK_LABELS):
            some = range(start, min(start + _BLOCK_LABELS, Y.shape[1]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                fits = parallel(
                    delayed(_fit_label)(rows, columns[:, [label]], alpha)
                    for label in some
                )
            coefficients, intercepts, found = zip(*fits, strict=True)
            n_found += sum(found)
            share = projection[some.start : some.stop] / 2
            weight += np.stack(coefficients, axis=1) @ (share * np.float32(scale))
            bias += (np.array(intercepts, dtype=np.float32) + 1) @ share
    return weight, bias, n_found / max(1, Y.nnz)


def _fit_label(rows, column, alpha):
    """Return weights and bias of one label, and how many of its rows are above 0."""
    n_rows, n_features = rows.shape
    n_true = column.nnz
    if n_true in (0, n_rows):
        return np.zeros(n_features, dtype=np.float32), 1.0 if n_true else -1.0, n_true
    truth = np.zeros(n_rows, dtype=bool)
    truth[column.indices] = True
    # The dual solver, faster on few features, draws from one generator for all threads.
    svc = LinearSVC(
        C=1 / (2 * alpha),
        tol=_TOL,
        dual=False,
        max_iter=_MAX_ITER,
        random_state=0,  # not drawn from numpy's global generator, and of no effect
    )
    svc.fit(rows, truth)
    coefficients, intercept = svc.coef_[0], float(svc.intercept_[0])
    n_found = np.count_nonzero(rows[column.indices] @ coefficients + intercept > 0)
    return coefficients.astype(np.float32), intercept, n_found


def _int32(numbers):
    return numbers.astype(np.int32, copy=False)
