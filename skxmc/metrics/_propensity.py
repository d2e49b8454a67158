"""Ranking metrics that weight rare labels up; public in `skxmc.metrics`."""

import numpy as np
import scipy.sparse as sp

from skxmc._topk import topk_csr
from skxmc._validation import check_indicator
from skxmc.metrics._precision import discounts, ideal_dcg
from skxmc.metrics._ranking import evaluate_top_k


def label_propensities(Y_train, a=0.55, b=1.5):
    r"""Estimate how likely a true label is recorded, from its training frequency.

    Parameters
    ----------
    Y_train : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        Labels of all training samples, a 0/1 indicator.
    a : float, default=0.55
        Exponent A of Jain et al.: 0.5 for Wikipedia and 0.6 for Amazon data sets.
    b : float, default=1.5
        Offset B of Jain et al.: 0.4 for Wikipedia and 2.6 for Amazon data sets.

    Returns
    -------
    ndarray of shape (n_labels,), float64
        Propensities in (0, 1], smallest for labels that never occur.

    Raises
    ------
    ValueError
        If `Y_train` is not an indicator, or `a` or `b` is not positive.

    Notes
    -----
    :math:`p_l = 1 / (1 + C (N_l + B)^{-A})` with :math:`C = (\ln n - 1)(B + 1)^A`, n
    training samples and :math:`N_l` of them with label l. With n <= 2, C would be
    negative and is taken as 0: all propensities are then 1.

    References
    ----------
    Jain, Prabhu and Varma, Extreme multi-label loss functions for recommendation,
    tagging, ranking and other missing label applications, KDD 2016.

    Examples
    --------
    >>> from skxmc.metrics import label_propensities
    >>> label_propensities([[1, 0]] * 3 + [[1, 1]]).round(2)
    array([0.8 , 0.72])
    """
    if a <= 0 or b <= 0:
        raise ValueError(f"a={a} and b={b} are given; pass positive values for both.")
    Y = check_indicator(Y_train, name="Y_train")
    n_samples, n_labels = Y.shape
    n_positives = np.bincount(Y.indices, minlength=n_labels)
    c = max(0.0, np.log(n_samples) - 1) * (b + 1) ** a
    return 1 / (1 + c * (n_positives + b) ** -a)


def propensity_scored_precision_at_k(y_true, y_score, *, propensities, k=5):
    r"""Compute precision at k with rare labels weighted up.

    Parameters
    ----------
    y_true : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        True labels, a 0/1 indicator.
    y_score : array-like, sparse matrix or array, or tuple
        Scores of shape (n_samples, n_labels), or ranked label indices; all forms
        are listed in :mod:`skxmc.metrics`.
    propensities : array-like of shape (n_labels,)
        Probability in (0, 1] that a true label is recorded, from
        :func:`label_propensities`.
    k : int, default=5
        Number of labels to look at in each row.

    Returns
    -------
    float
        From 0 to 1, reached by the best possible ranking; 0 if there are no true
        labels at all.

    Raises
    ------
    ValueError
        If `y_true` is no indicator, `y_score` or `propensities` do not fit it or hold
        NaN, or `k` is not between 1 and n_labels.

    Notes
    -----
    :math:`PSP@k = \frac{\sum_i \sum_{j \le k} y_{i, r_i(j)} / p_{r_i(j)}}
    {\sum_i \max_s \sum_{j \le k} y_{i, s(j)} / p_{s(j)}}`, a ratio of sums over all
    rows, not a mean of ratios; s runs over all rankings.

    References
    ----------
    Jain, Prabhu and Varma, Extreme multi-label loss functions for recommendation,
    tagging, ranking and other missing label applications, KDD 2016.

    Examples
    --------
    >>> from skxmc.metrics import propensity_scored_precision_at_k
    >>> propensity_scored_precision_at_k(
    ...     [[1, 1, 0]], [[0.9, 0.4, 0.2]], propensities=[1.0, 0.25, 0.5], k=1
    ... )
    0.25
    """
    _, gains, best_gains = _weighted_gains(y_true, y_score, propensities, k)
    return _ratio_of_sums(gains, best_gains)


def propensity_scored_ndcg_at_k(
    y_true, y_score, *, propensities, k=5, normalization="matlab"
):
    r"""Compute nDCG at k with rare labels weighted up.

    Parameters
    ----------
    y_true : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        True labels, a 0/1 indicator.
    y_score : array-like, sparse matrix or array, or tuple
        Scores of shape (n_samples, n_labels), or ranked label indices; all forms
        are listed in :mod:`skxmc.metrics`.
    propensities : array-like of shape (n_labels,)
        Probability in (0, 1] that a true label is recorded, from
        :func:`label_propensities`.
    k : int, default=5
        Number of labels to look at in each row.
    normalization : {"matlab", "xclib"}, default="matlab"
        Normaliser of a row. "matlab" is that of the repository's Matlab scripts, and
        of most published values; "xclib" that of pyxclib. They agree at k=1.

    Returns
    -------
    float
        From 0 to 1, reached by the best possible ranking; 0 if there are no true
        labels at all.

    Raises
    ------
    ValueError
        If `y_true` is no indicator, `y_score` or `propensities` do not fit it or hold
        NaN, `k` is not between 1 and n_labels, or `normalization` is unknown.

    Notes
    -----
    :math:`PSnDCG@k = \frac{\sum_i g_i(r_i) / z_i}{\sum_i \max_s g_i(s) / z_i}` with
    :math:`g_i(s) = \sum_{j \le k} d_j\, y_{i, s(j)} / p_{s(j)}`,
    :math:`d_j = 1 / \log_2(j + 1)`, and :math:`z_i` the sum of the first k ("matlab")
    or first :math:`\min(k, |y_i|)` discounts ("xclib").

    References
    ----------
    Jain, Prabhu and Varma, Extreme multi-label loss functions for recommendation,
    tagging, ranking and other missing label applications, KDD 2016.

    Examples
    --------
    >>> from skxmc.metrics import propensity_scored_ndcg_at_k
    >>> propensity_scored_ndcg_at_k(
    ...     [[1, 1, 0]], [[0.9, 0.4, 0.2]], propensities=[1.0, 0.25, 0.5], k=1
    ... )
    0.25
    """
    if normalization not in ("matlab", "xclib"):
        raise ValueError(
            f"normalization={normalization!r} is unknown; pass 'matlab' or 'xclib'."
        )
    Y, gains, best_gains = _weighted_gains(y_true, y_score, propensities, k)
    weights = discounts(k)
    if normalization == "xclib":  # the constant of "matlab" cancels
        weights = weights / ideal_dcg(Y, k)[:, None]
    return _ratio_of_sums(gains * weights, best_gains * weights)


def _weighted_gains(y_true, y_score, propensities, k):
    """Give each hit its inverse propensity, for the ranking and the best possible one.

    Returns the truth as CSR, and two arrays of shape (n_samples, k).
    """
    Y, indices, hits = evaluate_top_k(y_true, y_score, k)
    weights = 1 / _check_propensities(propensities, n_labels=Y.shape[1])
    gains = np.where(hits, weights[indices], 0.0)
    Y_weighted = sp.csr_array((weights[Y.indices], Y.indices, Y.indptr), shape=Y.shape)
    _, best_gains = topk_csr(Y_weighted, k)
    return Y, gains, np.maximum(best_gains, 0.0)  # no label: -inf to 0


def _check_propensities(propensities, n_labels):
    propensities = np.asarray(propensities, dtype=np.float64)
    if propensities.shape != (n_labels,):
        raise ValueError(
            f"propensities has shape {propensities.shape}, but y_true has {n_labels} "
            "labels; pass one propensity per label, e.g. from label_propensities."
        )
    wrong = propensities[~((propensities > 0) & (propensities <= 1))]
    if wrong.size:
        raise ValueError(
            f"propensities holds the value {wrong[0]}; pass values in (0, 1], "
            "not inverse propensities."
        )
    return propensities


def _ratio_of_sums(gains, best_gains):
    # Without true labels both are 0; rounding can exceed 1.
    return min(1.0, float(gains.sum() / (best_gains.sum() or 1.0)))
