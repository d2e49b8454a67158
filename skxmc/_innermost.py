"""What is fitted within a pipeline, a search or a frozen estimator."""

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline


def innermost(estimator, X=None):
    """Return the classifier in a pipeline or search, and X as it sees it.

    Neither forwards ``predict_topk`` and the like itself.

    Parameters
    ----------
    estimator : estimator instance
        Fitted classifier, or a fitted `Pipeline`, search or `FrozenEstimator` that ends
        in one.
    X : array-like, default=None
        Input rows.

    Returns
    -------
    classifier : estimator instance
    X : array-like or None
        The rows, transformed by all steps before it.
    """
    while True:
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif isinstance(estimator, Pipeline):
            if X is not None and len(estimator) > 1:
                X = estimator[:-1].transform(X)
            estimator = estimator[-1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator, X


def takes_names(estimator):
    """Tell whether an estimator, or what ranks within it, takes texts and names."""
    if isinstance(estimator, Pipeline):
        return takes_names(estimator.steps[-1][1])
    if hasattr(estimator, "to_matrices"):
        return True
    return hasattr(estimator, "estimator") and takes_names(estimator.estimator)
