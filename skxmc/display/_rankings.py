"""Estimators and targets, brought to what the metrics take."""

from functools import partial
from inspect import Parameter, signature

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array, column_or_1d

from skxmc._innermost import innermost, takes_names
from skxmc._tags import encode_tags, holds_names, read_tags
from skxmc._validation import check_indicator
from skxmc.metrics import label_propensities
from skxmc.metrics._scorers import encode_labels, find_metric


def rank_labels(estimator, X, k):
    """Rank the labels of all rows in one call.

    Parameters
    ----------
    estimator : estimator instance
        Fitted classifier, Pipeline or search. Without ``predict_topk`` it needs a
        ``predict_proba``, of shape (n_samples, n_labels).
    X : array-like
        Input rows.
    k : int
        How many labels to rank.

    Returns
    -------
    y_score : tuple, ndarray or sparse matrix
        In a form that the metrics take.
    classes : ndarray of shape (n_labels,) or None
        The estimator's `classes_`.
    """
    classifier, X = innermost(estimator, X)
    classes = getattr(classifier, "classes_", None)
    if hasattr(classifier, "predict_topk"):
        return classifier.predict_topk(X, k=k), classes
    if not hasattr(classifier, "predict_proba"):
        raise TypeError(
            f"{type(classifier).__name__} has neither predict_topk nor predict_proba; "
            "pass a classifier that has one, or rankings to from_predictions."
        )
    P = classifier.predict_proba(X)
    if isinstance(P, list):
        raise TypeError(
            f"predict_proba of {type(classifier).__name__} returns a list of "
            f"{len(P)} arrays; pass their last columns, side by side, to "
            "from_predictions."
        )
    return P, classes


def named_labels(estimator, y, classes):
    """Return y, or the indicator that names in it stand for where these are taken."""
    if y is None or not takes_names(innermost(estimator)[0]):
        return y
    return encode_tags(read_tags(y)[0], np.asarray(classes))


def as_indicator(y, classes, name="y_true"):
    """Bring targets in any form that estimators take to an indicator.

    Parameters
    ----------
    y : array-like of shape (n_samples,), or array-like, sparse matrix or array of \
            shape (n_samples, n_labels)
        Class labels or a 0/1 indicator; pandas objects too. Or lists of names, of an
        `XMCTextClassifier`.
    classes : array-like of shape (n_labels,) or None
        All class labels, for 1-D y and for names. One that is not among them is left
        out.
    name : str, default="y_true"
        What to call it in errors.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_labels), float
    """
    if classes is not None and holds_names(y):
        return encode_tags(read_tags(y)[0], np.asarray(classes))
    y = check_array(y, accept_sparse=True, ensure_2d=False, dtype=None, input_name=name)
    if sp.issparse(y) or (y.ndim == 2 and y.shape[1] != 1):
        return check_indicator(y, name)
    if classes is None:
        raise ValueError(
            f"{name} is 1-D, so the predicted positions need names; pass "
            "classes=estimator.classes_."
        )
    return encode_labels(column_or_1d(y, warn=True), np.asarray(classes))


def bound_metric(metric, y_train, classes):
    """Return a metric ``(y_true, y_score, *, k)``.

    Parameters
    ----------
    metric : str or callable
        As for :func:`skxmc.metrics.make_topk_scorer`.
    y_train : array-like or None
        Training targets, of which propensities are estimated if the metric lacks them.
    classes : array-like or None
        All class labels, for 1-D y_train.

    Returns
    -------
    function : callable

    Raises
    ------
    ValueError
        If the metric is unknown, or needs propensities and `y_train` is None.
    """
    function = find_metric(metric)
    parameter = signature(function).parameters.get("propensities")
    if parameter is None or parameter.default is not Parameter.empty:
        return function
    if y_train is None:
        raise ValueError(
            f"metric={metric_name(metric)!r} weights labels by their frequency in "
            "training; pass y_train."
        )
    Y_train = as_indicator(y_train, classes, "y_train")
    return partial(function, propensities=label_propensities(Y_train))


def metric_name(metric):
    """Return the name of a metric given by name, as a function or as a partial one."""
    if isinstance(metric, str):
        return metric
    function = getattr(metric, "func", metric)
    return getattr(function, "__name__", type(function).__name__)


def metric_label(metric):
    """Return the name of a metric as figures show it, such as "nDCG@k"."""
    label = metric_name(metric).replace("_at_k", "@k").replace("ndcg", "nDCG")
    label = label.replace("propensity_scored_", "propensity-scored ").replace("_", " ")
    return label if label.startswith("nDCG") else label[:1].upper() + label[1:]
