"""A linear classifier for each of very many labels, of few weights."""

import copy
from functools import partial

import numpy as np
import scipy.sparse as sp
from sklearn.metrics import average_precision_score

from skxmc import _nn
from skxmc._blocks import rows_of
from skxmc._hinge_newton import minimise, spans_side_by_side, stack_rows
from skxmc._mapped import count_columns
from skxmc._recovery import mix_chances
from skxmc._squared_hinge import HINGE_SHARE, scaled_rows, threads_for

# How exactly they are solved for; more ranks no better.
_TOL = 3e-3
# Weights that are smaller beside the largest of their label change no ranking.
_MIN_WEIGHT = 0.1
# Labels, and rows at most, that they are tried with, and their share of the scores:
# with more, some sets that they improve fail, with less, some that they do not pass.
_N_TRIED, _MOST_TRIED, _TRIED_WEIGHT = 64, 2**14, 0.4
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


def fit_classifiers(X, Y, shortlists, alpha):
    """Fit a support vector machine for each label, if that is worth while.

    Each parts the rows that have its label from those that have it in their shortlist:
    it is for telling these apart.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Input rows.
    Y : csr_array of shape (n_samples, n_labels), float32
        Label indicator.
    shortlists : csr_array of shape (n_samples, n_labels), float32
        Scores of the labels that each row might have.
    alpha : float
        Strength of the penalty, as for `fit_squared_hinge`; positive.

    Returns
    -------
    classifiers : LabelClassifiers or None
        None where those of half of the rows, mixed into the shortlists of the other
        half, do not improve these, by average precision over the pairs of labels tried.
    """
    X, scale = scaled_rows(X)
    if not _improve(X, Y, shortlists, alpha):
        return None
    classifiers = _fit(X, _pairs(Y, shortlists), alpha)
    classifiers.weights.data *= scale
    return classifiers


def _pairs(Y, shortlists):
    """Return which rows each label is fitted on: 2 if they have it, 1 if not."""
    parts = Y.indices, Y.indptr
    own = sp.csr_array((np.full(Y.nnz, 2, dtype=np.int8), *parts), Y.shape)
    parts = shortlists.indices, shortlists.indptr
    listed = np.ones(shortlists.nnz, dtype=np.int8)
    return own.maximum(sp.csr_array((listed, *parts), Y.shape)).tocsc()


def _fit(X, pairs, alpha):
    """Fit the labels that have rows; others have a score of -1."""
    n_rows = np.diff(pairs.indptr)
    fitted = np.flatnonzero(n_rows)
    pairs = pairs[:, fitted]

    spans = spans_side_by_side(X, n_rows[fitted])
    solve = partial(_solve, X, pairs, alpha)
    parts = _nn.map_blocks(solve, spans, None, most_threads=threads_for(X))
    n_weights = np.zeros(len(n_rows), dtype=np.int64)
    bias = np.full(len(n_rows), -1, dtype=np.float32)
    for span, part in zip(spans, parts, strict=True):
        _, _, n_weights[fitted[span]], bias[fitted[span]] = part
    indptr = np.append(0, np.cumsum(n_weights))
    data = np.zeros(indptr[-1], dtype=np.float32)
    columns = np.zeros(indptr[-1], dtype=np.int32)
    for span in reversed(spans):  # each part goes once it is copied
        some, own, _, _ = parts.pop()
        start = indptr[fitted[span.start]]
        data[start : start + len(some)] = some
        columns[start : start + len(some)] = own
    weights = sp.csr_array((data, columns, indptr), shape=(len(n_rows), X.shape[1]))
    return LabelClassifiers(weights, bias)


def _solve(X, pairs, alpha, span):
    """Fit some labels: weights and their columns, how many each has, and biases."""
    borders = pairs.indptr[span.start : span.stop + 1]
    own = slice(borders[0], borders[-1])
    chosen = np.split(pairs.indices[own], borders[1:-1] - borders[0])
    is_true = np.split(pairs.data[own] > 1, borders[1:-1] - borders[0])
    problem, columns = stack_rows(X, chosen, is_true)
    start = np.zeros(problem.rows.shape[1], dtype=np.float32)
    w, _ = minimise(problem, start, HINGE_SHARE * alpha, _TOL)
    ends = np.cumsum(problem.n_columns)
    bias, w[ends - 1] = w[ends - 1], 0
    size, starts = np.abs(w), ends - problem.n_columns
    largest = problem.of_columns(np.maximum.reduceat(size, starts))
    is_kept = size > _MIN_WEIGHT * largest
    n_kept = np.add.reduceat(is_kept, starts, dtype=np.int64)
    return w[is_kept], columns[is_kept].astype(np.int32), n_kept, bias


def _improve(X, Y, shortlists, alpha):
    """Whether classifiers of half of the rows rank pairs of the others better."""
    if not Y.nnz:
        return False
    tried = _spread_labels(count_columns(Y))
    Y, shortlists = Y[:, tried], shortlists[:, tried]
    rows = np.flatnonzero(np.diff(shortlists.indptr) + np.diff(Y.indptr))
    rows = np.random.default_rng(0).permutation(rows)[:_MOST_TRIED]
    seen, unseen = (np.sort(half) for half in np.array_split(rows, 2))
    classifiers = _fit(X[seen], _pairs(Y[seen], shortlists[seen]), alpha)
    votes = shortlists[unseen]
    rows = rows_of(votes)
    is_true = Y[unseen].toarray()[rows, votes.indices] > 0
    if not is_true.any():
        return False
    f = classifiers.score_pairs(X[unseen], rows, votes.indices)
    before, after = (
        average_precision_score(is_true, scores)
        for scores in (votes.data, mix_chances(votes.data, f, _TRIED_WEIGHT))
    )
    return after > before


def _spread_labels(counts):
    """Choose labels at equal distances among those of all rows, frequent ones first."""
    order = np.argsort(-counts, kind="stable")
    ends = np.cumsum(counts[order])
    places = (np.arange(_N_TRIED) + 0.5) / _N_TRIED * ends[-1]
    return np.unique(order[np.searchsorted(ends, places)])
