"""Probabilities from scores whose scale means nothing."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax
from sklearn.linear_model import LogisticRegression

# A slope below this would not keep the order of the scores in float32.
_MIN_SLOPE = 1e-3


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
