"""Loss and precision over the epochs of a training."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skxmc._innermost import innermost
from skxmc.display._axes import (
    draw_legend,
    draw_line,
    n_lines,
    require_matplotlib,
    set_axes,
)

_TITLES = {
    "train_loss": "Training loss",
    "valid_loss": "Validation loss",
    "train_precision_at_1": "Training precision@1",
    "valid_precision_at_1": "Validation precision@1",
}
_PRECISIONS = ("train_precision_at_1", "valid_precision_at_1")
# By which the axes of the precisions are found again.
_LABEL = "precision@1"


class TrainingCurveDisplay:
    """Loss, and precision@1 where it was recorded, after each epoch.

    Make one by `from_estimator`. Precision has an axis of its own, at the right.

    Parameters
    ----------
    train_loss : array-like of shape (n_epochs,)
        Mean loss of the batches of each epoch.
    valid_loss : array-like of shape (n_epochs,), default=None
        Loss on the rows held out, with early stopping.
    train_precision_at_1 : array-like of shape (n_epochs,), default=None
        Precision@1 on some training rows.
    valid_precision_at_1 : array-like of shape (n_epochs,), default=None
        Precision@1 on the rows held out, with early stopping.
    name : str, default=None
        Name in the legend; None for none.

    Attributes
    ----------
    curves : dict of str to ndarray of shape (n_epochs,)
        The arrays that are given, by the names of the parameters.
    lines_ : dict of str to matplotlib Line2D
        The curve of each.
    ax_ : matplotlib Axes
        Axes with the losses.
    ax_precision_ : matplotlib Axes or None
        Axes with the precisions, over those of the losses; None if there are none.
    figure_ : matplotlib Figure
        Figure with the axes.

    Examples
    --------
    >>> from skxmc.display import TrainingCurveDisplay
    >>> display = TrainingCurveDisplay([2.0, 1.5, 1.2], valid_loss=[2.1, 1.8, 1.9])
    >>> list(display.plot().lines_)
    ['train_loss', 'valid_loss']
    """

    def __init__(
        self,
        train_loss,
        *,
        valid_loss=None,
        train_precision_at_1=None,
        valid_precision_at_1=None,
        name=None,
    ):
        curves = {
            "train_loss": train_loss,
            "valid_loss": valid_loss,
            "train_precision_at_1": train_precision_at_1,
            "valid_precision_at_1": valid_precision_at_1,
        }
        self.curves = {
            key: np.asarray(values, dtype=np.float64)
            for key, values in curves.items()
            if values is not None
        }
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, name=None, ax=None, **kwargs):
        """Draw what a fit recorded in `history_`.

        Parameters
        ----------
        estimator : estimator instance
            Fitted estimator of this package, or a fitted Pipeline or search that ends
            in one.
        name : str, default=None
            Name in the legend; None stands for that of the estimator's class.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            Arguments of matplotlib's `plot`, for all curves.

        Returns
        -------
        display : TrainingCurveDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If the fit had no epochs, as that of a closed-form solution.
        TypeError
            If the estimator keeps no `history_`.
        """
        require_matplotlib(cls)
        trained, _ = innermost(estimator)
        check_is_fitted(trained)
        if not hasattr(trained, "history_"):
            raise TypeError(
                f"{type(trained).__name__} keeps no history_ of its training; pass an "
                "estimator of skxmc."
            )
        history = trained.history_
        if len(history) == 0:
            raise ValueError(
                f"This {type(trained).__name__} was solved in closed form, so there "
                "are no epochs to draw; set hidden_layer_sizes to train a network."
            )
        curves = {
            key: [row[key] for row in history] for key in _TITLES if key in history[-1]
        }
        name = type(estimator).__name__ if name is None else name
        return cls(**curves, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        name : str, default=None
            Name in the legend; None stands for the display's own.
        **kwargs
            Arguments of matplotlib's `plot`, for all curves.

        Returns
        -------
        display : TrainingCurveDisplay
            The same.
        """
        ax = set_axes(self, ax)
        name = self.name if name is None else name
        self.ax_precision_ = _axes_above(ax)
        if self.ax_precision_ is None and self.curves.keys() & set(_PRECISIONS):
            self.ax_precision_ = ax.twinx()
            self.ax_precision_.set(label=_LABEL, ylabel="Precision@1")
        axes = [*filter(None, (ax, self.ax_precision_))]
        self.lines_ = {}
        for key, values in self.curves.items():
            title = _TITLES[key]
            self.lines_[key] = draw_line(
                self.ax_precision_ if key in _PRECISIONS else ax,
                np.arange(1, len(values) + 1),
                values,
                n_lines(*axes),
                kwargs,
                label=title if name is None else f"{name}: {title.lower()}",
                linestyle="--" if key in _PRECISIONS else "-",
            )
        ax.set(xlabel="Epoch", ylabel="Loss")
        ax.xaxis.get_major_locator().set_params(integer=True)
        # Two scales leave no empty corner to rely on.
        draw_legend(*axes, loc="lower center", bbox_to_anchor=(0.5, 1))
        return self


def _axes_above(ax):
    """Return the axes of the precisions that another display put over `ax`, if any."""
    siblings = ax.get_shared_x_axes().get_siblings(ax)
    return next((other for other in siblings if other.get_label() == _LABEL), None)
