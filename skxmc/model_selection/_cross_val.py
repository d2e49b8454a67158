"""Rankings of rows by models that did not see them; public in `skxmc.model_selection`.

scikit-learn's `cross_val_predict` refuses sparse y where probabilities are asked for.
"""

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.parallel import Parallel, delayed

from skxmc._innermost import innermost, takes_names
from skxmc._tags import encode_tags, learn_names, read_tags
from skxmc._targets import TargetForm, encode_targets
from skxmc._topk import check_k


def cross_val_topk(estimator, X, y, *, k=5, cv=None, groups=None, n_jobs=None):
    """Rank the best labels of each row by a model that was fitted without it.

    What ``cross_val_predict(method="predict_topk")`` would be: it takes sparse y, and
    makes nothing of shape (n_samples, n_labels).

    Parameters
    ----------
    estimator : object
        Classifier with ``predict_topk``, or a pipeline that ends with one, or a search
        over parameters of either. It is cloned, and stays as it is.
    X : {array-like, sparse matrix or array} of shape (n_samples, ...)
        Input rows, in any form that `estimator` takes and rows can be chosen of.
    y : {array-like, sparse matrix or array}
        Labels: a 0/1 indicator of shape (n_samples, n_labels), or one class label a
        row, shape (n_samples,). Of :class:`~skxmc.XMCTextClassifier`, the names of each
        row's tags, or one name a row.
    k : int, default=5
        How many labels to rank.
    cv : int, splitter, iterable or None, default=None
        How to split. A number of folds, 5 for None, stands for
        :class:`~sklearn.model_selection.StratifiedKFold` if y is 1-D, and else for
        :class:`~sklearn.model_selection.KFold`; neither shuffles.
        :class:`IterativeStratifiedKFold` keeps rare labels in training sets, also those
        of lists of names: splitters see their indicator.
    groups : array-like of shape (n_samples,), default=None
        Groups of rows, for splitters that keep them together.
    n_jobs : int, default=None
        Folds to fit at a time, in processes of their own; None means 1 and -1 means
        one for each core.

    Returns
    -------
    indices : ndarray of shape (n_samples, k), intp
        Labels, best first: columns of y, positions in ``np.unique(y)`` if it is 1-D, or
        in the sorted names of all rows, which are those of
        :class:`~sklearn.preprocessing.MultiLabelBinarizer`. A training set without some
        classes or names gives a model that cannot rank them; where it has fewer than
        `k`, a ranking ends with -1.
    scores : ndarray of shape (n_samples, k), float
        Their scores; 0 where the label is -1.

    Raises
    ------
    TypeError
        If the estimator has no ``predict_topk``, or `k` is no integer.
    ValueError
        If `k` is below 1 or above the number of labels, `cv` does not test each row
        once, or the fitted estimator has other labels than `y`.

    See Also
    --------
    sklearn.model_selection.cross_val_predict : The same for `predict`.

    Examples
    --------
    >>> from skxmc import DECLAREClassifier
    >>> from skxmc.datasets import make_xmc_classification
    >>> from skxmc.metrics import precision_at_k
    >>> from skxmc.model_selection import cross_val_topk
    >>> X, Y = make_xmc_classification(300, n_labels=20, random_state=0)
    >>> ranking = cross_val_topk(DECLAREClassifier(random_state=0), X, Y, k=3, cv=2)
    >>> ranking[0].shape, precision_at_k(Y, ranking, k=3) > 0.2
    ((300, 3), True)
    """
    y, form = read_targets(estimator, y)
    check_k(k, form.n_labels)
    X, y, groups = indexable(X, y, groups)
    cv = check_cv(cv, y, classifier=True) if form.is_single_label else check_cv(cv)
    splits = [*cv.split(X, without_names(y, form), groups)]
    tested = np.concatenate([test for _, test in splits])
    _check_partition(tested, y.shape[0])
    parts = Parallel(n_jobs=n_jobs)(
        delayed(_rank_fold)(clone(estimator), X, y, split, form, k) for split in splits
    )
    in_order = np.argsort(tested)
    return tuple(np.concatenate(part)[in_order] for part in zip(*parts, strict=True))


def read_targets(estimator, y):
    """Return targets of which rows can be chosen, and their form.

    Parameters
    ----------
    estimator : object
        What is to be fitted, which tells lists of names from a dense indicator.
    y : {array-like, sparse matrix or array}
        Labels as for `cross_val_topk`.

    Returns
    -------
    y : ndarray or CSR of shape (n_samples,) or (n_samples, n_labels)
        The same labels. Lists of names are objects in an array.
    form : TargetForm
        Their form; names are sorted, and those of all rows.

    Raises
    ------
    ValueError
        If `y` is None, or as by `encode_targets` or `read_tags`.
    """
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"{name} requires y to be passed, but the target y is None.")
    if not takes_names(estimator):
        form = encode_targets(y)[1]
        y = y if form.is_sparse else np.asarray(y)
        return y.ravel() if form.is_single_label else y, form
    rows, is_single = read_tags(y)
    names = learn_names(rows, 1)
    if is_single:
        y = np.array([row[0] for row in rows], dtype=names.dtype)
        return y, TargetForm("classes", y.dtype, names)
    form = TargetForm("names", np.dtype(np.int8), names)
    return np.fromiter(rows, dtype=object, count=len(rows)), form


def without_names(y, form):
    """Return y, or the indicator that lists of names in it stand for."""
    return encode_tags(y, form.classes) if form.kind == "names" else y


def rank_labels(estimator, X, k):
    """Rank labels by what is fitted within an estimator.

    Parameters
    ----------
    estimator : object
        A fitted classifier with ``predict_topk``, or a pipeline, a search or a
        `FrozenEstimator` with one inside.
    X : object
        Input rows, as `estimator` takes them.
    k : int
        How many labels to rank.

    Returns
    -------
    indices, scores : ndarray of shape (n_samples, k)
        As by ``predict_topk``.

    Raises
    ------
    TypeError
        If there is no ``predict_topk``.
    """
    estimator, X = innermost(estimator, X)
    if not hasattr(estimator, "predict_topk"):
        raise TypeError(
            f"{type(estimator).__name__} has no predict_topk; pass an estimator of "
            "skxmc, or a pipeline or a search (with refit) that ends with one."
        )
    return estimator.predict_topk(X, k=k)


def _rank_fold(estimator, X, y, split, form, k):
    """Fit on the training rows of a split and rank labels of `form` for the others."""
    train, test = split
    estimator.fit(_safe_indexing(X, train), y[train])
    check_labels(estimator.classes_, form)
    known = np.searchsorted(form.classes, estimator.classes_)
    n_ranks = min(k, len(known))
    indices, scores = rank_labels(estimator, _safe_indexing(X, test), n_ranks)
    missing = ((0, 0), (0, k - n_ranks))
    return np.pad(known[indices], missing, constant_values=-1), np.pad(scores, missing)


def check_labels(classes, form):
    """Raise ValueError if a model has labels that y lacks, or other columns.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        What the model was fitted on.
    form : TargetForm
        The form of all of y.
    """
    if form.is_named:
        unknown = np.setdiff1d(classes, form.classes)
        if len(unknown):
            raise ValueError(
                f"The estimator has {len(unknown)} classes that y lacks, such as "
                f"{unknown.tolist()[0]!r}; pass y that holds them all."
            )
    elif len(classes) != form.n_labels:
        raise ValueError(
            f"The estimator has {len(classes)} labels, but y has {form.n_labels} "
            "columns; pass y of the labels it was fitted on."
        )


def _check_partition(tested, n_samples):
    times = np.bincount(tested, minlength=n_samples)
    wrong = np.flatnonzero(times != 1)
    if wrong.size:
        raise ValueError(
            f"cv tests row {wrong[0]} {times[wrong[0]]} times, and {wrong.size} of "
            f"{n_samples} rows not just once; pass a splitter whose test sets are a "
            "partition, such as KFold or IterativeStratifiedKFold."
        )
