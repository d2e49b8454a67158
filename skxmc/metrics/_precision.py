"""Ranking metrics that count all labels alike; public in `skxmc.metrics`."""

import numpy as np

from skxmc.metrics._ranking import evaluate_top_k


def precision_at_k(y_true, y_score, *, k=5):
    r"""Compute the share of the top k labels that are true.

    Parameters
    ----------
    y_true : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        True labels, a 0/1 indicator.
    y_score : array-like, sparse matrix or array, or tuple
        Scores of shape (n_samples, n_labels), or ranked label indices; all forms
        are listed in :mod:`skxmc.metrics`.
    k : int, default=5
        Number of labels to look at in each row.

    Returns
    -------
    float
        Mean over all rows, from 0 to 1.

    Raises
    ------
    ValueError
        If `y_true` is no indicator, `y_score` does not fit it or holds NaN, or `k` is
        not between 1 and n_labels.

    Notes
    -----
    :math:`P@k = \frac{1}{n}\sum_i \frac{1}{k}\sum_{j \le k} y_{i, r_i(j)}`, where
    :math:`r_i(j)` is the label at rank j. The divisor is k also in rows with fewer
    than k true or predicted labels.

    References
    ----------
    Bhatia et al., The extreme classification repository, 2016,
    http://manikvarma.org/downloads/XC/XMLRepository.html.

    Examples
    --------
    >>> from skxmc.metrics import precision_at_k
    >>> precision_at_k([[0, 1, 1], [1, 0, 0]], [[0.2, 0.9, 0.4], [0.1, 0.7, 0.3]], k=2)
    0.5
    """
    _, _, hits = evaluate_top_k(y_true, y_score, k)
    return float(hits.mean())


def recall_at_k(y_true, y_score, *, k=5):
    r"""Compute the share of the true labels that are in the top k.

    Parameters
    ----------
    y_true : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        True labels, a 0/1 indicator.
    y_score : array-like, sparse matrix or array, or tuple
        Scores of shape (n_samples, n_labels), or ranked label indices; all forms
        are listed in :mod:`skxmc.metrics`.
    k : int, default=5
        Number of labels to look at in each row.

    Returns
    -------
    float
        Mean over all rows, from 0 to 1.

    Raises
    ------
    ValueError
        If `y_true` is no indicator, `y_score` does not fit it or holds NaN, or `k` is
        not between 1 and n_labels.

    Notes
    -----
    :math:`R@k = \frac{1}{n}\sum_i \frac{1}{|y_i|}\sum_{j \le k} y_{i, r_i(j)}`; a row
    without true labels counts as 0.

    Examples
    --------
    >>> from skxmc.metrics import recall_at_k
    >>> recall_at_k([[0, 1, 1], [1, 0, 0]], [[0.2, 0.9, 0.4], [0.1, 0.7, 0.3]], k=1)
    0.25
    """
    Y, _, hits = evaluate_top_k(y_true, y_score, k)
    n_true = np.diff(Y.indptr)
    return float(np.mean(hits.sum(axis=1) / np.maximum(n_true, 1)))


def ndcg_at_k(y_true, y_score, *, k=5):
    r"""Compute the normalised discounted cumulative gain of the top k labels.

    Parameters
    ----------
    y_true : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        True labels, a 0/1 indicator.
    y_score : array-like, sparse matrix or array, or tuple
        Scores of shape (n_samples, n_labels), or ranked label indices; all forms
        are listed in :mod:`skxmc.metrics`.
    k : int, default=5
        Number of labels to look at in each row.

    Returns
    -------
    float
        Mean over all rows, from 0 to 1.

    Raises
    ------
    ValueError
        If `y_true` is no indicator, `y_score` does not fit it or holds NaN, or `k` is
        not between 1 and n_labels.

    Notes
    -----
    :math:`nDCG@k = \frac{1}{n}\sum_i \frac{\sum_{j \le k} y_{i, r_i(j)} d_j}
    {\sum_{j \le \min(k, |y_i|)} d_j}` with :math:`d_j = 1 / \log_2(j + 1)`; a row
    without true labels counts as 0. Equal to :func:`sklearn.metrics.ndcg_score` with
    ``ignore_ties=True``, up to the order of ties.

    References
    ----------
    Bhatia et al., The extreme classification repository, 2016,
    http://manikvarma.org/downloads/XC/XMLRepository.html.

    Examples
    --------
    >>> from skxmc.metrics import ndcg_at_k
    >>> round(ndcg_at_k([[0, 1, 1]], [[0.4, 0.9, 0.2]], k=3), 3)
    0.92
    """
    Y, _, hits = evaluate_top_k(y_true, y_score, k)
    gains = hits @ discounts(k) / ideal_dcg(Y, k)
    return min(1.0, float(gains.mean()))  # rounding can exceed 1


def coverage_at_k(y_true, y_score, *, k=5):
    r"""Compute the share of the labels in use that are found at least once.

    Parameters
    ----------
    y_true : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        True labels, a 0/1 indicator.
    y_score : array-like, sparse matrix or array, or tuple
        Scores of shape (n_samples, n_labels), or ranked label indices; all forms
        are listed in :mod:`skxmc.metrics`.
    k : int, default=5
        Number of labels to look at in each row.

    Returns
    -------
    float
        From 0 to 1; 0 if there are no true labels at all.

    Raises
    ------
    ValueError
        If `y_true` is no indicator, `y_score` does not fit it or holds NaN, or `k` is
        not between 1 and n_labels.

    Notes
    -----
    :math:`C@k = |\bigcup_i (R_i \cap y_i)| / |\bigcup_i y_i|`, where :math:`R_i` are
    the top k labels of row i: labels that occur nowhere in `y_true` do not count.

    Examples
    --------
    >>> from skxmc.metrics import coverage_at_k
    >>> coverage_at_k([[1, 1, 0], [1, 0, 0]], [[0.9, 0.4, 0.2], [0.9, 0.2, 0.4]], k=1)
    0.5
    """
    Y, indices, hits = evaluate_top_k(y_true, y_score, k)
    n_found = np.unique(indices[hits]).size
    return n_found / max(np.unique(Y.indices).size, 1)


def discounts(k):
    """Give the weights of the ranks 1 to k in a discounted cumulative gain."""
    return 1 / np.log2(np.arange(2, k + 2))


def ideal_dcg(Y, k):
    """Give the largest gain at k of each row; 1 where no label is true.

    The gain of a row without true labels is 0: it can be divided by 1.
    """
    n_true = np.diff(Y.indptr)
    best_gains = np.append(1.0, np.cumsum(discounts(k)))
    return best_gains[np.minimum(n_true, k)]
