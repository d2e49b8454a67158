"""Names of the best labels as a table."""

from typing import NamedTuple


class Suggestion(NamedTuple):
    """A label suggested for a text; see `XMCTextClassifier.suggest`."""

    row: int
    rank: int
    label: object
    score: float


def list_suggestions(ranking, names):
    """List the labels of a ranking by name, but for those of score 0.

    Parameters
    ----------
    ranking : tuple of ndarrays of shape (n_samples, k)
        Positions in `names`, and scores.
    names : ndarray of shape (n_labels,)
        Names of the labels.

    Returns
    -------
    suggestions : pandas.DataFrame or list of Suggestion
        See `XMCTextClassifier.suggest`.
    """
    indices, scores = (array.tolist() for array in ranking)
    names = names.tolist()
    suggestions = [
        Suggestion(row, rank, names[label], score)
        for row in range(len(indices))
        for rank, (label, score) in enumerate(
            zip(indices[row], scores[row], strict=True), start=1
        )
        if score > 0
    ]
    try:
        import pandas as pd
    except ImportError:
        return suggestions
    return pd.DataFrame(suggestions, columns=Suggestion._fields)
