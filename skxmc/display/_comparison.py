"""Several models side by side."""

import numpy as np

from skxmc._topk import check_k
from skxmc.display._axes import draw_bars, draw_legend, require_matplotlib, set_axes
from skxmc.display._rankings import (
    as_indicator,
    bound_metric,
    named_labels,
    rank_labels,
)
from skxmc.metrics._ranking import rank_scores

_METRICS = {
    "precision_at_k": "P@{k}",
    "propensity_scored_precision_at_k": "PSP@{k}",
}


class ComparisonDisplay:
    """Precision at several k, and propensity-scored precision, of several models.

    Make one by `from_estimators` or `from_predictions`.

    Parameters
    ----------
    scores : dict of str to array-like of shape (n_columns,)
        Scores of each model, by its name in the legend.
    columns : sequence of str
        What the scores are, below each group of bars.

    Attributes
    ----------
    scores : dict of str to ndarray of shape (n_columns,)
        Scores of each model. ``pandas.DataFrame(display.scores, display.columns)``
        shows them as a table.
    columns : list of str
        What they are.
    bars_ : dict of str to matplotlib BarContainer
        The bars of each model.
    ax_ : matplotlib Axes
        Axes with the bars.
    figure_ : matplotlib Figure
        Figure with the axes.

    Examples
    --------
    >>> from skxmc.display import ComparisonDisplay
    >>> rankings = {"first": [[0.2, 0.9, 0.4]], "second": [[0.9, 0.4, 0.2]]}
    >>> display = ComparisonDisplay.from_predictions([[0, 1, 1]], rankings, ks=(1, 2))
    >>> display.columns, display.scores["second"]
    (['P@1', 'P@2'], array([0. , 0.5]))
    """

    def __init__(self, scores, columns):
        _check_not_empty(scores, columns)
        self.scores = {name: np.asarray(values) for name, values in scores.items()}
        self.columns = list(columns)

    @classmethod
    def from_estimators(
        cls, estimators, X, y, *, ks=(1, 3, 5), y_train=None, ax=None, **kwargs
    ):
        """Rank the labels of X with each model, and draw how good that is.

        Parameters
        ----------
        estimators : dict of str to estimator instance
            Fitted classifiers, Pipelines or searches, by their names in the legend.
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.
        y : {array-like, sparse matrix or array}
            True labels: an indicator or 1-D class labels.
        ks : iterable of int, default=(1, 3, 5)
            Numbers of labels to look at in each row.
        y_train : {array-like, sparse matrix or array}, default=None
            Training labels, in the form of `y`; if given, propensity-scored precision
            (PSP) is drawn too.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            Arguments of matplotlib's `bar`.

        Returns
        -------
        display : ComparisonDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If there is no model, or there are fewer labels than the largest of `ks`.
        """
        require_matplotlib(cls)
        ks = tuple(ks)
        _check_not_empty(estimators, ks)
        scores = {}
        for name, estimator in estimators.items():
            y_score, classes = rank_labels(estimator, X, max(ks))
            true, train = (named_labels(estimator, t, classes) for t in (y, y_train))
            scores[name] = _scores(true, train, y_score, ks, classes)
        return cls(scores, _columns(ks, y_train)).plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_scores,
        *,
        ks=(1, 3, 5),
        y_train=None,
        classes=None,
        ax=None,
        **kwargs,
    ):
        """Draw how good several rankings are.

        Parameters
        ----------
        y_true : {array-like, sparse matrix or array}
            True labels: an indicator or 1-D class labels.
        y_scores : dict of str to array-like, sparse matrix or array, or tuple
            Scores or rankings, by their names in the legend, in any of the forms that
            are listed in :mod:`skxmc.metrics`.
        ks : iterable of int, default=(1, 3, 5)
            Numbers of labels to look at in each row.
        y_train : {array-like, sparse matrix or array}, default=None
            Training labels, in the form of `y_true`; if given, propensity-scored
            precision (PSP) is drawn too.
        classes : array-like of shape (n_labels,), default=None
            The estimators' `classes_`, for 1-D `y_true`.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            Arguments of matplotlib's `bar`.

        Returns
        -------
        display : ComparisonDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If there is no ranking, or there are fewer labels than the largest of `ks`.
        """
        require_matplotlib(cls)
        ks = tuple(ks)
        _check_not_empty(y_scores, ks)
        scores = {
            name: _scores(y_true, y_train, y_score, ks, classes)
            for name, y_score in y_scores.items()
        }
        return cls(scores, _columns(ks, y_train)).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw a group of bars for each score, with a bar for each model.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            Arguments of matplotlib's `bar`.

        Returns
        -------
        display : ComparisonDisplay
            The same.
        """
        ax = set_axes(self, ax)
        x, width = np.arange(len(self.columns)), 0.8 / len(self.scores)
        self.bars_ = {}
        for i, (name, values) in enumerate(self.scores.items()):
            middles = x + (i - (len(self.scores) - 1) / 2) * width
            self.bars_[name] = draw_bars(
                ax, middles, values, i, kwargs, width=width, label=name
            )
        ax.set_xticks(x, self.columns)
        ax.set(ylabel="Score")
        draw_legend(ax)
        return self


def _scores(y_true, y_train, y_score, ks, classes):
    """Return the scores of one ranking, in the order of `_columns`."""
    Y = as_indicator(y_true, classes)
    for k in ks:
        check_k(k, Y.shape[1])
    ranking = rank_scores(y_score, Y.shape, max(ks))
    metrics = [bound_metric(metric, y_train, classes) for metric in _used(y_train)]
    return [metric(Y, ranking, k=k) for metric in metrics for k in ks]


def _columns(ks, y_train):
    return [_METRICS[metric].format(k=k) for metric in _used(y_train) for k in ks]


def _used(y_train):
    """Return the names of the metrics that can be computed."""
    return [*_METRICS][: 1 if y_train is None else 2]


def _check_not_empty(models, ks):
    if not models or not ks:
        raise ValueError(
            f"There are {len(models)} models and ks={ks}; pass at least one of each."
        )
