"""Predictions in the form of y, made of rankings."""

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from skxmc._tags import decode_tags, encode_known_tags
from skxmc._targets import TargetForm
from skxmc._topk import ranking_to_csr
from skxmc._validation import check_indicator
from skxmc.metrics import precision_at_k

# Dense probabilities stay this far from 0 and 1, where a logarithm would not be finite.
_TINY = 1e-7


class RankingPredictions:
    """The methods that an estimator with `predict_topk` has besides.

    It has the parameters `threshold` and `n_top_labels`, and once fitted `classes_`
    and `_form`, a `TargetForm`.
    """

    classes_: np.ndarray
    threshold: float
    n_top_labels: int
    predict_topk: Any
    _form: TargetForm

    def predict(self, X, *, k=None, threshold=None):
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.
        k : int, default=None
            Keep the `k` most probable labels of each row, whatever their probability
            (with `threshold`: those of the `k` that reach it). Ignored for 1-D y.
        threshold : float, default=None
            Keep labels of at least this probability; None stands for the parameter
            `threshold`, if `k` is None too. Ignored for 1-D y.

        Returns
        -------
        y : ndarray or CSR of shape (n_samples,) or (n_samples, n_labels)
            In the form and type of the y of `fit`.
        """
        check_is_fitted(self)
        form = self._form
        if form.is_single_label:
            return form.classes[self.predict_topk(X, k=1)[0][:, 0]]
        if threshold is None:
            threshold = self.threshold if k is None else 0.0
        indices, scores = self.predict_topk(X, k=self._n_kept() if k is None else k)
        kept = np.where((scores >= threshold) & (scores > 0), indices, -1)
        if form.is_sparse:
            ones = np.ones(kept.shape, dtype=form.dtype)
            Y = ranking_to_csr(kept, ones, form.n_labels, form.kind)
            return decode_tags(Y, form.classes) if form.kind == "names" else Y
        return self._scatter(kept, np.ones(kept.shape, form.dtype))

    def predict_proba(self, X):
        """Predict label probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.

        Returns
        -------
        P : ndarray or CSR of shape (n_samples, n_labels), float32
            For sparse y at `fit` a CSR of the same kind with the `n_top_labels` best
            labels of each row. Otherwise an array, strictly between 0 and 1; its rows
            sum to 1 for 1-D y.

        Raises
        ------
        ValueError
            If a dense array would be too large.
        """
        check_is_fitted(self)
        form = self._form
        indices, scores = self.predict_topk(X, k=self._n_kept())
        if form.is_sparse:
            return ranking_to_csr(indices, scores, form.n_labels, form.kind)
        P = self._scatter(indices, scores)
        P = np.clip(P, _TINY, 1 - _TINY)
        return P / P.sum(axis=1, keepdims=True) if form.is_single_label else P

    def score(self, X, y):
        """Compute precision@1, which for 1-D y is accuracy.

        Parameters
        ----------
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.
        y : {array-like, sparse matrix or array}
            True labels in the form of `fit`.

        Returns
        -------
        score : float
            Share of rows whose most probable label is true.
        """
        ranking = self.predict_topk(X, k=1)
        if self._form.kind == "names":
            y = encode_known_tags(y, self.classes_)
        if not self._form.is_single_label:
            return precision_at_k(self._known_indicator(y), ranking, k=1)
        y = np.asarray(y).ravel()
        check_consistent_length(ranking[0], y)
        return float(np.mean(self.classes_[ranking[0][:, 0]] == y))

    def _known_indicator(self, Y):
        """Return a label indicator, checked to have the columns of `fit`."""
        Y, n_labels = check_indicator(Y, "y"), self._form.n_labels
        if Y.shape[1] != n_labels:
            raise ValueError(
                f"y has {Y.shape[1]} columns, but the model has {n_labels} labels; "
                "pass an indicator with a column for each."
            )
        return Y

    def _n_kept(self):
        """How many labels a row of `predict` or `predict_proba` may hold."""
        n_labels = self._form.n_labels
        return min(self.n_top_labels, n_labels) if self._form.is_sparse else n_labels

    def _scatter(self, indices, values):
        """Make a dense (n, L) array of a ranking; index -1 is left out."""
        out = np.zeros((len(indices), self._form.n_labels), dtype=values.dtype)
        rows = np.nonzero(indices >= 0)[0]
        out[rows, indices[indices >= 0]] = values[indices >= 0]
        return out
