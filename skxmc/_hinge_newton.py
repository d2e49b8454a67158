"""Squared hinge losses of several labels, each of rows of its own, side by side."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

# Values of rows that are put side by side: fewer take longer to begin with than to
# solve, more leave the processor's cache.
N_STACKED = 2**19
_MAX_STEPS, _MAX_HALVINGS = 8, 5
# The residual of a step's equations shrinks so far, by conjugate gradients.
_INNER_TOL, _MAX_INNER = 0.1, 10
# Numbers are told apart by marking those below so many, else by sorting.
MOST_MARKED = 2**23
_TINY = np.finfo(np.float32).tiny


class SideBySide(NamedTuple):
    """Rows of several labels as the blocks of one block-diagonal matrix.

    Attributes
    ----------
    rows : csr_array of shape (n_rows, n_columns), float32
        The rows of each label, of the columns in which they have values. The last
        column of each label is 1 in all of them: its weight is the bias.
    truth : ndarray of shape (n_rows,), float32
        1 for rows that have their label, -1 for others.
    n_rows, n_columns : ndarrays of shape (n_labels,), int
        Rows and columns of each label, at least one.
    """

    rows: sp.csr_array
    truth: np.ndarray
    n_rows: np.ndarray
    n_columns: np.ndarray

    def of_rows(self, values):
        """Repeat a value of each label for its rows, as float32."""
        return np.repeat(values.astype(np.float32), self.n_rows)

    def of_columns(self, values):
        """Repeat a value of each label for its columns, as float32."""
        return np.repeat(values.astype(np.float32), self.n_columns)

    def sum_rows(self, values):
        """Add up values of the rows of each label."""
        return _sum_parts(values, self.n_rows)

    def sum_columns(self, values):
        """Add up values of the columns of each label."""
        return _sum_parts(values, self.n_columns)


def _sum_parts(values, sizes):
    return np.add.reduceat(values, np.cumsum(sizes) - sizes).astype(np.float64)


def stack_rows(X, chosen, truth):
    """Put rows of X side by side, for each label those chosen for it.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32, int32 indices
    chosen : list of ndarray of int
        Rows of each label.
    truth : list of ndarray of bool
        Which of them have it.

    Returns
    -------
    problem : SideBySide
    columns : ndarray of shape (n_columns,), int
        The features that the columns of each label are; n_features for its bias.
    """
    n_labels, n_features = len(chosen), X.shape[1]
    n_rows = np.array([*map(len, chosen)])
    stacked = X[np.concatenate(chosen)]
    ends = stacked.indptr[1:]
    of_row = np.repeat(np.arange(n_labels, dtype=np.int32), n_rows)
    of_value = np.repeat(of_row, np.diff(stacked.indptr))
    cells = stacked.indices + of_value * np.int64(n_features)
    own, places = _distinct(cells, n_labels * n_features)
    n_own = np.bincount(own // n_features, minlength=n_labels)
    last = np.cumsum(n_own + 1, dtype=np.int32) - 1  # the biases
    parts = (
        np.insert(stacked.data, ends, 1),
        np.insert(places + of_value, ends, last[of_row]),  # a bias a label before
        np.arange(len(ends) + 1, dtype=np.int32) + stacked.indptr,
    )
    rows = sp.csr_array(parts, shape=(len(ends), int(last[-1]) + 1))
    signs = np.where(np.concatenate(truth), np.float32(1), np.float32(-1))
    columns = np.insert(own % n_features, np.cumsum(n_own), n_features)
    return SideBySide(rows, signs, n_rows, n_own + 1), columns


def _distinct(numbers, limit):
    """Return the distinct numbers below a limit, in order, and which each one is."""
    if limit > MOST_MARKED:
        distinct, places = np.unique(numbers, return_inverse=True)
        return distinct, places.astype(np.int32)
    is_there = np.zeros(limit, dtype=bool)
    is_there[numbers] = True
    distinct, places = np.flatnonzero(is_there), np.empty(limit, dtype=np.int32)
    places[distinct] = np.arange(len(distinct), dtype=np.int32)
    return distinct, places[numbers]


def solve_labels(X, truth, chosen, start, alpha, tol):
    """Solve for labels, each of the rows of X chosen for it, by `minimise`.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32, int32 indices
    truth : csc_array of shape (n_samples, n_labels)
        Which rows have which label.
    chosen : list of ndarray of int
        Rows of each label, sorted; those that have it are among them.
    start : ndarray of shape (n_features + 1, n_labels), float32
        Weights over biases to start with.
    alpha, tol : float
        See `minimise`.

    Returns
    -------
    weights : ndarray of shape (n_features + 1, n_labels), float32
        Weights over biases.
    n_found : int
        How many rows that have a label are above 0.
    """
    weights, n_found = np.zeros(start.shape, dtype=np.float32), 0
    has_label = np.zeros(X.shape[0], dtype=bool)
    for span in spans_side_by_side(X, np.array([*map(len, chosen)])):
        labels, rows = np.arange(span.start, span.stop), chosen[span]
        is_true = []
        for label, some in zip(labels, rows, strict=True):
            has_label[true_rows(truth, label)] = True
            is_true.append(has_label[some])
            has_label[true_rows(truth, label)] = False
        problem, columns = stack_rows(X, rows, is_true)
        of_column = np.repeat(labels, problem.n_columns)
        w, f = minimise(problem, start[columns, of_column], alpha, tol)
        weights[columns, of_column] = w
        n_found += np.sum((problem.truth > 0) & (f > 0))
    return weights, n_found


def constant_planes(truth, n_features):
    """Return planes for labels that every row has or none, and which others there are.

    Parameters
    ----------
    truth : csc_array of shape (n_samples, n_labels)
        Which rows have which label.
    n_features : int

    Returns
    -------
    weights : ndarray of shape (n_features + 1, n_labels), float32
        Zeros over biases, 1 for labels of every row and -1 for all others.
    parted : ndarray of int
        Labels that some rows have, and others not.
    """
    n_samples, n_labels = truth.shape
    counts = np.diff(truth.indptr)
    weights = np.zeros((n_features + 1, n_labels), dtype=np.float32)
    weights[-1] = np.where(counts == n_samples, 1, -1)
    return weights, np.flatnonzero((counts > 0) & (counts < n_samples))


def true_rows(truth, label):
    """Return the rows that have a label, of a csc_array."""
    return truth.indices[truth.indptr[label] : truth.indptr[label + 1]]


def spans_side_by_side(X, n_rows):
    """Return spans of labels, as slices, to be solved for side by side.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features)
    n_rows : ndarray of shape (n_labels,), int
        Rows of each label.
    """
    ends = np.cumsum(n_rows * (X.nnz / X.shape[0] + 1))
    group = (ends // N_STACKED).astype(np.int64)
    starts = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(n_rows)]
    return [slice(*pair) for pair in pairwise(starts)]


def minimise(problem, w, alpha, tol):
    """Minimise ``sum_i max(0, 1 - t_i (x_i @ w)) ** 2 + alpha * ||w||^2``.

    Newton's method with a line search: for each label by itself, but of all at once.

    Parameters
    ----------
    problem : SideBySide
    w : ndarray of shape (n_columns,), float32
        Where to start.
    alpha : float
    tol : float
        A label rests once its gradient is so small beside that of w = 0.

    Returns
    -------
    w : ndarray of shape (n_columns,), float32
    f : ndarray of shape (n_rows,), float32
        ``x_i @ w``.
    """
    rows, t, alpha = problem.rows, problem.truth, np.float32(alpha)
    f = rows @ w
    value, margins = _loss(problem, f), _margins(t, f)
    value += alpha * problem.sum_columns(w * w)
    goal = tol**2 * problem.sum_columns((rows.T @ t) ** 2)
    for _ in range(_MAX_STEPS):
        step, is_open = _newton_step(problem, margins, w, alpha, goal)
        if not is_open.any():
            break
        change = rows @ step
        size, value = _line_search(
            problem, f, change, w, step, alpha, value, is_open.astype(np.float64)
        )
        goal[is_open & (size == 0)] = np.inf  # no step leads further
        if not size.any():
            break
        w = w + problem.of_columns(size) * step
        f += problem.of_rows(size) * change
        margins = _margins(t, f)
    return w, f


def _margins(t, f):
    """Return by how much each row falls short of the right side, or 0."""
    return np.maximum(1 - t * f, 0)


def _loss(problem, f):
    return problem.sum_rows(_margins(problem.truth, f) ** 2)


def _line_search(problem, f, change, w, step, alpha, value, size):
    """Halve the steps of labels until they do not raise what is minimised.

    Returns the sizes of the steps, 0 for none, and what they lead to.
    """
    square, cross, length = (
        problem.sum_columns(a * b) for a, b in ((w, w), (w, step), (step, step))
    )
    for _ in range(_MAX_HALVINGS):
        found = _loss(problem, f + problem.of_rows(size) * change)
        found += alpha * (square + 2 * size * cross + size**2 * length)
        is_worse = (found > value) & (size > 0)
        if not is_worse.any():
            break
        size = np.where(is_worse, size / 2, size)
    size = np.where(is_worse, 0, size)
    return size, np.where(size > 0, found, value)


def _newton_step(problem, margins, w, alpha, goal):
    """Solve for the step of each label; also tell whose gradient is above `goal`.

    Rows beyond their margin have no part in it, nor those of labels that rest.
    """
    residual = problem.rows.T @ (problem.truth * margins) - alpha * w
    rho = problem.sum_columns(residual * residual)
    is_open = has_gradient = rho > goal
    rows = problem.rows[np.flatnonzero(margins * problem.of_rows(is_open))]
    columns = rows.T
    inner_goal = _INNER_TOL**2 * rho
    step, direction = np.zeros_like(w), residual.copy()
    for _ in range(_MAX_INNER):
        if not is_open.any():
            break
        image = columns @ (rows @ direction)
        image += alpha * direction
        curvature = problem.sum_columns(direction * image)
        length = problem.of_columns(is_open * rho / np.maximum(curvature, _TINY))
        step += length * direction
        residual -= length * image
        rho_before, rho = rho, problem.sum_columns(residual * residual)
        direction *= problem.of_columns(rho / np.maximum(rho_before, _TINY))
        direction += residual
        is_open = is_open & (rho > inner_goal)
    return step, has_gradient
