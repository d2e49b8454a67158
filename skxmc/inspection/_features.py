"""Which features of a row speak for a label."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from skxmc.inspection._contributions import make_table
from skxmc.inspection._input import check_row, find_label, split_model
from skxmc.inspection._shapley import shapley_values

# Subsets that a row is explained by, for each feature and at least.
_SUBSETS_PER_FEATURE, _MIN_SUBSETS = 10, 256


def feature_contributions(
    estimator,
    X,
    label=None,
    *,
    feature_names=None,
    n_subsets=None,
    random_state=None,
):
    """Compute which features of a row speak for a label.

    Contributions are Shapley values of the non-zero features: what a feature adds to
    the probability of the label when the features of the row are added to an empty row
    one after the other, on average over all orders. They sum to the score of the row
    less the score of an empty row, whatever the estimator computes, and share out what
    several features say alike.

    Parameters
    ----------
    estimator : object
        A fitted estimator of skxmc, compressed or not, a pipeline that ends in one,
        or an `XMCTextClassifier`, whose labels are names.
    X : {array-like, sparse matrix or array} of shape (1, n_features)
        One row, in the form that `estimator.predict` takes: for a pipeline that starts
        from texts, a list of one text.
    label : int or class label, default=None
        The column of an indicator, or the class label after a fit on 1-D y. None
        stands for the most probable one.
    feature_names : array-like of shape (n_features,), default=None
        Names of the features that the last step sees. By default those that the steps
        before it give, or that it was fitted with, or tokens of texts, else "x0", ...
    n_subsets : int, default=None
        Subsets of the features to predict from, at least two for each feature. With
        ``2 ** n_nonzero`` or more the contributions are exact; fewer are drawn at
        random, and make the split less precise, but not its sum. None stands for ten a
        feature, and 256 at least, so that up to eight features are exact.
    random_state : int, RandomState or None, default=None
        Draws the subsets.

    Returns
    -------
    contributions : Contributions
        Of each non-zero feature, the largest first; the baseline is the score of an
        empty row. Where the estimator centres X, which it does with dense rows that
        have much in common: of each that is not the mean, and the score of the mean.

    Raises
    ------
    TypeError
        If `estimator` is none of these.
    ValueError
        If `X` is not one row, or the label is unknown.

    See Also
    --------
    training_row_contributions : Which training rows speak for a label.
    skxmc.display.ContributionDisplay : The same as a bar plot.

    Notes
    -----
    The sampled ones are those of Kernel SHAP [1]_, with an empty row in place of
    background data and subsets drawn together with what they leave out. A label that
    an estimator does not score for a subset (no neighbour has it, its group is no
    candidate) counts with 0 there, as in `predict_topk`.

    References
    ----------
    .. [1] Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions",
       NeurIPS 2017.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from skxmc import DECLAREClassifier
    >>> from skxmc.inspection import feature_contributions
    >>> texts = ["red wine", "white wine", "red apple", "green apple"] * 10
    >>> drinks = ["wine", "wine", "apple", "apple"] * 10
    >>> model = make_pipeline(TfidfVectorizer(), DECLAREClassifier(random_state=0))
    >>> model = model.fit(texts, drinks)
    >>> feature_contributions(model, ["a red wine"]).names
    array(['wine', 'red'], dtype=object)
    """
    if n_subsets is not None and (not isinstance(n_subsets, Integral) or n_subsets < 1):
        raise ValueError(
            f"n_subsets={n_subsets!r} is neither None nor a whole number of at least 1."
        )
    estimator, X, names, classes = split_model(estimator, X, feature_names)
    row, x = check_row(estimator, X)
    column = find_label(estimator, classes, x, label)
    values, score, empty = shapley_values(
        lambda block: estimator._score_label(block, column),
        x,
        n_subsets or max(_MIN_SUBSETS, _SUBSETS_PER_FEATURE * x.nnz),
        check_random_state(random_state),
    )
    columns = estimator._original_columns(x)
    names = _name_features(estimator, x, columns, row.shape[1], names)
    entries = columns, names, row[:, columns].toarray()[0], values
    return make_table(classes[column], score, empty, *entries)


def _name_features(estimator, x, columns, n_features, names):
    """Return names of the non-zero features of a row, which are in `columns`."""
    if names is not None and len(names) != n_features:
        raise ValueError(
            f"feature_names has {len(names)} names, but the model has {n_features} "
            "features; pass a name for each."
        )
    if names is not None:
        return np.array([names[j] for j in columns], dtype=object)
    own = estimator._feature_names(x)
    if own is None:
        own = [f"x{j}" for j in columns]
    return np.array(own, dtype=object)
