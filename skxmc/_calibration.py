"""Probabilities from scores whose scale means nothing."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

# A slope below this would not keep the order of the scores in float32.
_MIN_SLOPE = 1e-3
# Probabilities closer to 0 and 1 have no finite logit in float32.
_TINY = 1e-7
# What of the score is mixed into its probability: an isotonic map has steps, on which
# labels would be equal, and a ranking by probabilities would lose their order.
_RAW_SHARE = 1e-3


def fit_sigmoid(scores, truth):
    """Fit ``P(true) = expit(slope * score + intercept)`` (Platt's scaling).

    Parameters
    ----------
    scores : ndarray of shape (n,), float
        Scores of labels.
    truth : ndarray of shape (n,), bool
        Whether the row has the label.

    Returns
    -------
    slope, intercept : float
        The slope is positive.
    """
    if truth.all() or not truth.any():
        # Of n answers all alike, the next one differs with probability 1 / (n + 2).
        sign = 1 if truth.all() else -1
        return _MIN_SLOPE, sign * float(np.log(len(truth) + 1))
    scores = scores.astype(np.float64)
    scale = float(scores.std()) or 1.0
    model = LogisticRegression(tol=1e-6).fit(scores[:, None] / scale, truth)
    slope = max(float(model.coef_[0, 0]) / scale, _MIN_SLOPE)
    return slope, float(model.intercept_[0])


def fit_temperature(scores, truth):
    """Fit the slope of ``P(label) = softmax(slope * scores)``.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, k), float
        Scores of the best labels of each row.
    truth : ndarray of shape (n_rows, k), bool
        Which of them is true; rows where none is do not count.

    Returns
    -------
    slope : float
        Positive; at most 1, where the scores stand as they were trained. Rows that a
        network was trained on would have it be sure of everything.
    """
    judged = truth.any(axis=1)
    if not judged.any():
        return 1.0
    scores, truth = scores[judged].astype(np.float64), truth[judged]

    def loss(log_slope):
        log_p = log_softmax(np.exp(log_slope) * scores, axis=1)
        return -np.mean(log_p[truth])

    bounds = np.log([_MIN_SLOPE, 1.0])
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def sigmoid(scores, slope, intercept):
    """Return ``expit(slope * scores + intercept)``, float32."""
    return expit(slope * scores + intercept).astype(np.float32)


@dataclass(frozen=True)
class SigmoidMap:
    """Platt's scaling of probabilities on the logit scale, ``slope`` being positive."""

    slope: float
    intercept: float

    @classmethod
    def fit(cls, scores, truth):
        """Fit to `scores` in [0, 1] of labels, of which `truth` says whether true."""
        return cls(*fit_sigmoid(_logit(scores), truth))

    def __call__(self, scores):
        """Return probabilities, float64."""
        return expit(self.slope * _logit(scores) + self.intercept)


@dataclass(frozen=True)
class IsotonicMap:
    """A rising map through the knots (x, y), and through (0, 0) below the first.

    Scores below those seen in the fit are those of labels further down in the ranking,
    which go to 0 with their scores.
    """

    x: np.ndarray
    y: np.ndarray

    @classmethod
    def fit(cls, scores, truth):
        """Fit to `scores` in [0, 1] of labels, of which `truth` says whether true."""
        model = IsotonicRegression(y_min=0, y_max=1)
        model.fit(scores.astype(np.float64), truth)
        x, y = model.X_thresholds_, model.y_thresholds_
        if x[0] > 0:
            x, y = np.append(0, x), np.append(0, y)
        return cls(x, y)

    def __call__(self, scores):
        """Return probabilities, float64."""
        return np.interp(scores, self.x, self.y)


def fit_rank_maps(scores, truth, known, kind):
    """Fit a map from scores to probabilities for each rank.

    Parameters
    ----------
    scores : ndarray of shape (n_samples, k), float
        Scores in [0, 1] of ranked labels, of rows that the model was not trained on.
    truth : ndarray of shape (n_samples, k), bool
        Which of these labels are true.
    known : ndarray of shape (n_samples, k), bool
        Where there is a label; each row begins with True.
    kind : type
        `SigmoidMap` or `IsotonicMap`.

    Returns
    -------
    maps : list
        One for each rank that a row has.
    """
    columns = zip(scores.T, truth.T, known.T, strict=True)
    return [kind.fit(s[has], t[has]) for s, t, has in columns if has.any()]


def apply_rank_maps(maps, scores):
    """Return the probabilities of ranked labels; they fall along a row as scores do.

    Parameters
    ----------
    maps : list of callables
        One for each rank; the last one stands for all further ranks.
    scores : ndarray of shape (n_samples, k), float
        Scores that do not rise along a row.

    Returns
    -------
    probabilities : ndarray of shape (n_samples, k), float64
    """
    P = np.empty(scores.shape)
    for rank, own in enumerate(maps[: scores.shape[1]]):
        P[:, rank] = own(scores[:, rank])
    P[:, len(maps) :] = maps[-1](scores[:, len(maps) :])
    P = np.minimum.accumulate(P, axis=1)
    return (1 - _RAW_SHARE) * P + _RAW_SHARE * scores


def share_among_classes(P, scores, n_ranked, n_classes):
    """Make probabilities of ranked classes those of exactly one being right.

    The first ranks keep their probabilities, or are scaled down to a sum of 1 (or up,
    if they are all classes). The other classes share what is left in proportion to
    their scores, or less if the best of them overtook the last of the first.

    Parameters
    ----------
    P, scores : ndarray of shape (n_samples, k), float
        Calibrated probabilities and scores in [0, 1], neither rising along a row.
    n_ranked : int
        How many ranks are calibrated, at most `k`.
    n_classes : int
        How many classes there are, of which the scores sum to 1.

    Returns
    -------
    probabilities : ndarray of shape (n_samples, k), float64
    """
    first, rest = np.maximum(P[:, :n_ranked], _TINY), scores[:, n_ranked:]
    total = first.sum(axis=1, keepdims=True)
    first = first / (total if n_ranked == n_classes else np.maximum(total, 1))
    left = 1 - first.sum(axis=1, keepdims=True)
    of_rest = 1 - scores[:, :n_ranked].sum(axis=1, keepdims=True, dtype=np.float64)
    factor = np.maximum(left, 0) / np.maximum(of_rest, _TINY)
    most = (1 - _RAW_SHARE) * first[:, -1:] / np.maximum(rest[:, :1], _TINY)
    return np.hstack([first, rest * np.minimum(factor, most)])


def _logit(scores):
    return logit(np.clip(scores.astype(np.float64), _TINY, 1 - _TINY))
