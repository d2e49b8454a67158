"""Names of the best labels as a table."""

from typing import NamedTuple

from sklearn.utils.validation import check_is_fitted


class Suggestion(NamedTuple):
    """A label suggested for a text; see `XMCTextClassifier.suggest`."""

    row: int
    rank: int
    label: object
    score: float


def suggest(model, texts, k):
    """List the best labels of texts, or of one, by name.

    Parameters
    ----------
    model : estimator instance
        Fitted, with ``predict_topk`` and `classes_`.
    texts : str or sequence of str of shape (n_samples,)
    k : int
        Labels a text at most.

    Returns
    -------
    suggestions : pandas.DataFrame or list of Suggestion
        See `list_suggestions`.
    """
    check_is_fitted(model)
    texts = [texts] if isinstance(texts, str) else texts
    ranking = model.predict_topk(texts, k=min(k, len(model.classes_)))
    return list_suggestions(ranking, model.classes_)


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
