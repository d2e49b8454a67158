"""Contributions as bars."""

import numpy as np

from skxmc.display._axes import require_matplotlib, set_axes
from skxmc.inspection import feature_contributions


class ContributionDisplay:
    """Bar plot of what speaks for a label, and what against it.

    Make it of a table, or by `from_estimator`; all its data is stored.

    Parameters
    ----------
    contributions : Contributions
        What `feature_contributions` or `training_row_contributions` returns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure of it.
    bars_ : matplotlib BarContainer
        The bars, from the top downwards.

    See Also
    --------
    feature_contributions : Computes the table.

    Examples
    --------
    >>> from skxmc import DECLAREClassifier
    >>> from skxmc.datasets import make_xmc_classification
    >>> from skxmc.display import ContributionDisplay
    >>> X, Y = make_xmc_classification(n_labels=50, random_state=0)
    >>> clf = DECLAREClassifier(random_state=0).fit(X[:800], Y[:800])
    >>> display = ContributionDisplay.from_estimator(
    ...     clf, X[[800]], random_state=0
    ... )  # doctest: +SKIP
    """

    def __init__(self, contributions):
        self.contributions = contributions

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        label=None,
        *,
        feature_names=None,
        n_subsets=None,
        random_state=None,
        ax=None,
        k=10,
        name=None,
        **kwargs,
    ):
        """Compute the contributions of features and plot them.

        Parameters
        ----------
        estimator : object
            A fitted estimator of skxmc, a pipeline that ends in one, or an
            `XMCTextClassifier`.
        X : {array-like, sparse matrix or array} of shape (1, n_features)
            One row, in the form that `estimator.predict` takes.
        label : int or class label, default=None
            The label to explain; None stands for the most probable one.
        feature_names : array-like of shape (n_features,), default=None
            Names of the features, see `feature_contributions`.
        n_subsets : int, default=None
            Subsets of the features to predict from, see `feature_contributions`.
        random_state : int, RandomState or None, default=None
            Draws the subsets.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        k : int, default=10
            How many of the largest contributions have a bar.
        name : str, default=None
            What to call the label in the title.
        **kwargs : dict
            Passed on to matplotlib's `Axes.barh`.

        Returns
        -------
        display : ContributionDisplay
            The display, drawn.
        """
        require_matplotlib(cls)
        contributions = feature_contributions(
            estimator,
            X,
            label,
            feature_names=feature_names,
            n_subsets=n_subsets,
            random_state=random_state,
        )
        return cls(contributions).plot(ax, k=k, name=name, **kwargs)

    def plot(self, ax=None, *, k=10, name=None, **kwargs):
        """Draw a bar for each of the largest contributions, and one for the rest.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        k : int, default=10
            How many of the largest contributions have a bar. The last bar is the sum
            of all others, if there are several.
        name : str, default=None
            What to call the label in the title; by default as in `classes_`.
        **kwargs : dict
            Passed on to matplotlib's `Axes.barh`.

        Returns
        -------
        self : ContributionDisplay
            The display, with the attributes `ax_`, `figure_` and `bars_`.
        """
        ax = set_axes(self, ax)
        table = self.contributions
        shown = table._shown(k)
        sizes = table.contributions[shown]
        names = [str(name) for name in table.names[shown]]
        colors = ["C0" if size >= 0 else "C3" for size in sizes]
        if len(shown) < len(table):
            sizes = np.append(sizes, table.contributions.sum() - sizes.sum())
            names.append(f"{len(table) - len(shown)} others")
            colors.append("0.6")
        places = np.arange(len(sizes))  # not the names, of which two may be equal
        self.bars_ = ax.barh(places, sizes, **{"color": colors, **kwargs})
        ax.set_yticks(places, labels=names)
        ax.invert_yaxis()
        ax.axvline(0, color="0.3", linewidth=0.8)
        label = name if name is not None else f"label {table.label}"
        ax.set(
            title=f"{label}: score {table.score:.3f}, baseline {table.baseline:.3f}",
            xlabel="contribution to the score",
        )
        return self
