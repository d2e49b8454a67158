"""Where a model is good: precision and recall by label frequency."""

import numpy as np

from skxmc.display._axes import (
    draw_legend,
    draw_line,
    n_lines,
    require_matplotlib,
    set_axes,
    start_at_zero,
)
from skxmc.display._rankings import as_indicator, named_labels, rank_labels
from skxmc.metrics import scores_by_frequency

# Both curves of a model have its colour.
_STYLES: dict[str, dict] = {
    "precision": {"linestyle": "-"},
    "recall": {"linestyle": "--", "markerfacecolor": "white"},
}


class LabelFrequencyDisplay:
    """Precision and recall in the top k, by how often labels occurred in training.

    Make one by `from_estimator` or `from_predictions`. Precision tells how far a
    predicted label of that frequency can be trusted, recall how many of its true
    occurrences are found; see :func:`skxmc.metrics.scores_by_frequency`.

    Parameters
    ----------
    table : dict of str to array-like of shape (n_bins,)
        What :func:`skxmc.metrics.scores_by_frequency` returns.
    k : int, default=5
        Number of labels looked at in each row.
    name : str, default=None
        Name in the legend; None for none.

    Attributes
    ----------
    table : dict of str to array-like of shape (n_bins,)
        As given.
    lines_ : dict of str to matplotlib Line2D
        The curves, "precision" and "recall".
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure with the axes.

    Examples
    --------
    >>> from skxmc.display import LabelFrequencyDisplay
    >>> display = LabelFrequencyDisplay.from_predictions(
    ...     [[1, 0, 1], [1, 1, 0]],
    ...     [[0.9, 0.5, 0.1], [0.8, 0.7, 0.2]],
    ...     label_counts=[20, 1, 3],
    ...     k=2,
    ... )
    >>> display.table["recall"]
    array([0.5, 1. ])
    """

    def __init__(self, table, *, k=5, name=None):
        self.table = table
        self.k = k
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        y_train=None,
        label_counts=None,
        k=5,
        base=4,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Rank the labels of X, and draw how good that is by label frequency.

        Parameters
        ----------
        estimator : estimator instance
            Fitted classifier, or a fitted Pipeline or search that ends in one.
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.
        y : {array-like, sparse matrix or array}
            True labels: an indicator or 1-D class labels.
        y_train : {array-like, sparse matrix or array}, default=None
            Training labels, in the form of `y`; this or `label_counts` is needed.
        label_counts : array-like of shape (n_labels,), default=None
            Number of training rows that have each label.
        k : int, default=5
            Number of labels to look at in each row.
        base : int, default=4
            Bins start at frequencies 0, 1, base, base ** 2, ...
        name : str, default=None
            Name in the legend; None stands for that of the estimator's class.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            Arguments of matplotlib's `plot`, for both curves.

        Returns
        -------
        display : LabelFrequencyDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If not exactly one of `y_train` and `label_counts` is given, it does not fit
            `y`, or there are fewer than `k` labels.
        """
        require_matplotlib(cls)
        _check_one_source(y_train, label_counts)
        y_score, classes = rank_labels(estimator, X, k)
        return cls.from_predictions(
            named_labels(estimator, y, classes),
            y_score,
            y_train=named_labels(estimator, y_train, classes),
            label_counts=label_counts,
            k=k,
            base=base,
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
        y_train=None,
        label_counts=None,
        k=5,
        base=4,
        classes=None,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Draw how good a ranking is by label frequency.

        Parameters
        ----------
        y_true : {array-like, sparse matrix or array}
            True labels: an indicator or 1-D class labels.
        y_score : array-like, sparse matrix or array, or tuple
            Scores of shape (n_samples, n_labels), or ranked label indices; all forms
            are listed in :mod:`skxmc.metrics`.
        y_train : {array-like, sparse matrix or array}, default=None
            Training labels, in the form of `y_true`; this or `label_counts` is needed.
        label_counts : array-like of shape (n_labels,), default=None
            Number of training rows that have each label.
        k : int, default=5
            Number of labels to look at in each row.
        base : int, default=4
            Bins start at frequencies 0, 1, base, base ** 2, ...
        classes : array-like of shape (n_labels,), default=None
            The estimator's `classes_`, for 1-D `y_true`.
        name : str, default=None
            Name in the legend; None for none.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            Arguments of matplotlib's `plot`, for both curves.

        Returns
        -------
        display : LabelFrequencyDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If not exactly one of `y_train` and `label_counts` is given, it does not fit
            `y_true`, or there are fewer than `k` labels.
        """
        require_matplotlib(cls)
        _check_one_source(y_train, label_counts)
        Y = as_indicator(y_true, classes)
        if label_counts is None:
            Y_train = as_indicator(y_train, classes, "y_train")
            label_counts = np.bincount(Y_train.indices, minlength=Y_train.shape[1])
        table = scores_by_frequency(
            Y, y_score, label_counts=label_counts, k=k, base=base
        )
        return cls(table, k=k, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw both curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        name : str, default=None
            Name in the legend; None stands for the display's own.
        **kwargs
            Arguments of matplotlib's `plot`, for both curves.

        Returns
        -------
        display : LabelFrequencyDisplay
            The same.
        """
        ax = set_axes(self, ax)
        name = self.name if name is None else name
        columns = [self.table[key] for key in ("low", "high", "n_labels")]
        ticks = [_tick(*row) for row in zip(*columns, strict=True)]
        x, i = np.arange(len(ticks)), n_lines(ax) // len(_STYLES)
        self.lines_ = {}
        for score, style in _STYLES.items():
            label = f"{score.capitalize()}@{self.k}"
            label = label if name is None else f"{name}: {label.lower()}"
            self.lines_[score] = draw_line(
                ax, x, self.table[score], i, kwargs, label=label, **style
            )
        ax.set_xticks(x, ticks)
        ax.set(
            xlabel="Training rows with the label\n(number of such labels)",
            ylabel="Score",
        )
        start_at_zero(ax)
        draw_legend(ax)
        return self


def _tick(low, high, n_labels):
    frequency = f"{low}" if low == high else f"{low}–{high}"
    return f"{frequency}\n({n_labels})"


def _check_one_source(y_train, label_counts):
    if (y_train is None) == (label_counts is None):
        given = "neither" if y_train is None else "both"
        raise ValueError(
            f"Of y_train and label_counts, {given} is given; pass one of them, to tell "
            "how often each label occurred in training."
        )
