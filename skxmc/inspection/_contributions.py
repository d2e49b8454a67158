"""What the score of a label for one row is made up of, as a table."""

from dataclasses import dataclass

import numpy as np

# Lines of a table that is printed.
_N_PRINTED = 10


@dataclass(frozen=True, eq=False, repr=False)
class Contributions:
    """What the score of a label for one row is made up of, as a table.

    ``score = baseline + contributions.sum()``, up to rounding. Printed, it shows the
    ten largest contributions.

    Parameters
    ----------
    label : int or class label
        The label that is explained, an entry of `classes_`.
    score : float
        Its probability, as `predict_topk` gives it.
    baseline : float
        The part of the score that no line of the table accounts for.
    indices : ndarray of shape (n,), int
        Columns of X, or rows of the X of `fit`, the largest contribution first.
    names : ndarray of shape (n,), object
        Their names.
    values : ndarray of shape (n,), float
        Values of the features, or weights of the rows.
    contributions : ndarray of shape (n,), float64
        What each adds to the score; negative where it speaks against the label.

    Examples
    --------
    >>> import numpy as np
    >>> from skxmc.inspection import Contributions
    >>> Contributions(
    ...     "open", 0.9, 0.1, np.array([7, 2]), np.array(["file", "a"]),
    ...     np.array([0.6, 0.2]), np.array([0.85, -0.05]),
    ... )
    label 'open': score 0.900, baseline 0.100
    contribution     value  name
          +0.850     0.600  file
          -0.050     0.200  a
    """

    label: object
    score: float
    baseline: float
    indices: np.ndarray
    names: np.ndarray
    values: np.ndarray
    contributions: np.ndarray

    def largest(self, k):
        """Find the largest contributions, for or against.

        Parameters
        ----------
        k : int
            How many, at most.

        Returns
        -------
        places : ndarray of shape (min(k, n),), intp
            Their places in the table, in its order.
        """
        by_size = np.argsort(-np.abs(self.contributions), kind="stable")
        return np.sort(by_size[:k])

    def to_frame(self):
        """Make a pandas DataFrame, which needs pandas.

        Returns
        -------
        frame : pandas.DataFrame
            Columns "name", "value" and "contribution", by index.
        """
        import pandas as pd

        columns = {
            "name": self.names,
            "value": self.values,
            "contribution": self.contributions,
        }
        return pd.DataFrame(columns, index=pd.Index(self.indices, name="index"))

    def _shown(self, k):
        """Return the k largest, or all if only one would be left out."""
        return self.largest(k + (len(self) == k + 1))

    def __len__(self):
        return len(self.indices)

    def __repr__(self):
        label = self.label.item() if isinstance(self.label, np.generic) else self.label
        lines = [
            f"label {label!r}: score {self.score:.3f}, baseline {self.baseline:.3f}",
            "contribution     value  name",
        ]
        shown = self._shown(_N_PRINTED)
        for i in shown:
            numbers = f"{self.contributions[i]:+12.3f}{self.values[i]:10.3f}"
            lines.append(f"{numbers}  {self.names[i]}")
        if len(shown) < len(self):
            lines.append(f"and {len(self) - len(shown)} smaller ones")
        return "\n".join(lines)


def make_table(label, score, baseline, indices, names, values, contributions):
    """Make `Contributions`, the largest contribution first, then the largest value."""
    order = np.lexsort((-values, -contributions))
    return Contributions(
        label,
        score,
        baseline,
        indices[order],
        names[order],
        values[order],
        contributions[order],
    )
