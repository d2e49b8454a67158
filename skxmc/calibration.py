"""Probabilities that mean what they say, of the best labels of each row."""

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    _fit_context,
    clone,
)
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skxmc._calibration import (
    IsotonicMap,
    SigmoidMap,
    apply_rank_maps,
    fit_rank_maps,
    share_among_classes,
)
from skxmc._doc_links import DocLinkMixin
from skxmc._innermost import takes_names
from skxmc._predictions import RankingPredictions
from skxmc._suggestions import suggest
from skxmc._topk import check_k
from skxmc.metrics._ranking import evaluate_top_k
from skxmc.model_selection import cross_val_topk
from skxmc.model_selection._cross_val import (
    check_labels,
    rank_labels,
    read_targets,
    without_names,
)

__all__ = ["TopKCalibratedClassifier"]

_MAPS = {"isotonic": IsotonicMap, "sigmoid": SigmoidMap}


class TopKCalibratedClassifier(
    RankingPredictions, DocLinkMixin, MetaEstimatorMixin, ClassifierMixin, BaseEstimator
):
    """Classifier whose probabilities are those with which its best labels are right.

    Of the labels that it gives a probability of 0.7, some 70 % are right. Rows are
    ranked by models that were not trained on them, and a rising map is fitted for each
    rank, from the score of a label to how often such labels are true. The ranking of
    a row stays what it is; nothing of shape (n_samples, n_labels) is made of sparse y.

    Parameters
    ----------
    estimator : object
        Classifier with ``predict_topk`` and scores from 0 to 1, also of texts, or a
        pipeline or search that ends with one. It is cloned and fitted ``n_splits + 1``
        times. For one that is fitted already, pass ``FrozenEstimator(fitted)`` and call
        `fit` on rows that it was not fitted on.
    method : {"isotonic", "sigmoid"}, default="isotonic"
        A rising step-like map without parameters, or Platt's sigmoid of the score's
        logit, which is for few rows (some hundreds).
    cv : int, splitter, iterable or None, default=None
        How to split, see :func:`~skxmc.model_selection.cross_val_topk`; None is 5
        folds. Each row must be tested once. Of no effect on a frozen estimator.
    k : int, default=5
        Number of ranks that have a map of their own; at most the number of labels
        counts. For sparse y, as many labels stand in a row of `predict_proba`.
    threshold : float, default=0.5
        Calibrated probability from which on `predict` assigns a label.
    n_jobs : int, default=None
        Folds to fit at a time, in processes of their own.

    Attributes
    ----------
    estimator_ : object
        The estimator, fitted on all rows (or the frozen one).
    calibrators_ : list of callables
        For each rank, the map from scores to probabilities.
    classes_ : ndarray of shape (n_labels,)
        Class labels of 1-D y, names of the labels of texts, else column numbers.
    n_features_in_ : int
        Number of features; only if `estimator_` has it.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features; only if `estimator_` has it.

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : For dense multi-class problems.
    skxmc.model_selection.cross_val_topk : The rankings that the maps are fitted to.

    Notes
    -----
    With s_1 >= s_2 >= ... the scores of a row and m_j the map of rank j, the label at
    rank j has the probability ``0.999 min(m_1(s_1), ..., m_j(s_j)) + 0.001 s_j``; the
    last map stands for ranks beyond `k`. The second term keeps labels apart that stand
    on one step of an isotonic map.

    For 1-D y, where one class is right, the probabilities of the `k` best are scaled
    down if they sum to more than 1, and the other classes share what is left in
    proportion to their scores, or less, if the best of them overtook the last of the
    `k`. Rows of `predict_proba` are divided by their sums.

    References
    ----------
    .. [1] J. Platt, "Probabilistic outputs for support vector machines and comparisons
       to regularized likelihood methods", 1999.
    .. [2] B. Zadrozny, C. Elkan, "Transforming classifier scores into accurate
       multiclass probability estimates", KDD 2002.

    Examples
    --------
    >>> from skxmc import DECLAREClassifier
    >>> from skxmc.calibration import TopKCalibratedClassifier
    >>> from skxmc.datasets import make_xmc_classification
    >>> X, Y = make_xmc_classification(500, n_labels=20, random_state=0)
    >>> clf = TopKCalibratedClassifier(DECLAREClassifier(random_state=0), cv=2, k=3)
    >>> indices, probabilities = clf.fit(X[:400], Y[:400]).predict_topk(X[400:], k=3)
    >>> probabilities.shape
    (100, 3)
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit"])],
        "method": [StrOptions({*_MAPS})],
        "cv": ["cv_object"],
        "k": [Interval(Integral, 1, None, closed="left")],
        "threshold": [Interval(Real, 0, 1, closed="both")],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        estimator,
        *,
        method="isotonic",
        cv=None,
        k=5,
        threshold=0.5,
        n_jobs=None,
    ):
        self.estimator = estimator
        self.method = method
        self.cv = cv
        self.k = k
        self.threshold = threshold
        self.n_jobs = n_jobs

    # False: the inner estimator checks its own parameters.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Fit the estimator, and the maps from its scores to probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, ...)
            Input rows, as the estimator takes them.
        y : {array-like, sparse matrix or array}
            Labels: a 0/1 indicator of shape (n_samples, n_labels), or one class label
            a row, shape (n_samples,). Its container is that of the predictions. Of
            :class:`~skxmc.XMCTextClassifier`, lists of names, or one name a row.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If the estimator has no ``predict_topk``.
        ValueError
            If its scores are not from 0 to 1, or it is frozen and has other columns
            than `y`; and whatever the estimator and `cv` raise.
        """
        y, form = read_targets(self.estimator, y)
        estimator, form, ranking = self._fit_and_rank(X, y, form)
        _check_scores(ranking[1])
        truth, known = _is_true(y, form, ranking[0]), ranking[0] >= 0
        maps = fit_rank_maps(ranking[1], truth, known, _MAPS[self.method])
        if form.is_named:  # names may be too rare to be labels
            form = replace(form, classes=estimator.classes_)
        self.estimator_, self.calibrators_ = estimator, maps
        self.classes_, self._form = form.classes, form
        return self

    def _fit_and_rank(self, X, y, form):
        """Return a fitted estimator, its form of y, and a ranking of unseen rows."""
        k = min(self.k, form.n_labels)
        if not isinstance(self.estimator, FrozenEstimator):
            estimator = clone(self.estimator).fit(X, y)
            options = {"k": k, "cv": self.cv, "n_jobs": self.n_jobs}
            return estimator, form, cross_val_topk(self.estimator, X, y, **options)
        check_is_fitted(self.estimator)
        classes = self.estimator.classes_
        if form.is_named:  # y may lack some
            form = replace(form, classes=classes)
        check_labels(classes, form)
        k = min(self.k, form.n_labels)
        return self.estimator, form, rank_labels(self.estimator, X, k)

    def predict_topk(self, X, k=5):
        """Rank the most probable labels.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, ...)
            Input rows.
        k : int, default=5
            How many labels to rank. Ranks beyond the parameter `k` have the map of its
            last.

        Returns
        -------
        indices : ndarray of shape (n_samples, k), intp
            Positions in `classes_`, in the order of the estimator.
        probabilities : ndarray of shape (n_samples, k), float32
            How likely each of them is right, not rising along a row.

        Raises
        ------
        ValueError
            If `k` is larger than the number of labels.
        """
        check_is_fitted(self)
        n_labels, n_maps = self._form.n_labels, len(self.calibrators_)
        check_k(k, n_labels)
        n_ranks = max(k, n_maps) if self._form.is_single_label else k
        indices, scores = rank_labels(self.estimator_, X, n_ranks)
        P = apply_rank_maps(self.calibrators_, scores)
        if self._form.is_single_label:
            P = share_among_classes(P, scores, n_maps, n_labels)
        return indices[:, :k], P[:, :k].astype(np.float32)

    @available_if(lambda self: takes_names(self.estimator))
    def suggest(self, texts, k=5):
        """List the names of the most probable tags, of a model of texts.

        Parameters
        ----------
        texts : str or sequence of str of shape (n_samples,)
            The texts, or a single one.
        k : int, default=5
            Names a text at most; those of probability 0 are left out, too.

        Returns
        -------
        suggestions : pandas.DataFrame or list of tuples
            As by :meth:`XMCTextClassifier.suggest <skxmc.XMCTextClassifier.suggest>`,
            with calibrated probabilities as "score".
        """
        return suggest(self, texts, k)

    @property
    def n_features_in_(self):
        """Number of features seen in `fit`."""
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self):
        """Names of the features seen in `fit`."""
        return self.estimator_.feature_names_in_

    def _n_kept(self):
        n_labels = self._form.n_labels
        return min(self.k, n_labels) if self._form.is_sparse else n_labels

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        own = get_tags(self.estimator)
        tags.input_tags = own.input_tags
        if takes_names(self.estimator):  # of which classifiers are refused
            tags.estimator_type = None
        if own.classifier_tags is not None:
            tags.classifier_tags.multi_label = own.classifier_tags.multi_label
        return tags


def _is_true(y, form, indices):
    """Tell which of the ranked labels are true, an index of -1 being none."""
    if form.is_single_label:
        return (form.classes[indices] == y[:, None]) & (indices >= 0)
    Y = without_names(y, form)
    return evaluate_top_k(Y, (indices, None), indices.shape[1])[2]


def _check_scores(scores):
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(
            f"The estimator's scores run from {scores.min()} to {scores.max()}; pass "
            "an estimator whose predict_topk gives scores from 0 to 1."
        )
