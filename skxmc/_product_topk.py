"""The best codes of a product space, exactly, without a score for each."""

from functools import lru_cache

import numpy as np

from skxmc._codes import strides
from skxmc._topk import topk_dense


def product_topk(head_scores, k, n_codes):
    """Rank the `k` best codes by the sum of their digits' scores.

    A code that has, head by head, the ranks r_1, ..., r_H comes after the
    ``r_1 * ... * r_H - 1`` others that are at least as good in every head, so only
    codes with a product of ranks up to k can be among the k best: for two heads about
    ``k log k``, however many codes there are.

    Parameters
    ----------
    head_scores : sequence of ndarray of shape (n_samples, l_h), float64
        Scores of the digits. Their sums must be exact (see `exact_scores`); sums that
        are rounded could tie, and then rank, differently.
    k : int
        Length of the rankings, at most n_codes.
    n_codes : int
        Codes from this one on belong to no label; more than the product of all sizes
        but the first, times ``l_1 - 1``.

    Returns
    -------
    codes : ndarray of shape (n_samples, k), intp
        Best first, ties by lowest code.
    scores : ndarray of shape (n_samples, k), float64
        Their scores.

    Examples
    --------
    >>> import numpy as np
    >>> from skxmc._product_topk import product_topk
    >>> heads = np.array([[0.0, 2.0]]), np.array([[0.0, 1.0, 5.0]])
    >>> product_topk(heads, k=3, n_codes=5)  # code 5, the best, is not valid
    (array([[2, 4, 3]]), array([[5., 3., 2.]]))
    """
    step = strides([scores.shape[1] for scores in head_scores])[0]
    n_full, rest = divmod(n_codes, step)
    parts = []
    if n_full:
        full = [head_scores[0][:, :n_full], *head_scores[1:]]
        parts.append(_full_topk(full, min(k, n_full * step)))
    if rest:
        # Of the last block only the first codes are valid. Were it left in the full
        # product, its invalid codes would count among those that are better.
        codes, scores = product_topk(_cut_to(head_scores[1:], rest), min(k, rest), rest)
        parts.append((codes + n_full * step, scores + head_scores[0][:, [n_full]]))
    codes, scores = (np.hstack(part) for part in zip(*parts, strict=True))
    best, scores = topk_dense(scores, k)  # the parts stand in ascending order of codes
    return _pick(codes, best), scores


def exact_scores(scores):
    """Round scores to a grid on which float64 sums of any few of them are exact."""
    return np.ldexp(np.rint(np.ldexp(scores.astype(np.float64), 30)), -30)


def _full_topk(head_scores, k):
    """Rank the codes of a whole product, best first, ties by lowest code."""
    sizes = [scores.shape[1] for scores in head_scores]
    ranks = _rank_tuples(k, tuple(sizes))  # (n_tuples, n_heads)
    codes = np.zeros((len(head_scores[0]), len(ranks)), dtype=np.intp)
    total = np.zeros(codes.shape)
    for scores, step, rank in zip(head_scores, strides(sizes), ranks.T, strict=True):
        digits, digit_scores = topk_dense(scores, min(k, scores.shape[1]))
        codes += step * digits[:, rank]
        total += digit_scores[:, rank]
    order = np.argsort(codes, axis=1)
    best, scores = topk_dense(_pick(total, order), k)
    return _pick(_pick(codes, order), best), scores


@lru_cache(maxsize=32)
def _rank_tuples(k, sizes):
    """List the tuples of ranks, from 0, of which ``prod(rank + 1) <= k``."""
    ranks = np.zeros((1, 0), dtype=np.intp)
    product = np.ones(1, dtype=np.intp)
    for size in sizes:
        lengths = np.minimum(k // product, size)
        starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
        new = np.arange(lengths.sum()) - starts
        ranks = np.column_stack([np.repeat(ranks, lengths, axis=0), new])
        product = np.repeat(product, lengths) * (new + 1)
    ranks.flags.writeable = False
    return ranks


def _cut_to(head_scores, n_codes):
    """Cut the first heads to the digits that the codes below `n_codes` have."""
    step = strides([scores.shape[1] for scores in head_scores])[0]
    return [head_scores[0][:, : -(-n_codes // step)], *head_scores[1:]]


def _pick(values, columns):
    return np.take_along_axis(values, columns, axis=1)
