"""Texts in, names of tags out: vectorizer, classifier and label names in one model."""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skxmc._declare import DECLAREClassifier
from skxmc._doc_links import DocLinkMixin
from skxmc._model_files import save
from skxmc._stored_texts import register_text_classifier
from skxmc._suggestions import suggest
from skxmc._tags import (
    check_texts,
    decode_tags,
    encode_known_tags,
    encode_tags,
    learn_names,
    read_tags,
    texts_of,
)
from skxmc.metrics import precision_at_k


class XMCTextClassifier(DocLinkMixin, BaseEstimator):
    """Tag texts with names out of very many: vectorizer and classifier in one.

    `fit` learns the vocabulary of the texts and the set of tags; predictions are names
    again. Texts are a list, array or column (pandas, polars) of str. Tags are a list or
    column with a list, tuple or set of names for each text, or with one name for each,
    which makes the problem single-label.

    Parameters
    ----------
    classifier : object or None, default=None
        Estimator of this package, which learns labels from the vectors of the texts. A
        clone of it is fitted. None stands for ``DECLAREClassifier()``.
    vectorizer : transformer, "passthrough" or None, default=None
        What turns texts into vectors, such as a `TfidfVectorizer` or a union of them. A
        clone of it is fitted. "passthrough" hands the texts to a classifier that reads
        them, such as ``UniDECClassifier(encoder="path/to/model")``. None stands for a
        `TfidfVectorizer` with ``sublinear_tf=True``, ``dtype=np.float32`` and words of
        a single character, too.
    min_label_count : int, default=1
        Rows that a tag must occur in to become a label. Texts stay without tags that
        are rarer; a single-label problem is fitted without texts of rarer tags.
    label_texts : {"names"}, dict or None, default=None
        What labels are described by, for a classifier that takes `label_features`, such
        as `UniDECClassifier`: the words of their names, or the texts of a dict from
        names, which need not have all of them. They go through the vectorizer.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        The names of the labels, sorted: str as objects, or int64.
    classifier_ : object
        The fitted classifier, whose labels are positions in `classes_`.
    vectorizer_ : object
        The fitted vectorizer.

    See Also
    --------
    DECLAREClassifier : Labels compressed to codes and recovered from neighbours.
    UniDECClassifier : Labels that have texts of their own.

    Notes
    -----
    For scikit-learn this is no classifier (`is_classifier` is False), since
    its classifiers refuse lists of names as y. Model selection therefore never
    stratifies folds by itself: with one name a row, pass ``cv=StratifiedKFold(...)``.
    Scorers of :mod:`skxmc.metrics` take texts and tags.

    Parameters of None can be searched as if their default was there:
    ``set_params(classifier__n_components=64)``.

    Examples
    --------
    >>> from skxmc import DECLAREClassifier, XMCTextClassifier
    >>> texts = ["red wine", "white wine", "red apple", "green apple"] * 10
    >>> tags = [["drink", "red"], ["drink"], ["fruit", "red"], ["fruit"]] * 10
    >>> model = XMCTextClassifier(DECLAREClassifier(random_state=0)).fit(texts, tags)
    >>> model.predict(["a red wine", "an apple"])
    [('drink', 'red'), ('fruit',)]
    >>> model.suggest("one apple", k=1).label.tolist()
    ['fruit']
    """

    _parameter_constraints: dict = {
        "classifier": [HasMethods(["fit", "predict", "predict_topk"]), None],
        "vectorizer": [
            HasMethods(["fit_transform", "transform"]),
            StrOptions({"passthrough"}),
            None,
        ],
        "min_label_count": [Interval(Integral, 1, None, closed="left")],
        "label_texts": [StrOptions({"names"}), dict, None],
    }

    def __init__(
        self, classifier=None, *, vectorizer=None, min_label_count=1, label_texts=None
    ):
        self.classifier = classifier
        self.vectorizer = vectorizer
        self.min_label_count = min_label_count
        self.label_texts = label_texts

    def set_params(self, **params):
        """Set parameters, also those of a classifier or vectorizer that is None.

        Parameters
        ----------
        **params : dict
            Names and values, such as ``classifier__n_components=64``.

        Returns
        -------
        self : object
            The estimator.
        """
        for name, make_default in _DEFAULTS.items():
            is_nested = any(key.startswith(f"{name}__") for key in params)
            if is_nested and getattr(self, name) is None:
                setattr(self, name, make_default())
        return super().set_params(**params)

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, texts, tags):
        """Learn the vocabulary, the labels and the model.

        If this raises, the estimator is left as it was.

        Parameters
        ----------
        texts : sequence of str of shape (n_samples,)
            The texts; empty ones are allowed.
        tags : sequence of shape (n_samples,)
            The names of each text's tags, which may be none, or one name a text. A name
            that is repeated in a row counts once.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        texts, (rows, is_single) = check_texts(texts), read_tags(tags)
        check_consistent_length(texts, rows)
        names = learn_names(rows, self.min_label_count)
        Y = encode_tags(rows, names)
        if is_single:
            kept = np.flatnonzero(np.diff(Y.indptr))
            texts = [texts[row] for row in kept]
        vectorizer, classifier = self._start()
        X = vectorizer.fit_transform(texts)
        if self.label_texts is not None:
            described = vectorizer.transform(texts_of(names, self.label_texts))
            classifier.set_params(label_features=described)
        classifier.fit(X, Y.indices if is_single else Y)
        self.classes_, self._is_single_label = names, is_single
        self.vectorizer_, self.classifier_ = vectorizer, classifier
        return self

    def save(self, path):
        """Write the model to a file that holds no code, for `skxmc.load`.

        Parameters
        ----------
        path : str or path-like
            The file, by custom with the ending ``.skxmc``.

        Returns
        -------
        digest : str
            SHA-256 of the file but for this digest, which it ends in. `load` can be
            told to expect it.

        Raises
        ------
        ValueError
            If the vectorizer is none of scikit-learn's for texts, or has a function as
            parameter; or if the classifier cannot be stored.
        """
        check_is_fitted(self)
        return save(self, path)

    def predict(self, texts, *, k=None, threshold=None):
        """Predict the names of the tags.

        Parameters
        ----------
        texts : sequence of str of shape (n_samples,)
            The texts.
        k : int, default=None
            Names a text at most, see the classifier's `predict`.
        threshold : float, default=None
            Probability of a name at least, see there.

        Returns
        -------
        tags : list of tuples, or ndarray of shape (n_samples,)
            The names of each text in the order of `classes_`, as from
            :class:`~sklearn.preprocessing.MultiLabelBinarizer`; an array of names after
            a fit to one name a text.
        """
        X = self._vectors(texts)
        labels = self.classifier_.predict(X, k=k, threshold=threshold)
        if self._is_single_label:
            return self.classes_[labels]
        return decode_tags(labels, self.classes_)

    def predict_proba(self, texts):
        """Predict the probability of each label.

        Parameters
        ----------
        texts : sequence of str of shape (n_samples,)
            The texts.

        Returns
        -------
        P : CSR or ndarray of shape (n_samples, n_labels), float32
            Columns in the order of `classes_`. CSR with the best labels of each text;
            an array after a fit to one name a text.
        """
        return self.classifier_.predict_proba(self._vectors(texts))

    def predict_topk(self, texts, k=5):
        """Rank the most probable labels by position in `classes_`.

        Parameters
        ----------
        texts : sequence of str of shape (n_samples,)
            The texts.
        k : int, default=5
            How many labels to rank.

        Returns
        -------
        indices : ndarray of shape (n_samples, k), intp
            Positions in `classes_`, best first.
        scores : ndarray of shape (n_samples, k), float32
            Their probabilities.
        """
        return self.classifier_.predict_topk(self._vectors(texts), k=k)

    def suggest(self, texts, k=5):
        """List the names of the most probable tags.

        Parameters
        ----------
        texts : str or sequence of str of shape (n_samples,)
            The texts, or a single one.
        k : int, default=5
            Names a text at most; those of score 0 are left out, too.

        Returns
        -------
        suggestions : pandas.DataFrame or list of tuples
            Columns "row" (position of the text), "rank" (from 1), "label" (name) and
            "score" (probability), best first within a row. Where pandas is not
            installed, a list of named tuples with these fields.
        """
        return suggest(self, texts, k)

    def score(self, texts, tags):
        """Compute precision@1: the share of texts whose first suggestion is right.

        Parameters
        ----------
        texts : sequence of str of shape (n_samples,)
            The texts.
        tags : sequence of shape (n_samples,)
            Their true tags, in the form of `fit`.

        Returns
        -------
        score : float
            With one name a text, accuracy. A text whose tags are all unknown to the
            model counts as a miss, as does one without tags.

        Warns
        -----
        UserWarning
            If there are tags that the model does not know.
        """
        ranking = self.predict_topk(texts, k=1)
        Y = encode_known_tags(tags, self.classes_)
        check_consistent_length(ranking[0], Y)
        return precision_at_k(Y, ranking, k=1)

    def to_matrices(self, texts, tags):
        """Return the vectors of texts and the indicator of their tags.

        What :mod:`skxmc.metrics` and `classifier_` work with.

        Parameters
        ----------
        texts : sequence of str of shape (n_samples,)
            The texts.
        tags : sequence of shape (n_samples,)
            Their tags, in the form of `fit`; unknown ones are left out.

        Returns
        -------
        X : CSR of shape (n_samples, n_features)
            The vectors, from `vectorizer_`.
        Y : csr_array of shape (n_samples, n_labels), int8
            The indicator, columns in the order of `classes_`.
        """
        X, rows = self._vectors(texts), read_tags(tags)[0]
        check_consistent_length(X, rows)
        return X, encode_tags(rows, self.classes_)

    def _start(self):
        """Return the vectorizer and the classifier to fit, or say what is wrong."""
        parts = {name: getattr(self, name) for name in _DEFAULTS}
        if parts["vectorizer"] == "passthrough":
            parts["vectorizer"] = FunctionTransformer()
        vectorizer, classifier = (
            make_default() if parts[name] is None else clone(parts[name])
            for name, make_default in _DEFAULTS.items()
        )
        if self.label_texts is not None:
            _check_describable(classifier)
            _check_label_texts(self.label_texts)
        return vectorizer, classifier

    def _vectors(self, texts):
        check_is_fitted(self)
        return self.vectorizer_.transform(check_texts(texts))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags


def default_vectorizer():
    """Return the vectorizer that None stands for."""
    # Single characters count: C, R, X11. On rows held out of three sets of texts this
    # was ahead of scikit-learn's pattern each time; see docs/texts.md for the rest.
    return TfidfVectorizer(
        sublinear_tf=True, dtype=np.float32, token_pattern=r"(?u)\b\w+\b"
    )


_DEFAULTS = {"vectorizer": default_vectorizer, "classifier": DECLAREClassifier}


def _check_label_texts(label_texts):
    for name, text in () if label_texts == "names" else label_texts.items():
        if not isinstance(text, str):
            raise ValueError(
                f"label_texts={{{name!r}: {text!r}}} holds a {type(text).__name__}; "
                "pass a str for each name."
            )


def _check_describable(classifier):
    """Raise ValueError if labels of the classifier cannot be given descriptions."""
    params = classifier.get_params(deep=False)
    name = type(classifier).__name__
    if "label_features" not in params:
        raise ValueError(
            f"label_texts is given, but {name} does not look at what labels are "
            "described by; pass a UniDECClassifier, or label_texts=None."
        )
    if params["label_features"] is not None:
        raise ValueError(
            f"label_texts is given, but {name} has label_features too; leave one out."
        )


register_text_classifier(XMCTextClassifier)
