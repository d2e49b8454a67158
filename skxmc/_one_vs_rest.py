"""A linear classifier for each of very many labels, of few weights."""

import copy

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed

from skxmc import _nn
from skxmc._hinge_newton import constant_planes, solve_labels, true_rows
from skxmc._ridge import RidgeSystem
from skxmc._squared_hinge import HINGE_ALPHA, scaled_rows, threads_for

# Labels that a thread solves for at a time, as scores of all rows allow: products with
# more are slower, and so are those with other numbers than multiples of 8.
_MAX_LABELS, _MAX_SCORES = 64, 2**22
# The rows that a label is first parted from: so many others near its own, more of
# labels with more, and some from all over.
_LEAST_OTHERS, _OTHERS, _SPACED = 100, 6, 200
# Then from all others with scores above this; -1 would be exact.
_NEAR = -0.8
_FIRST_TOL, _TOL = 1e-2, 3e-3
# Weights that are smaller beside the largest of their label change no ranking.
_MIN_WEIGHT = 0.05
# Labels that are tried, and the share of their rows that has to come out above 0.
_N_TRIED, _MIN_RECALL = 64, 0.5
# Values of rows that are multiplied at once.
_BLOCK_VALUES = 2**17
_STORED_AS = {"float16": (np.int16, 32767), "int8": (np.int8, 127)}


class LabelClassifiers:
    """Linear scores of pairs of rows and labels, by sparse weights.

    Parameters
    ----------
    weights : csr_array of shape (n_labels, n_features), float32
    bias : ndarray of shape (n_labels,), float32

    Attributes
    ----------
    scales : ndarray of shape (n_labels,), float32, or None
        What the weights are multiplied with, where they are whole numbers.
    """

    def __init__(self, weights, bias):
        self.weights, self.bias, self.scales = weights, bias, None

    def score_pairs(self, X, rows, labels):
        """Compute ``X[row] @ weights[label] + bias[label]`` of each pair.

        Parameters
        ----------
        X : csr_array of shape (n_samples, n_features), float32
        rows, labels : int ndarrays of shape (n_pairs,)
            `rows` sorted.

        Returns
        -------
        scores : ndarray of shape (n_pairs,), float32
        """
        scores, size = self.bias[labels], max(1, _BLOCK_VALUES // X.shape[1])
        for start in range(0, X.shape[0], size):
            first, last = np.searchsorted(rows, [start, start + size])
            some, dense = labels[first:last], X[start : start + size].toarray()
            part = self.weights[some]
            # Each row of its own columns: all pairs are one product.
            shift = ((rows[first:last] - start) * X.shape[1]).astype(np.int32)
            columns = part.indices + np.repeat(shift, np.diff(part.indptr))
            data = part.data.astype(np.float32, copy=False)
            part = sp.csr_array(
                (data, columns, part.indptr), shape=(len(some), dense.size)
            )
            found = part @ dense.ravel()
            scores[first:last] += (
                found if self.scales is None else found * self.scales[some]
            )
        return scores

    def compressed(self, storage):
        """Return the same with weights of 16 bits, or 8."""
        kind, largest = _STORED_AS.get(storage, _STORED_AS["int8"])
        small, weights = copy.copy(self), self.weights
        tops = abs(weights).max(axis=1).toarray().ravel() / np.float32(largest)
        small.scales = np.where(tops > 0, tops, 1).astype(np.float32)
        steps = np.repeat(small.scales, np.diff(weights.indptr))
        data = np.rint(weights.data / steps).astype(kind)
        parts = data, weights.indices, weights.indptr
        small.weights = sp.csr_array(parts, shape=weights.shape)
        return small

    @property
    def n_bytes(self):
        """Memory in bytes."""
        weights, scales = self.weights, self.scales
        parts = [weights.data, weights.indices, weights.indptr, self.bias]
        parts += [] if scales is None else [scales]
        return sum(part.nbytes for part in parts)


def fit_classifiers(X, Y, alpha):
    """Fit a support vector machine for each label, if that is worth while.

    As in `fit_squared_hinge`, but for very many labels: each is solved for on rows near
    its own and some from all over, which keep its bias near -1, and then on those that
    come out too near; its smallest weights are left out.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Input rows.
    Y : csr_array of shape (n_samples, n_labels), float32
        Label indicator.
    alpha : float
        Strength of the penalty; positive.

    Returns
    -------
    classifiers : LabelClassifiers or None
        None where planes part fewer than half of the rows with a label from others,
        by labels tried: classifiers are worse than nothing then. None without labels.
    """
    truth = Y.tocsc()
    if not truth.nnz:
        return None
    X, scale = scaled_rows(X)
    rows = _Rows(X, alpha)
    tried = _spread_labels(np.diff(truth.indptr))
    n_threads = threads_for(X)
    size = int(np.clip(_MAX_SCORES // max(X.shape) // 8 * 8, 8, _MAX_LABELS))
    with Parallel(n_threads, backend="threading") as parallel:

        def in_blocks(function, truth):
            starts = range(0, truth.shape[1], size)
            return parallel(
                delayed(function)(rows, truth[:, start : start + size], alpha)
                for start in starts
            )

        n_found = sum(in_blocks(_count_found, truth[:, tried]))
        if n_found < _MIN_RECALL * truth[:, tried].nnz:
            return None
        weights, biases = zip(*in_blocks(_fit_sparse, truth), strict=True)
    weights = sp.csr_array(sp.vstack(weights))
    weights.data *= scale
    return LabelClassifiers(weights, np.concatenate(biases))


class _Rows:
    """Rows, the other way round too, and what least squares know of them."""

    def __init__(self, X, alpha):
        self.X, self.columns = X, sp.csr_array(X.T)
        self.system = RidgeSystem(X, alpha / HINGE_ALPHA)

    def scores(self, W):
        """Score all rows by weights over biases: (n_labels, n_rows)."""
        return np.ascontiguousarray((self.system.rows @ W[:-1] + W[-1]).T)

    def centroids(self, truth):
        """Return a first step of least squares: centred sums of rows, over biases."""
        sums = (self.columns @ truth).astype(np.float32).toarray(order="C")
        sums -= self.system.mean[:, None] * np.diff(truth.indptr).astype(np.float32)
        sums *= self.system.scale
        return np.vstack([sums, np.zeros_like(sums[:1])])


def _spread_labels(counts):
    """Choose labels at equal distances among those of all rows, frequent ones first."""
    order = np.argsort(-counts, kind="stable")
    ends = np.cumsum(counts[order])
    places = (np.arange(_N_TRIED) + 0.5) / _N_TRIED * ends[-1]
    return np.unique(order[np.searchsorted(ends, places)])


def _count_found(rows, truth, alpha):
    """Count the rows that have a label and a score above 0."""
    W = _fit_block(rows, truth, alpha)
    return sum(
        np.count_nonzero(some[true_rows(truth, label)] > 0)
        for label, some in enumerate(rows.scores(W))
    )


def _fit_sparse(rows, truth, alpha):
    """Fit some labels: sparse weights (n_labels, n_features) and biases."""
    W = _fit_block(rows, truth, alpha)
    size = np.abs(W[:-1])
    W[:-1][size < _MIN_WEIGHT * size.max(axis=0)] = 0
    # Copied: a view would keep all weights of the block.
    return sp.csr_array(W[:-1].T), W[-1].copy()


@_nn.limited_threads(one_thread=True)  # in each of the threads
def _fit_block(rows, truth, alpha):
    """Fit some labels: weights over biases, (n_features + 1, n_labels)."""
    W, parted = constant_planes(truth, rows.X.shape[1])
    if not len(parted):
        return W
    truth = truth[:, parted]
    start = np.zeros((len(W), len(parted)), dtype=np.float32)
    scores = rows.scores(rows.centroids(truth))
    chosen = [_nearest(some, truth, label) for label, some in enumerate(scores)]
    first, _ = solve_labels(rows.X, truth, chosen, start, alpha, _FIRST_TOL)
    scores = rows.scores(first)
    for label, (some, before) in enumerate(zip(scores, chosen, strict=True)):
        is_near = some > _NEAR
        is_near[before[some[before] > -1]] = True
        is_near[true_rows(truth, label)] = True
        chosen[label] = np.flatnonzero(is_near)
    W[:, parted], _ = solve_labels(rows.X, truth, chosen, first, alpha, _TOL)
    return W


def _nearest(scores, truth, label):
    """Choose the rows of a label, those of others with high scores, and some of all."""
    own, n_samples = true_rows(truth, label), len(scores)
    n_rows = _LEAST_OTHERS + (1 + _OTHERS) * len(own)
    if n_rows >= n_samples:
        return np.arange(n_samples)
    scores[own] = np.inf
    is_chosen = np.zeros(n_samples, dtype=bool)
    is_chosen[np.argpartition(scores, -n_rows)[-n_rows:]] = True
    n_spaced = min(_SPACED, n_samples)
    is_chosen[(np.arange(n_spaced) * n_samples // n_spaced + label) % n_samples] = True
    return np.flatnonzero(is_chosen)
