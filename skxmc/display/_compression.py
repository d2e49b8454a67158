"""What a smaller model costs in precision."""

import pickle

from skxmc._innermost import innermost
from skxmc.display._axes import (
    draw_legend,
    draw_line,
    n_lines,
    require_matplotlib,
    set_axes,
)
from skxmc.display._rankings import as_indicator, named_labels, rank_labels
from skxmc.metrics import precision_at_k

# Precision is drawn on an axis of at least this length: differences that do not matter
# should not look as if they did.
_MIN_SPAN = 0.1


class CompressionDisplay:
    """Size of models against their precision@k, a point for each model.

    Make one by `from_estimator`, for a model and what `compress` makes of it, or by
    `from_estimators`, for any models, as those with codes of different lengths.

    Parameters
    ----------
    points : list of tuple (str, int, float)
        Name, size in bytes and precision@k of each model, in the order of the line.
    k : int, default=1
        Number of labels looked at in each row.
    name : str, default=None
        Name in the legend; None for none.

    Attributes
    ----------
    points : list of tuple (str, int, float)
        As given.
    line_ : matplotlib Line2D
        The points, joined; sizes in MiB.
    texts_ : list of matplotlib Annotation
        Their names.
    ax_ : matplotlib Axes
        Axes with the points.
    figure_ : matplotlib Figure
        Figure with the axes.

    Examples
    --------
    >>> from skxmc.display import CompressionDisplay
    >>> points = [("float32", 4 * 2**20, 0.62), ("int8", 2**20, 0.61)]
    >>> display = CompressionDisplay(points).plot()
    >>> display.line_.get_xdata().tolist()
    [4.0, 1.0]
    """

    def __init__(self, points, *, k=1, name=None):
        if not points:
            raise ValueError("There are 0 models to draw; pass at least one.")
        self.points = points
        self.k = k
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        storages=("float16", "int8"),
        k=1,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Draw a model and its compressed versions.

        Parameters
        ----------
        estimator : estimator instance
            Fitted estimator of this package, or a fitted Pipeline or search that ends
            in one; only that last step is compressed and measured.
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.
        y : {array-like, sparse matrix or array}
            True labels: an indicator or 1-D class labels.
        storages : iterable of str, default=("float16", "int8")
            What to compress to, see the method `compress`.
        k : int, default=1
            Number of labels to look at in each row.
        name : str, default=None
            Name in the legend; None stands for that of the estimator's class.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            Arguments of matplotlib's `plot`.

        Returns
        -------
        display : CompressionDisplay
            What was drawn.

        Raises
        ------
        TypeError
            If the model has no method `compress`.
        ValueError
            If the model is compressed already, a storage is unknown, or there are fewer
            than `k` labels.
        """
        require_matplotlib(cls)
        model, X = innermost(estimator, X)
        if not hasattr(model, "compress"):
            raise TypeError(
                f"{type(model).__name__} has no compress; pass an estimator that has, "
                "such as the classifier_ of an XMCTextClassifier, with its vectors."
            )
        models = {"float32": model}
        models |= {storage: model.compress(storage) for storage in storages}
        name = type(estimator).__name__ if name is None else name
        return cls.from_estimators(models, X, y, k=k, name=name, ax=ax, **kwargs)

    @classmethod
    def from_estimators(cls, estimators, X, y, *, k=1, name=None, ax=None, **kwargs):
        """Draw several models.

        Parameters
        ----------
        estimators : dict of str to estimator instance
            Fitted classifiers by name, in the order in which the line joins them. Of a
            Pipeline or search, the size of the last step counts.
        X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
            Input rows.
        y : {array-like, sparse matrix or array}
            True labels: an indicator or 1-D class labels.
        k : int, default=1
            Number of labels to look at in each row.
        name : str, default=None
            Name in the legend; None for none.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.
        **kwargs
            Arguments of matplotlib's `plot`.

        Returns
        -------
        display : CompressionDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If there are fewer than `k` labels.

        Notes
        -----
        The size is that of the pickle, nothing of which is kept.
        """
        require_matplotlib(cls)
        points = []
        for label, estimator in estimators.items():
            y_score, classes = rank_labels(estimator, X, k)
            y_true = named_labels(estimator, y, classes)
            score = precision_at_k(as_indicator(y_true, classes), y_score, k=k)
            points.append((label, pickled_bytes(innermost(estimator)[0]), score))
        return cls(points, k=k, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Draw the points, their names and a line that joins them.

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
        display : CompressionDisplay
            The same.
        """
        ax = set_axes(self, ax)
        labels, sizes, scores = zip(*self.points, strict=True)
        mebibytes = [size / 2**20 for size in sizes]
        label = self.name if name is None else name
        self.line_ = draw_line(ax, mebibytes, scores, n_lines(ax), kwargs, label=label)
        above = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center"}
        self.texts_ = [
            ax.annotate(text, point, **above)
            for text, *point in zip(labels, mebibytes, scores, strict=True)
        ]
        ax.set(xlabel="Size (MiB)", ylabel=f"Precision@{self.k}")
        ax.set_xlim(0, 1.1 * ax.dataLim.x1)
        low, high = ax.dataLim.intervaly
        margin = max(0.1 * (high - low), (_MIN_SPAN - (high - low)) / 2)
        ax.set_ylim(low - margin, high + margin)
        draw_legend(ax)
        return self


class _Counter:
    """A file that only counts what is written."""

    n_bytes = 0

    def write(self, data):
        self.n_bytes += memoryview(data).nbytes


def pickled_bytes(thing):
    """Return the size of a pickle in bytes, without keeping any of it."""
    counter = _Counter()
    pickle.dump(thing, counter, protocol=pickle.HIGHEST_PROTOCOL)
    return counter.n_bytes
