"""Where a ranking is good: scores by label frequency; public in `skxmc.metrics`."""

from numbers import Integral

import numpy as np

from skxmc.metrics._ranking import evaluate_top_k


def scores_by_frequency(y_true, y_score, *, label_counts, k=5, base=4):
    r"""Compute precision and recall in the top k, by frequency of the labels.

    Labels are put into bins by how often they occurred in training: never, then from
    1, base, base ** 2, ... on. Precision tells how far a prediction of such a label
    can be trusted, recall how many of their true occurrences are found.

    Parameters
    ----------
    y_true : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        True labels, a 0/1 indicator.
    y_score : array-like, sparse matrix or array, or tuple
        Scores of shape (n_samples, n_labels), or ranked label indices; all forms
        are listed in :mod:`skxmc.metrics`.
    label_counts : array-like of shape (n_labels,), int
        Number of training rows that have each label.
    k : int, default=5
        Number of labels to look at in each row.
    base : int, default=4
        Ratio of the bounds of a bin, at least 2.

    Returns
    -------
    table : dict of str to ndarray of shape (n_bins,)
        For each bin that holds a label, rarest first: "low" and "high", the frequencies
        from and to which it goes, both included; "n_labels"; "n_true", the pairs of a
        row and a label of it that are true, "n_predicted", those in the top k, and
        "n_hits", those that are both; "precision" and "recall", NaN where nothing is
        predicted or true. ``pandas.DataFrame(table)`` shows it.

    Raises
    ------
    ValueError
        If `y_true` is no indicator, `y_score` or `label_counts` do not fit it, `k` is
        not between 1 and n_labels, or `base` is below 2.
    TypeError
        If `base` is not an integer.

    Notes
    -----
    In a bin B, :math:`P_B = H_B / |\{(i, j): r_i(j) \in B, j \le k\}|` and
    :math:`R_B = H_B / \sum_i |y_i \cap B|` with
    :math:`H_B = \sum_i \sum_{j \le k} y_{i, r_i(j)} [r_i(j) \in B]`. With k labels
    predicted in each of n rows, precision at k is :math:`\sum_B H_B / (n k)`. Recall
    stands for propensity-scored precision here: within a bin propensities hardly
    differ, and their weight cancels.

    Examples
    --------
    >>> from skxmc.metrics import scores_by_frequency
    >>> table = scores_by_frequency(
    ...     [[1, 0, 1], [1, 1, 0]],
    ...     [[0.9, 0.5, 0.1], [0.8, 0.7, 0.2]],
    ...     label_counts=[20, 1, 3],
    ...     k=2,
    ... )
    >>> table["low"], table["precision"], table["recall"]
    (array([ 1, 16]), array([0.5, 1. ]), array([0.5, 1. ]))
    """
    Y, indices, hits = evaluate_top_k(y_true, y_score, k)
    counts = _check_counts(label_counts, n_labels=Y.shape[1])
    lows = _lower_bounds(counts.max(initial=0), base)
    bin_of = np.searchsorted(lows, counts, side="right") - 1
    n_labels, n_true, n_predicted, n_hits = (
        np.bincount(bin_of[labels], minlength=len(lows))
        for labels in (slice(None), Y.indices, indices[indices >= 0], indices[hits])
    )
    highs = np.append(lows[1:], base * lows[-1]) - 1
    table = {
        "low": lows,
        "high": np.maximum(highs, lows),
        "n_labels": n_labels,
        "n_true": n_true,
        "n_predicted": n_predicted,
        "n_hits": n_hits,
        "precision": _ratio(n_hits, n_predicted),
        "recall": _ratio(n_hits, n_true),
    }
    return {name: column[n_labels > 0] for name, column in table.items()}


def _check_counts(label_counts, n_labels):
    counts = np.asarray(label_counts)
    if counts.shape != (n_labels,):
        raise ValueError(
            f"label_counts has shape {counts.shape}, but y_true has {n_labels} labels; "
            "pass one number per label, that of the training rows that have it."
        )
    wrong = counts[~((counts >= 0) & (counts == np.floor(counts)))]
    if wrong.size:
        raise ValueError(
            f"label_counts holds {wrong[0]}; pass whole numbers of at least 0."
        )
    return counts.astype(np.int64)


def _lower_bounds(largest, base):
    """Return 0, 1, base, base ** 2, ... up to the largest count."""
    if not isinstance(base, Integral) or isinstance(base, bool):
        raise TypeError(
            f"base={base!r} is of type {type(base).__name__}; pass an integer of at "
            "least 2."
        )
    if base < 2:
        raise ValueError(f"base={base} is smaller than 2; pass an integer above 1.")
    bounds = [0, 1]
    while bounds[-1] * base <= largest:
        bounds.append(bounds[-1] * int(base))
    return np.array(bounds)


def _ratio(part, whole):
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
