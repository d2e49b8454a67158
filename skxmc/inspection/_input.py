"""What is explained: an estimator, perhaps with a vectorizer, one row and one label."""

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from skxmc._base import BaseXMCClassifier
from skxmc._text_classifier import XMCTextClassifier


def split_model(estimator, X, names):
    """Return the last step, what it is given for X, names of its features, labels."""
    classes = getattr(estimator, "classes_", None)
    if isinstance(estimator, XMCTextClassifier):
        check_is_fitted(estimator)
        estimator = make_pipeline(estimator.vectorizer_, estimator.classifier_)
    if isinstance(estimator, Pipeline):
        before, estimator = estimator[:-1], estimator[-1]
        if len(before):
            X = before.transform(X)
            names = _names_out(before) if names is None else names
    if not isinstance(estimator, BaseXMCClassifier):
        raise TypeError(
            f"estimator is a {type(estimator).__name__}; pass an estimator of skxmc, "
            "a pipeline that ends in one or an XMCTextClassifier (of a search, its "
            "best_estimator_)."
        )
    check_is_fitted(estimator)
    return estimator, X, names, estimator.classes_ if classes is None else classes


def _names_out(transformer):
    try:
        return transformer.get_feature_names_out()
    except AttributeError:  # one of its steps knows no names
        return None


def check_row(estimator, X):
    """Return the only row of X as canonical CSR, and as the model sees it."""
    X = estimator._check_rows(X)
    if X.shape[0] != 1:
        raise ValueError(
            f"X has {X.shape[0]} rows, but one prediction is explained at a time; pass "
            "a single row, such as X[[0]]."
        )
    return X, estimator._balanced(X)


def find_label(estimator, classes, x, label):
    """Return the position of a label in `classes`; of None, of the best label."""
    if label is None:
        return int(estimator._rank(x, 1)[0][0, 0])
    is_one = np.ndim(label) == 0
    found = np.flatnonzero(is_one and classes == label)
    if not len(found):
        raise ValueError(
            f"label={label!r} is none of the {len(classes)} labels of the model, "
            f"classes_[0]={classes[:1].tolist()[0]!r} to "
            f"classes_[-1]={classes[-1:].tolist()[0]!r}; pass an entry of classes_."
        )
    return int(found[0])
