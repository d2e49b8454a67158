"""Rankings of label scores.

A ranking is a pair ``(indices, scores)`` of arrays of shape (n_samples, k), best
label first. Equal scores are always ranked by lowest label, also where a run of
them crosses the cut at k. NaN has no rank: callers reject it beforehand.
"""

from numbers import Integral

import numpy as np
import scipy.sparse as sp

# Elements of a score matrix ranked at once; the temporaries are a few times that.
_BLOCK_SIZE = 2**19
# Rows of at least so many scores, and so many times k, are searched by groups of them,
_MIN_WIDTH, _MIN_RATIO = 256, 12
# of so many scores, or more where that makes more groups than are quickly searched.
_GROUP_SIZE, _MAX_GROUPS = 16, 128


def check_k(k, n_labels):
    """Check that `k` is an integer between 1 and `n_labels`.

    Parameters
    ----------
    k : int
        Length of a ranking.
    n_labels : int
        Number of labels there are to rank.

    Raises
    ------
    TypeError
        If `k` is not an integer.
    ValueError
        If `k` is below 1 or above `n_labels`.
    """
    if not isinstance(k, Integral) or isinstance(k, bool):
        raise TypeError(
            f"k={k!r} is of type {type(k).__name__}; pass an integer of at least 1."
        )
    if k < 1:
        raise ValueError(f"k={k} is smaller than 1; pass an integer of at least 1.")
    if k > n_labels:
        raise ValueError(
            f"k={k} is larger than the number of labels {n_labels}; "
            f"pass at most k={n_labels}."
        )


def topk_dense(scores, k):
    """Rank the `k` best labels of each row of a dense score matrix.

    Parameters
    ----------
    scores : ndarray of shape (n_samples, n_labels), float
        Scores without NaN.
    k : int
        Length of the rankings, at most n_labels.

    Returns
    -------
    indices : ndarray of shape (n_samples, k), intp
        Labels, best first.
    top_scores : ndarray of shape (n_samples, k), dtype of `scores`
        Their scores.

    Examples
    --------
    >>> import numpy as np
    >>> from skxmc._topk import topk_dense
    >>> topk_dense(np.array([[0.5, 0.9, 0.5]]), k=2)
    (array([[1, 0]]), array([[0.9, 0.5]]))
    """
    n_samples, n_labels = scores.shape
    if n_samples == 1:
        return _topk_row(scores[0], k)
    indices = np.empty((n_samples, k), dtype=np.intp)
    top_scores = np.empty((n_samples, k), dtype=scores.dtype)
    n_rows = max(1, _BLOCK_SIZE // n_labels)
    is_wide = n_labels >= max(_MIN_WIDTH, _MIN_RATIO * k)
    rank = _topk_wide if is_wide else _topk_block
    for start in range(0, n_samples, n_rows):
        block = slice(start, start + n_rows)
        indices[block], top_scores[block] = rank(scores[block], k)
    return indices, top_scores


def topk_csr(S, k):
    """Rank the `k` best stored labels of each row of a sparse score matrix.

    Absent entries rank below every stored one, be it zero or negative, and are
    never part of a ranking.

    Parameters
    ----------
    S : CSR matrix or array of shape (n_samples, n_labels)
        Scores without NaN, indices in any order; duplicates are summed.
    k : int
        Length of the rankings.

    Returns
    -------
    indices : ndarray of shape (n_samples, k), intp
        Labels, best first; -1 once a row has no more stored entries.
    top_scores : ndarray of shape (n_samples, k), float
        Their scores; -inf where the label is -1.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from skxmc._topk import topk_csr
    >>> S = sp.csr_array(([0.2, -0.1], ([0, 0], [3, 1])), shape=(1, 4))
    >>> topk_csr(S, k=3)
    (array([[ 3,  1, -1]]), array([[ 0.2, -0.1, -inf]]))
    """
    if not S.has_canonical_format:
        S = S.copy()
        S.sum_duplicates()
    lengths = np.diff(S.indptr)
    # Longest rows first: the rows of a block are then of similar length, and
    # little of it is padding even if a few rows hold most of the entries.
    order = np.argsort(-lengths, kind="stable")
    indices = np.empty((S.shape[0], k), dtype=np.intp)
    top_scores = np.empty((S.shape[0], k), dtype=_float_dtype(S))
    start = 0
    while start < len(order):
        width = max(k, lengths[order[start]])
        rows = order[start : start + max(1, _BLOCK_SIZE // width)]
        labels, scores = _pad_rows(S[rows], width)
        slots, top_scores[rows] = _topk_block(scores, k)
        indices[rows] = np.take_along_axis(labels, slots, axis=1)
        start += len(rows)
    return indices, top_scores


def fill_ranking(indices, fallback):
    """Fill up rankings that are too short.

    Parameters
    ----------
    indices : ndarray of shape (n_samples, k), int
        Labels, best first; -1 where there are no more. Changed in place.
    fallback : ndarray of shape (n_labels,), int
        All labels, in the order in which they fill up.

    Returns
    -------
    indices : ndarray of shape (n_samples, k)
        The same array, without -1.

    Examples
    --------
    >>> import numpy as np
    >>> from skxmc._topk import fill_ranking
    >>> fill_ranking(np.array([[2, 1], [3, -1]]), fallback=np.array([3, 0, 1, 2]))
    array([[2, 1],
           [3, 0]])
    """
    k = indices.shape[1]
    for row in np.flatnonzero(indices[:, -1] < 0):
        ranked = indices[row][indices[row] >= 0]
        n_missing = k - len(ranked)
        # The first k of the fallback hold n_missing labels that are not ranked yet.
        extra = fallback[:k]
        indices[row, len(ranked) :] = extra[~np.isin(extra, ranked)][:n_missing]
    return indices


def ranking_to_csr(indices, scores, n_labels, kind):
    """Store a ranking as a CSR score matrix.

    Parameters
    ----------
    indices : ndarray of shape (n_samples, k), int
        Distinct labels in each row; entries that are -1 are left out.
    scores : ndarray of shape (n_samples, k)
        Their scores.
    n_labels : int
        Number of columns of the result.
    kind : str
        "matrix" for a csr_matrix, else a csr_array is returned.

    Returns
    -------
    S : CSR matrix or array of shape (n_samples, n_labels)
        The scores, with sorted indices of type int32 where that is enough.

    Examples
    --------
    >>> import numpy as np
    >>> from skxmc._topk import ranking_to_csr
    >>> indices, scores = np.array([[2, 0, -1]]), np.array([[0.9, 0.1, -np.inf]])
    >>> ranking_to_csr(indices, scores, n_labels=4, kind="array").toarray()
    array([[0.1, 0. , 0.9, 0. ]])
    """
    ranked = indices >= 0
    indptr = np.concatenate([[0], np.cumsum(ranked.sum(axis=1))])
    needs_int64 = max(n_labels, indptr[-1]) > np.iinfo(np.int32).max
    # csr_array would keep the int64 of the ranking.
    index_dtype = np.int64 if needs_int64 else np.int32
    make_csr = sp.csr_matrix if kind == "matrix" else sp.csr_array
    S = make_csr(
        (
            scores[ranked],
            indices[ranked].astype(index_dtype),
            indptr.astype(index_dtype),
        ),
        shape=(len(indices), n_labels),
    )
    S.sort_indices()
    return S


def _topk_row(scores, k):
    """Rank the scores of one row as `_topk_block` does, by the fewest operations."""
    cut = len(scores) - k
    chosen = np.flatnonzero(scores >= np.partition(scores, cut)[cut])
    order = np.argsort(-scores[chosen], kind="stable")[:k]
    indices = chosen[order]
    return indices[None], scores[None, indices]


def _topk_block(scores, k):
    """Rank as `topk_dense` does, with temporaries as large as `scores`."""
    cut = scores.shape[1] - k
    kth_best = np.partition(scores, cut, axis=1)[:, [cut]]
    chosen = scores >= kth_best
    crowded = np.flatnonzero(np.count_nonzero(chosen, axis=1) > k)
    if crowded.size:  # a run of equal scores crosses the cut: its first ones stay
        above = scores[crowded] > kth_best[crowded]
        tied = scores[crowded] == kth_best[crowded]
        vacant = k - above.sum(axis=1, keepdims=True)
        chosen[crowded] = above | (tied & (np.cumsum(tied, axis=1) <= vacant))
    # Exactly k a row, in ascending order, which the stable sort keeps among ties.
    indices = np.nonzero(chosen)[1].reshape(-1, k)
    top_scores = np.take_along_axis(scores, indices, axis=1)
    order = np.argsort(-top_scores, axis=1, kind="stable")
    return (
        np.take_along_axis(indices, order, axis=1),
        np.take_along_axis(top_scores, order, axis=1),
    )


def _topk_wide(scores, k):
    """Rank as `_topk_block` does, after a cheap look at which scores can be ranked.

    The columns are dealt into groups. The k-th best of the groups' maxima is a bound
    that at least k scores reach, and few others: only those are ranked.
    """
    n_samples, n_labels = scores.shape
    n_groups = max(2 * k, min(n_labels // _GROUP_SIZE, _MAX_GROUPS))
    size = n_labels // n_groups
    dealt = scores[:, : size * n_groups].reshape(n_samples, size, n_groups)
    maxima = dealt.max(axis=1)
    bound = np.partition(maxima, n_groups - k, axis=1)[:, [n_groups - k]]
    places = np.flatnonzero(scores >= bound)
    if len(places) > scores.size // 8:  # many are equal
        return _topk_block(scores, k)
    rows, columns = np.divmod(places, n_labels)
    n_chosen = np.bincount(rows, minlength=n_samples)
    slots = np.arange(len(rows)) - (np.cumsum(n_chosen) - n_chosen)[rows]
    shape = n_samples, n_chosen.max()
    labels, few = np.zeros(shape, dtype=np.intp), np.full(shape, -np.inf, scores.dtype)
    labels[rows, slots], few[rows, slots] = columns, scores[rows, columns]
    order, top_scores = _topk_block(few, k)
    return np.take_along_axis(labels, order, axis=1), top_scores


def _pad_rows(S, width):
    """Left-align the labels and scores of a CSR; fill with label -1, score -inf."""
    stored = np.arange(width) < np.diff(S.indptr)[:, None]
    labels = np.full(stored.shape, -1, dtype=np.intp)
    labels[stored] = S.indices
    scores = np.full(stored.shape, -np.inf, dtype=_float_dtype(S))
    scores[stored] = S.data
    return labels, scores


def _float_dtype(S):
    """Give the dtype of `S` if it is float, else a float dtype that holds it."""
    return np.result_type(S.dtype, np.float32)
