"""Which training rows speak for a label."""

import numpy as np

from skxmc._declare import DECLAREClassifier
from skxmc.inspection._contributions import make_table
from skxmc.inspection._input import check_row, find_label, split_model


def training_row_contributions(estimator, X, label=None):
    """Compute which training rows speak for a label, for `DECLAREClassifier`.

    Its labels are those of the training rows whose codes, and inputs, are most similar
    to the row. A neighbour that has the label adds its weight in the vote to the
    label's score, less the share of the linear decoder where the two are blended.

    Parameters
    ----------
    estimator : object
        A fitted `DECLAREClassifier` with ``decoder="blend"`` or ``"neighbors"``, or a
        pipeline that ends in one.
    X : {array-like, sparse matrix or array} of shape (1, n_features)
        One row, in the form that `estimator.predict` takes.
    label : int or class label, default=None
        The column of an indicator, or the class label after a fit on 1-D y. None
        stands for the most probable one.

    Returns
    -------
    contributions : Contributions
        Of each neighbour, with its row number in the X of `fit` and its weight, which
        sum to 1. The contribution is 0 where the row does not have the label. The
        baseline is what the linear decoder adds.

    Raises
    ------
    TypeError
        If `estimator` does not end in a `DECLAREClassifier`.
    ValueError
        If it decodes linearly, `X` is not one row, or the label is unknown.

    See Also
    --------
    feature_contributions : Which features speak for a label.

    Notes
    -----
    With ``keys="exact"``, rows with the same labels have one code in common and cannot
    be told apart by it: they share its weight equally.

    Examples
    --------
    >>> from skxmc import DECLAREClassifier
    >>> from skxmc.datasets import make_xmc_classification
    >>> from skxmc.inspection import training_row_contributions
    >>> X, Y = make_xmc_classification(n_labels=50, random_state=0)
    >>> clf = DECLAREClassifier(random_state=0).fit(X[:800], Y[:800])
    >>> explained = training_row_contributions(clf, X[[800]])
    >>> row = explained.indices[0]
    >>> int(Y[row, explained.label])
    1
    """
    estimator, X, _, classes = split_model(estimator, X, None)
    if not isinstance(estimator, DECLAREClassifier):
        raise TypeError(
            f"{type(estimator).__name__} does not predict from training rows alone, as "
            "DECLAREClassifier does. Use feature_contributions."
        )
    if estimator.decoder == "linear":
        raise ValueError(
            'decoder="linear" does not look at training rows; set decoder to "blend" '
            'or "neighbors", which needs no new fit, or use feature_contributions.'
        )
    _, x = check_row(estimator, X)
    column = find_label(estimator, classes, x, label)
    score = float(estimator._score_label(x, column)[0])
    rows, weights, contributions = estimator._explain_vote(x, column)
    names = np.array([f"row {row}" for row in rows], dtype=object)
    entries = rows, names, weights, contributions
    rest = max(0.0, score - contributions.sum())  # not below 0 by rounding
    return make_table(classes[column], score, rest, *entries)
