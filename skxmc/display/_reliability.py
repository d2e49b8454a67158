"""Whether probabilities are what they say."""

import numpy as np

from skxmc.display._axes import (
    draw_legend,
    draw_line,
    n_lines,
    require_matplotlib,
    set_axes,
)
from skxmc.display._rankings import as_indicator, named_labels, rank_labels
from skxmc.metrics import reliability_curve
from skxmc.metrics._reliability import curve_error

_REFERENCE = "Perfectly calibrated"


class ReliabilityDisplay:
    """Probabilities of the top k labels against how often they are true.

    Make one by `from_estimator` or `from_predictions`. The legend holds the expected
    calibration error (ECE), see :func:`skxmc.metrics.expected_calibration_error`.

    Parameters
    ----------
    prob_true : array-like of shape (n_bins,)
        Share of true pairs of a row and a label in each bin, as
        :func:`skxmc.metrics.reliability_curve` returns it.
    prob_pred : array-like of shape (n_bins,)
        Mean probability in each bin.
    n_pairs : array-like of shape (n_bins,)
        Number of pairs in each bin.
    name : str, default=None
        Name in the legend; None for none.

    Attributes
    ----------
    prob_true, prob_pred, n_pairs : ndarray of shape (n_bins,)
        As given.
    expected_calibration_error : float
        Mean distance from the diagonal, weighted by `n_pairs`.
    line_ : matplotlib Line2D
        The curve.
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure with the axes.

    Examples
    --------
    >>> from skxmc.display import ReliabilityDisplay
    >>> display = ReliabilityDisplay.from_predictions(
    ...     [[1, 0], [1, 1]], [[0.75, 0.25], [0.75, 0.25]], k=2, n_bins=2
    ... )
    >>> display.expected_calibration_error
    0.25
    """

    def __init__(self, prob_true, prob_pred, n_pairs, *, name=None):
        self.prob_true = np.asarray(prob_true)
        self.prob_pred = np.asarray(prob_pred)
        self.n_pairs = np.asarray(n_pairs)
        self.expected_calibration_error = curve_error(
            self.prob_true, self.prob_pred, self.n_pairs
        )
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, k=5, n_bins=10, name=None, ax=None, **kwargs
    ):
        """Draw how reliable the probabilities of an estimator's top k labels are.

        Parameters
        ----------
        estimator : estimator instance
            Fitted classifier, or a fitted Pipeline or search that ends in one.
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.
        y : {array-like, sparse matrix or array}
            True labels: an indicator or 1-D class labels.
        k : int, default=5
            Number of labels to look at in each row.
        n_bins : int, default=10
            Number of bins of about equally many pairs.
        name : str, default=None
            Name in the legend; None stands for that of the estimator's class.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            Arguments of matplotlib's `plot`.

        Returns
        -------
        display : ReliabilityDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If there are fewer than `k` labels, or `n_bins` is below 1.
        """
        require_matplotlib(cls)
        y_prob, classes = rank_labels(estimator, X, k)
        return cls.from_predictions(
            named_labels(estimator, y, classes),
            y_prob,
            k=k,
            n_bins=n_bins,
            classes=classes,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_prob,
        *,
        k=5,
        n_bins=10,
        classes=None,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Draw how reliable the probabilities of the top k labels are.

        Parameters
        ----------
        y_true : {array-like, sparse matrix or array}
            True labels: an indicator or 1-D class labels.
        y_prob : array-like, sparse matrix or array, or tuple
            Probabilities of shape (n_samples, n_labels), dense or sparse, or the tuple
            ``(indices, scores)`` of ``predict_topk``.
        k : int, default=5
            Number of labels to look at in each row.
        n_bins : int, default=10
            Number of bins of about equally many pairs.
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
        display : ReliabilityDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If `y_prob` does not fit `y_true`, comes without scores or holds anything
            outside [0, 1], there are fewer than `k` labels, or `n_bins` is below 1.
        """
        require_matplotlib(cls)
        Y = as_indicator(y_true, classes)
        curve = reliability_curve(Y, y_prob, k=k, n_bins=n_bins)
        return cls(*curve, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the curve, and the diagonal once for all curves in the axes.

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
        display : ReliabilityDisplay
            The same.
        """
        ax = set_axes(self, ax)
        name = self.name if name is None else name
        error = f"ECE = {self.expected_calibration_error:.3f}"
        label = error if name is None else f"{name} ({error})"
        if _REFERENCE not in ax.get_legend_handles_labels()[1]:
            ax.plot([0, 1], [0, 1], "k:", label=_REFERENCE)
        curve = self.prob_pred, self.prob_true
        self.line_ = draw_line(ax, *curve, n_lines(ax), kwargs, label=label)
        ax.set(
            xlabel="Mean predicted probability",
            ylabel="Share of true labels",
            xlim=(-0.02, 1.02),
            ylim=(-0.02, 1.02),
            aspect="equal",
        )
        draw_legend(ax)
        return self
