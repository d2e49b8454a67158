"""A ranking metric over the number of labels looked at."""

import numpy as np

from skxmc._topk import check_k
from skxmc.display._axes import (
    draw_legend,
    draw_line,
    n_lines,
    require_matplotlib,
    set_axes,
    start_at_zero,
)
from skxmc.display._rankings import (
    as_indicator,
    bound_metric,
    metric_label,
    metric_name,
    named_labels,
    rank_labels,
)
from skxmc.metrics._ranking import rank_scores


class PrecisionAtKDisplay:
    """Precision, or another ranking metric, for k = 1, 2, ..., K.

    Make one by `from_estimator` or `from_predictions`.

    Parameters
    ----------
    scores : array-like of shape (K,)
        The metric at k = 1, ..., K.
    metric : str, default="precision_at_k"
        Name of the metric, for the axis.
    name : str, default=None
        Name in the legend; None for none.

    Attributes
    ----------
    k : ndarray of shape (K,)
        Numbers of labels looked at, 1 to K.
    scores : ndarray of shape (K,)
        The metric at each.
    line_ : matplotlib Line2D
        The curve.
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure with the axes.

    Examples
    --------
    >>> from skxmc.display import PrecisionAtKDisplay
    >>> y_true, y_score = [[0, 1, 1], [1, 0, 0]], [[0.2, 0.9, 0.4], [0.1, 0.7, 0.3]]
    >>> display = PrecisionAtKDisplay.from_predictions(y_true, y_score, k=3)
    >>> display.scores
    array([0.5, 0.5, 0.5])
    """

    def __init__(self, scores, *, metric="precision_at_k", name=None):
        self.scores = np.asarray(scores)
        self.k = np.arange(1, len(self.scores) + 1)
        self.metric = metric
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        metric="precision_at_k",
        k=5,
        y_train=None,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Rank the labels of X once, and draw the metric for each k.

        Parameters
        ----------
        estimator : estimator instance
            Fitted classifier, or a fitted Pipeline or search that ends in one.
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.
        y : {array-like, sparse matrix or array}
            True labels: an indicator or 1-D class labels.
        metric : str or callable, default="precision_at_k"
            Metric of :mod:`skxmc.metrics` or its name, or any function
            ``metric(y_true, y_score, *, k)``.
        k : int, default=5
            The largest number of labels to look at.
        y_train : {array-like, sparse matrix or array}, default=None
            Training labels, in the form of `y`; propensity-scored metrics need them.
        name : str, default=None
            Name in the legend; None stands for that of the estimator's class.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            Arguments of matplotlib's `plot`.

        Returns
        -------
        display : PrecisionAtKDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If there are fewer than `k` labels, `metric` is unknown, or it needs
            `y_train`.
        """
        require_matplotlib(cls)
        y_score, classes = rank_labels(estimator, X, k)
        return cls.from_predictions(
            named_labels(estimator, y, classes),
            y_score,
            metric=metric,
            k=k,
            y_train=named_labels(estimator, y_train, classes),
            classes=classes,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_score,
        *,
        metric="precision_at_k",
        k=5,
        y_train=None,
        classes=None,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Draw the metric of a ranking for each k.

        Parameters
        ----------
        y_true : {array-like, sparse matrix or array}
            True labels: an indicator or 1-D class labels.
        y_score : array-like, sparse matrix or array, or tuple
            Scores of shape (n_samples, n_labels), or ranked label indices; all forms
            are listed in :mod:`skxmc.metrics`.
        metric : str or callable, default="precision_at_k"
            Metric of :mod:`skxmc.metrics` or its name, or any function
            ``metric(y_true, y_score, *, k)``.
        k : int, default=5
            The largest number of labels to look at.
        y_train : {array-like, sparse matrix or array}, default=None
            Training labels, in the form of `y_true`; propensity-scored metrics need
            them.
        classes : array-like of shape (n_labels,), default=None
            The estimator's `classes_`, for 1-D `y_true`.
        name : str, default=None
            Name in the legend; None for none.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            Arguments of matplotlib's `plot`.

        Returns
        -------
        display : PrecisionAtKDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If there are fewer than `k` labels, `metric` is unknown, or it needs
            `y_train`.
        """
        require_matplotlib(cls)
        function = bound_metric(metric, y_train, classes)
        Y = as_indicator(y_true, classes)
        check_k(k, Y.shape[1])
        ranking = rank_scores(y_score, Y.shape, k)
        scores = [function(Y, ranking, k=i) for i in range(1, k + 1)]
        display = cls(scores, metric=metric_name(metric), name=name)
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        name : str, default=None
            Name in the legend; None stands for the display's own.
        **kwargs
            Arguments of matplotlib's `plot`.

        Returns
        -------
        display : PrecisionAtKDisplay
            The same.
        """
        ax = set_axes(self, ax)
        label = self.name if name is None else name
        i = n_lines(ax)
        self.line_ = draw_line(ax, self.k, self.scores, i, kwargs, label=label)
        ax.set(xlabel="k", ylabel=metric_label(self.metric))
        ax.xaxis.get_major_locator().set_params(integer=True)
        start_at_zero(ax)
        draw_legend(ax)
        return self
