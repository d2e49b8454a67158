"""Whether probabilities are what they say; public in `skxmc.metrics`."""

from numbers import Integral

import numpy as np

from skxmc._pairs import holds_labels
from skxmc._topk import check_k
from skxmc._validation import check_indicator
from skxmc.metrics._ranking import rank_scores


def reliability_curve(y_true, y_prob, *, k=5, n_bins=10):
    """Compare the probabilities of the top k labels with how often they are true.

    All pairs of a row and a label among its top k are put into bins of about equally
    many pairs, by probability.

    Parameters
    ----------
    y_true : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        True labels, a 0/1 indicator.
    y_prob : array-like, sparse matrix or array, or tuple
        Probabilities of shape (n_samples, n_labels), dense or sparse, or the tuple
        ``(indices, scores)`` of ``predict_topk``. An absent entry of a sparse matrix,
        and an index of -1, is no pair.
    k : int, default=5
        Number of labels to look at in each row.
    n_bins : int, default=10
        Number of bins. There are fewer where probabilities are equal: equal ones are
        never parted.

    Returns
    -------
    prob_true : ndarray of shape (n_bins,), float64
        Share of true pairs in each bin, in the order of
        :func:`sklearn.calibration.calibration_curve`.
    prob_pred : ndarray of shape (n_bins,), float64
        Mean probability in each bin, ascending.
    n_pairs : ndarray of shape (n_bins,), int
        Number of pairs in each bin.

    Raises
    ------
    ValueError
        If `y_true` is no indicator, `y_prob` does not fit it, comes without scores or
        holds anything outside [0, 1], `k` is not between 1 and n_labels, `n_bins` is
        below 1, or nothing is ranked.
    TypeError
        If `n_bins` is not an integer.

    References
    ----------
    Niculescu-Mizil and Caruana, Predicting good probabilities with supervised
    learning, ICML 2005.

    Examples
    --------
    >>> from skxmc.metrics import reliability_curve
    >>> reliability_curve(
    ...     [[1, 0], [1, 1]], [[0.75, 0.25], [0.75, 0.25]], k=2, n_bins=2
    ... )
    (array([0.5, 1. ]), array([0.25, 0.75]), array([2, 2]))
    """
    probabilities, hits = _judged_pairs(y_true, y_prob, k)
    bins = _equal_count_bins(probabilities, n_bins)
    n_pairs = np.bincount(bins)
    prob_true = np.bincount(bins, weights=hits) / n_pairs
    prob_pred = np.bincount(bins, weights=probabilities) / n_pairs
    return prob_true, prob_pred, n_pairs


def expected_calibration_error(y_true, y_prob, *, k=5, n_bins=10):
    r"""Compute how far the probabilities of the top k are from the truth on average.

    Parameters
    ----------
    y_true : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        True labels, a 0/1 indicator.
    y_prob : array-like, sparse matrix or array, or tuple
        Probabilities of shape (n_samples, n_labels), dense or sparse, or the tuple
        ``(indices, scores)`` of ``predict_topk``.
    k : int, default=5
        Number of labels to look at in each row.
    n_bins : int, default=10
        Number of bins of about equally many pairs, see :func:`reliability_curve`.

    Returns
    -------
    float
        From 0 to 1; 0 is best.

    Raises
    ------
    ValueError
        If `y_true` is no indicator, `y_prob` does not fit it, comes without scores or
        holds anything outside [0, 1], `k` is not between 1 and n_labels, `n_bins` is
        below 1, or nothing is ranked.
    TypeError
        If `n_bins` is not an integer.

    Notes
    -----
    :math:`ECE = \sum_b \frac{n_b}{\sum_{b'} n_{b'}} |t_b - p_b|` over the bins, with
    :math:`n_b` pairs of a row and a label, the share :math:`t_b` of true ones and their
    mean probability :math:`p_b`. It grows with the number of bins.

    References
    ----------
    Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using
    Bayesian binning, AAAI 2015.

    Examples
    --------
    >>> from skxmc.metrics import expected_calibration_error
    >>> expected_calibration_error(
    ...     [[1, 0], [1, 1]], [[0.75, 0.25], [0.75, 0.25]], k=2, n_bins=2
    ... )
    0.25
    """
    return curve_error(*reliability_curve(y_true, y_prob, k=k, n_bins=n_bins))


def curve_error(prob_true, prob_pred, n_pairs):
    """Give the mean distance of a reliability curve from the diagonal, over pairs."""
    return float(np.average(np.abs(prob_true - prob_pred), weights=n_pairs))


def _judged_pairs(y_true, y_prob, k):
    """Return the probability of each pair in the top k, and whether it is true."""
    Y = check_indicator(y_true, name="y_true")
    check_k(k, Y.shape[1])
    indices, scores = rank_scores(y_prob, Y.shape, k)
    if scores is None:
        raise ValueError(
            "y_prob is a ranking without scores; pass (indices, scores), as "
            "predict_topk returns them."
        )
    scores = np.asarray(scores)
    if scores.ndim != 2 or len(scores) != len(indices) or scores.shape[1] < k:
        raise ValueError(
            f"The scores in y_prob have shape {scores.shape}, but the ranking has "
            f"shape {indices.shape}; pass one score per ranked label."
        )
    ranked = indices >= 0
    probabilities = scores[:, :k][ranked].astype(np.float64)
    wrong = probabilities[~((probabilities >= 0) & (probabilities <= 1))]
    if wrong.size:
        raise ValueError(
            f"y_prob holds {wrong[0]}, which is no probability; pass values from 0 "
            "to 1."
        )
    if not probabilities.size:
        raise ValueError(
            f"y_prob ranks no label in any of {Y.shape[0]} rows; pass at least one."
        )
    return probabilities, holds_labels(Y, indices)[ranked]


def _equal_count_bins(values, n_bins):
    """Find the bin of each value, from 0 without gaps; equal values share one."""
    if not isinstance(n_bins, Integral) or isinstance(n_bins, bool):
        raise TypeError(
            f"n_bins={n_bins!r} is of type {type(n_bins).__name__}; pass an integer of "
            "at least 1."
        )
    if n_bins < 1:
        raise ValueError(f"n_bins={n_bins} is smaller than 1; pass at least 1.")
    ordered = np.sort(values)
    starts = ordered[np.arange(int(n_bins)) * len(ordered) // int(n_bins)]
    return np.searchsorted(np.unique(starts), values, side="right") - 1
