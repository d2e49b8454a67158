"""Scorers for model selection with ranking metrics; public in `skxmc.metrics`."""

from inspect import signature

import numpy as np
import scipy.sparse as sp
from sklearn.metrics._scorer import _BaseScorer
from sklearn.utils.multiclass import type_of_target

from skxmc._innermost import takes_names
from skxmc._tags import encode_tags, holds_names, read_tags
from skxmc.metrics import _precision, _propensity

_METRICS = {
    metric.__name__: metric
    for metric in (
        _precision.precision_at_k,
        _precision.recall_at_k,
        _precision.ndcg_at_k,
        _precision.coverage_at_k,
        _propensity.propensity_scored_precision_at_k,
        _propensity.propensity_scored_ndcg_at_k,
    )
}


def make_topk_scorer(metric, *, k=5, **kwargs):
    """Make a scorer from a ranking metric.

    The scorer ranks by ``predict_proba``, dense or sparse. It takes indicator y, dense
    or sparse, as well as 1-D y of class labels; a class that the estimator does not
    know makes a row without true labels. With
    :class:`~skxmc.XMCTextClassifier` it takes texts and lists of names.

    Parameters
    ----------
    metric : str or callable
        Metric of :mod:`skxmc.metrics` or its name, or any function
        ``metric(y_true, y_score, *, k)`` that is better when greater.
    k : int, default=5
        Number of labels to look at in each row.
    **kwargs
        Further arguments of the metric, such as `propensities`.

    Returns
    -------
    callable
        Scorer ``(estimator, X, y) -> float``, for the `scoring` of
        :class:`~sklearn.model_selection.GridSearchCV` and the like. Given several,
        these call ``predict_proba`` once for all, unless there are only two labels.

    Raises
    ------
    ValueError
        If there is no metric of that name.
    TypeError
        If the metric lacks an argument, or does not take one that is given.

    Examples
    --------
    >>> from skxmc.metrics import make_topk_scorer
    >>> make_topk_scorer("precision_at_k", k=3)
    make_topk_scorer(precision_at_k, k=3)
    """
    metric = find_metric(metric)
    kwargs = {"k": k, **kwargs}
    # Within a grid search a wrong argument would only surface as NaN scores.
    signature(metric).bind("y_true", "y_score", **kwargs)
    return _TopKScorer(metric, kwargs)


def make_xmc_scorers(ks=(1, 3, 5), propensities=None):
    """Make the scorers that are usual in extreme classification.

    Parameters
    ----------
    ks : iterable of int, default=(1, 3, 5)
        Numbers of labels to look at in each row.
    propensities : array-like of shape (n_labels,), default=None
        Probabilities from :func:`label_propensities`. If given, propensity-scored
        metrics are included.

    Returns
    -------
    dict of str to callable
        For each k, scorers named ``"precision_at_1"`` and ``"ndcg_at_1"``, and with
        `propensities` also ``"propensity_scored_precision_at_1"`` and
        ``"propensity_scored_ndcg_at_1"``. To be passed as `scoring` together with,
        e.g., ``refit="precision_at_1"``.

    Examples
    --------
    >>> from skxmc.metrics import make_xmc_scorers
    >>> list(make_xmc_scorers(ks=(1, 5)))
    ['precision_at_1', 'precision_at_5', 'ndcg_at_1', 'ndcg_at_5']
    """
    ks = tuple(ks)
    arguments: dict[str, dict] = {"precision_at_k": {}, "ndcg_at_k": {}}
    if propensities is not None:
        weighted = {"propensities": propensities}
        arguments["propensity_scored_precision_at_k"] = weighted
        arguments["propensity_scored_ndcg_at_k"] = weighted
    return {
        f"{metric.removesuffix('_k')}_{k}": make_topk_scorer(metric, k=k, **kwargs)
        for metric, kwargs in arguments.items()
        for k in ks
    }


def find_metric(metric):
    """Return the metric of that name; a function is returned as it is.

    Parameters
    ----------
    metric : str or callable
        Name of a metric of `skxmc.metrics`, or any function.

    Returns
    -------
    metric : callable

    Raises
    ------
    ValueError
        If there is no metric of that name.
    """
    if callable(metric):
        return metric
    if metric not in _METRICS:
        raise ValueError(
            f"metric={metric!r} is unknown; pass a function or one of "
            f"{sorted(_METRICS)}."
        )
    return _METRICS[metric]


class _TopKScorer(_BaseScorer):
    """Scorer that ranks by `predict_proba`.

    Scikit-learn shares predictions only between scorers of its own private class.
    """

    def __init__(self, metric, kwargs):
        super().__init__(metric, 1, kwargs, response_method="predict_proba")

    def __repr__(self):
        with np.printoptions(threshold=5):
            arguments = "".join(f", {k}={v!r}" for k, v in self._kwargs.items())
        return f"make_topk_scorer({self._score_func.__name__}{arguments})"

    def _score(self, method_caller, estimator, X, y_true, **kwargs):
        if hasattr(estimator, "to_matrices"):  # of texts and names, what they stand for
            X, y_true = estimator.to_matrices(X, y_true)
            estimator = estimator.classifier_
        classes = estimator.classes_
        # Up to two labels look like a binary problem to scikit-learn, and its
        # method_caller then hands over the probability of the second one only.
        if type_of_target(classes) == "binary":
            y_score = estimator.predict_proba(X)
        else:
            y_score = method_caller(estimator, "predict_proba", X)
        if takes_names(estimator) or holds_names(y_true):
            y_true = encode_tags(read_tags(y_true)[0], classes)
        if not sp.issparse(y_true) and np.ndim(y_true) == 1:
            y_true = encode_labels(np.asarray(y_true), np.asarray(classes))
        return self._score_func(y_true, y_score, **{**self._kwargs, **kwargs})


def encode_labels(y, classes):
    """Turn class labels into a CSR indicator with a column for each class.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Class labels; an unknown one makes a row without true labels.
    classes : ndarray of shape (n_labels,)
        All class labels.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_labels)
    """
    order = np.argsort(classes)
    positions = np.searchsorted(classes, y, sorter=order)
    columns = order[np.minimum(positions, len(classes) - 1)]
    known = classes[columns] == y
    indptr = np.append(0, np.cumsum(known))
    return sp.csr_array(
        (np.ones(indptr[-1]), columns[known], indptr), shape=(len(y), len(classes))
    )
