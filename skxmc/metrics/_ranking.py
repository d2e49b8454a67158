"""What a user passes as truth and prediction, brought to one form each.

Truth becomes a CSR indicator; predictions become the indices of the top k labels,
of shape (n_samples, k), with -1 where nothing is predicted.
"""

import numpy as np
import scipy.sparse as sp

from skxmc._pairs import holds_labels
from skxmc._topk import check_k, topk_csr, topk_dense
from skxmc._validation import check_indicator, check_structure


def evaluate_top_k(y_true, y_score, k):
    """Tell which of the top k labels of each row are true.

    Parameters
    ----------
    y_true : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        True labels, a 0/1 indicator.
    y_score : array-like, sparse matrix or array, or tuple
        Predictions, in any of the forms listed in `skxmc.metrics`.
    k : int
        Number of labels to look at in each row.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_labels)
        Truth, see `check_indicator`.
    indices : ndarray of shape (n_samples, k), intp
        Labels, best first; -1 for none.
    hits : ndarray of shape (n_samples, k), bool
        Whether the label is true.
    """
    Y = check_indicator(y_true, name="y_true")
    check_k(k, Y.shape[1])
    indices, _ = rank_scores(y_score, Y.shape, k)
    return Y, indices, holds_labels(Y, indices)


def rank_scores(y_score, shape, k):
    """Rank the labels of each row by score, or take over the ranking given.

    Parameters
    ----------
    y_score : array-like, sparse matrix or array, or tuple
        Predictions, in any of the forms listed in `skxmc.metrics`.
    shape : tuple of int
        (n_samples, n_labels).
    k : int
        Number of labels to rank in each row.

    Returns
    -------
    indices : ndarray of shape (n_samples, k), intp
        Labels, best first; -1 for none.
    scores : array-like of shape (n_samples, k or more) or None
        Their scores; those that came with a ranking as they were given.
    """
    if isinstance(y_score, tuple):
        if len(y_score) != 2:
            raise ValueError(
                f"y_score is a tuple of {len(y_score)}; pass (indices, scores), as "
                "predict_topk returns, or an array."
            )
        return _check_ranking(y_score[0], shape, k), y_score[1]
    if sp.issparse(y_score):
        _check_shape(y_score, shape)
        check_structure(y_score, "y_score")
        y_score = sp.csr_array(y_score)
        _check_no_nan(y_score.data)
        return topk_csr(y_score, k)
    y_score = np.asarray(y_score)
    if y_score.dtype.kind in "iu" and y_score.shape[1:] != shape[1:]:
        return _check_ranking(y_score, shape, k), None
    _check_shape(y_score, shape)
    if y_score.dtype.kind != "f":
        y_score = y_score.astype(np.float64)
    _check_no_nan(y_score)
    return topk_dense(y_score, k)


def _check_shape(y_score, shape):
    if y_score.shape != shape:
        raise ValueError(
            f"y_score has shape {y_score.shape}, but y_true has shape {shape}; pass "
            "one score per sample and label, or ranked label indices as integers."
        )


def _check_no_nan(scores):
    # The minimum of an array with NaN is NaN, and needs no temporary array.
    if np.isnan(np.min(scores, initial=0)):
        raise ValueError("y_score holds NaN, which has no rank; replace it by -inf.")


def _check_ranking(indices, shape, k):
    """Return the first k columns of ranked label indices, once they are valid."""
    indices = np.asarray(indices)
    if indices.dtype.kind not in "iu":
        raise TypeError(
            f"The ranked labels in y_score are of dtype {indices.dtype}; "
            "pass integer label indices."
        )
    if indices.ndim != 2 or len(indices) != shape[0] or indices.shape[1] < k:
        raise ValueError(
            f"The ranked labels in y_score have shape {indices.shape}, but y_true has "
            f"shape {shape} and k={k}; pass one row per sample with at least k labels "
            "(-1 for none)."
        )
    indices = indices[:, :k].astype(np.intp)
    _check_labels(indices, n_labels=shape[1])
    return indices


def _check_labels(indices, n_labels):
    outside = np.argwhere((indices < -1) | (indices >= n_labels))
    if outside.size:
        row, rank = outside[0]
        raise ValueError(
            f"y_score ranks label {indices[row, rank]} in row {row}, but y_true has "
            f"{n_labels} labels; pass indices from 0 to {n_labels - 1}, or -1 for none."
        )
    ordered = np.sort(indices, axis=1)
    repeated = np.argwhere((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0))
    if repeated.size:
        row, rank = repeated[0]
        raise ValueError(
            f"y_score ranks label {ordered[row, rank]} more than once among the first "
            f"{indices.shape[1]} labels of row {row}; pass each label once."
        )
