"""From neighbours of a code back to labels."""

import numpy as np
import scipy.sparse as sp

from skxmc._blocks import rows_of
from skxmc._mapped import MappedCSR, count_columns, csr_blocks
from skxmc._topk import fill_ranking, topk_csr

# Classes of 1-D y among which linear scores are shared.
N_SHARING = 100


class LabelStore:
    """Label sets of the training rows, each stored once, and the keys that carry them.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels), canonical
        Label indicator of the training rows; a `MappedCSR` is read in blocks.
    key_per_set : bool
        Whether one key stands for all rows with the same labels, or each row has its
        own. Rows without labels have none.

    Attributes
    ----------
    sets : csr_array of shape (n_sets, n_labels)
        The distinct label sets.
    key_rows : ndarray of shape (n_keys,), int32
        Row of Y that each key was made of.
    set_of_key, count_of_key : ndarray of shape (n_keys,), int32
        Label set of each key, and how many rows the key stands for.
    rows, set_of_row : ndarray of shape (n_rows,), int32
        The rows of Y that have labels, and their label sets.
    by_frequency : ndarray of shape (n_labels,), int32
        All labels, the most frequent first.
    """

    def __init__(self, Y, *, key_per_set):
        first, set_of_row = unique_label_rows(Y)
        self.sets = _with_small_indices(Y[first].astype(np.float32, copy=False))
        # Without any label, one row that votes for nothing leaves something to search.
        has_label = np.diff(Y.indptr) > 0
        self.rows = np.flatnonzero(has_label) if has_label.any() else np.arange(1)
        self.set_of_row = set_of_row[self.rows]
        self.key_rows = np.intersect1d(first, self.rows) if key_per_set else self.rows
        self.set_of_key = set_of_row[self.key_rows]
        sizes = np.bincount(set_of_row)[self.set_of_key]
        self.count_of_key = sizes if key_per_set else np.ones_like(sizes)
        self.by_frequency = np.argsort(-count_columns(Y), kind="stable")
        for name, numbers in vars(self).items():
            if name != "sets":
                setattr(self, name, numbers.astype(np.int32))
        if not key_per_set:  # not a copy
            self.key_rows, self.set_of_key = self.rows, self.set_of_row

    def weights_of_rows(self, keys, weights):
        """Share the weights of keys among the rows that they stand for, equally.

        Parameters
        ----------
        keys : ndarray of shape (1, q), int
            Neighbours of one row; -1 for none.
        weights : ndarray of shape (1, q)
            What they weigh.

        Returns
        -------
        weights : ndarray of shape (n_rows,), float64
            Of each of `rows`.
        """
        keys, weights = keys[keys >= 0], weights[keys >= 0]
        if len(self.key_rows) == len(self.rows):
            return np.bincount(keys, weights, minlength=len(self.rows))
        sizes = np.bincount(self.set_of_row)
        sums = np.bincount(self.set_of_key[keys], weights, minlength=len(sizes))
        return (sums / np.maximum(sizes, 1))[self.set_of_row]

    def __getstate__(self):
        """Return what a pickle holds: small numbers, and where the ones of sets are."""
        state = {name: _in_few_bits(numbers) for name, numbers in self._numbers()}
        parts = _in_few_bits(self.sets.indices), _in_few_bits(self.sets.indptr)
        return state | {"sets": (*parts, self.sets.shape)}

    def __setstate__(self, state):
        indices, indptr, shape = state.pop("sets")
        for name, numbers in state.items():
            setattr(self, name, numbers.astype(np.int32))
        if "key_rows" not in state:
            self.key_rows, self.set_of_key = self.rows, self.set_of_row
        places = indices.astype(np.int64), indptr.astype(np.int64)
        ones = np.ones(len(indices), dtype=np.float32)
        self.sets = _with_small_indices(sp.csr_array((ones, *places), shape=shape))

    def _numbers(self):
        """Yield names and arrays of integers, none twice."""
        twice = ("key_rows", "set_of_key") if self.key_rows is self.rows else ()
        for name, numbers in vars(self).items():
            if name not in ("sets", *twice):
                yield name, numbers

    @property
    def n_bytes(self):
        """Memory in bytes."""
        sets = self.sets.data, self.sets.indices, self.sets.indptr
        keys = self.key_rows, self.set_of_key, self.count_of_key
        rows = self.rows, self.set_of_row, self.by_frequency
        return sum(part.nbytes for part in (*sets, *keys, *rows))


def neighbor_weights(similarities, sharpening, counts=1):
    """Turn similarities into weights that sum to 1 in each row.

    ``w_j ~ counts_j * max(s_j, 0) ** sharpening``; by counts alone where no similarity
    is positive.

    Parameters
    ----------
    similarities : ndarray of shape (n_samples, n_neighbors), float32
        -inf for a neighbour that was not found.
    sharpening : float
        0 weighs all neighbours alike, 1 by similarity, more favours the nearest.
    counts : ndarray of shape (n_samples, n_neighbors), int, default=1
        How many training rows each neighbour stands for.

    Returns
    -------
    weights : ndarray of shape (n_samples, n_neighbors), float32
    """
    found = np.isfinite(similarities)
    positive = np.maximum(similarities, 0)
    best = positive.max(axis=1, keepdims=True)
    # Relative to the best, a large power underflows to 0, but never overflows.
    relative = np.where(best > 0, positive / np.where(best > 0, best, 1), 1)
    weights = np.where(found, counts * relative ** float(sharpening), 0)
    total = weights.sum(axis=1, keepdims=True)
    return (weights / np.where(total > 0, total, 1)).astype(np.float32)


def cap_multiplicities(counts, n_neighbors):
    """Count how often each neighbour is taken until `n_neighbors` rows are reached.

    Parameters
    ----------
    counts : ndarray of shape (n_samples, q), int
        How many rows each neighbour stands for, nearest first.
    n_neighbors : int
        Rows to take in all.

    Returns
    -------
    taken : ndarray of shape (n_samples, q), int
        ``taken.sum(axis=1) <= n_neighbors``.
    """
    before = np.cumsum(counts, axis=1) - counts
    return np.clip(n_neighbors - before, 0, counts)


def vote(label_rows, neighbors, weights):
    """Add up the labels of the neighbours, by weight.

    Parameters
    ----------
    label_rows : csr_array of shape (n_label_rows, n_labels)
        Label sets.
    neighbors : ndarray of shape (n_samples, q), int
        Label row of each neighbour; -1 for none.
    weights : ndarray of shape (n_samples, q), float32

    Returns
    -------
    votes : csr_array of shape (n_samples, n_labels), float32
        For weights that sum to 1, the weighted share of neighbours with a label.
    """
    n_samples, n_neighbors = neighbors.shape
    indptr = np.arange(n_samples + 1) * n_neighbors
    rows = np.maximum(neighbors, 0).ravel()
    shape = (n_samples, label_rows.shape[0])
    votes = sp.csr_array((weights.ravel(), rows, indptr), shape=shape) @ label_rows
    votes.sort_indices()
    return votes


def blend_linear(votes, score_pairs, linear_weight):
    """Mix the votes with the linear scores of the same labels.

    Parameters
    ----------
    votes : csr_array of shape (n_samples, n_labels), float32
    score_pairs : callable
        Computes linear scores of pairs, given their rows and their labels.
    linear_weight : float
        Share of the linear scores, between 0 and 1. They are clipped to [0, 1].

    Returns
    -------
    scores : csr_array of shape (n_samples, n_labels), float32
    """
    linear_weight = float(linear_weight)  # numpy's would make scores of 64 bits
    linear = score_pairs(rows_of(votes), votes.indices)
    scores = (1 - linear_weight) * votes.data + linear_weight * np.clip(linear, 0, 1)
    return sp.csr_array((scores, votes.indices, votes.indptr), shape=votes.shape)


def mix_chances(scores, f, weight):
    """Mix scores with what linear classifiers say of the same pairs.

    Parameters
    ----------
    scores : ndarray of shape (n_pairs,), float32
        Between 0 and 1.
    f : ndarray of shape (n_pairs,), float32
        Of classifiers of squared hinge loss, which 2 p - 1 makes least where a label
        has the probability p.
    weight : float
        Share of the classifiers, between 0 and 1.

    Returns
    -------
    mixed : ndarray of shape (n_pairs,), float32
        Geometric means of the scores and (f + 1) / 2, which is at least 0.01: below,
        scores decide.
    """
    weight = np.float32(weight)
    return scores ** (1 - weight) * np.clip((f + 1) / 2, 0.01, 1) ** weight


def share_among_best(scores):
    """Turn linear scores of classes, best first, into probabilities.

    Parameters
    ----------
    scores : ndarray of shape (n_samples, k), float32

    Returns
    -------
    shares : ndarray of shape (n_samples, k), float32
        The positive scores of the `N_SHARING` best over their sum, 0 of all others.
    """
    shares = np.maximum(scores, 0)
    shares[:, N_SHARING:] = 0
    total = shares.sum(axis=1, keepdims=True)
    return shares / np.where(total > 0, total, 1)


def rank_votes(scores, k, fallback):
    """Rank labels by score and fill short rows from `fallback`, with score 0.

    Parameters
    ----------
    scores : csr_array of shape (n_samples, n_labels), float32
    k : int
        Length of the rankings.
    fallback : ndarray of shape (n_labels,), int
        All labels, in the order in which they fill up.

    Returns
    -------
    indices, top_scores : ndarrays of shape (n_samples, k)
    """
    indices, top_scores = topk_csr(scores, k)
    return fill_ranking(indices, fallback), np.clip(top_scores, 0, 1)


def _with_small_indices(Y):
    """Return a CSR with int32 indices where these are enough, whatever Y has."""
    if max(Y.shape[1], Y.nnz) > np.iinfo(np.int32).max:
        return Y
    small = [part.astype(np.int32, copy=False) for part in (Y.indices, Y.indptr)]
    return sp.csr_array((Y.data, *small), shape=Y.shape)


def _in_few_bits(numbers):
    """Return integers that are not negative in as few bytes each as they take."""
    return numbers.astype(np.min_scalar_type(numbers.max(initial=0)))


def unique_label_rows(Y):
    """Store equal label rows once.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels), canonical

    Returns
    -------
    first : ndarray of shape (n_unique,), intp
        Row of Y where each label set occurs first, in order of occurrence.
    label_row : ndarray of shape (n_samples,), intp
        Which of them each row of Y has.

    Notes
    -----
    Labels are given random numbers of 128 bits, and label sets are told apart by their
    sums: two of a million million sets have the same one with a probability of 1e-15.
    """
    sums = _random_sums(Y)
    order = np.lexsort(sums)  # stable: equal rows by number
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (sums[:, order[1:]] != sums[:, order[:-1]]).any(axis=0)
    first = order[is_first]
    by_occurrence = np.argsort(first)
    number = np.empty_like(first)
    number[by_occurrence] = np.arange(len(first))
    label_row = np.empty_like(order)
    label_row[order] = number[np.cumsum(is_first) - 1]
    return first[by_occurrence], label_row


def _random_sums(Y):
    """Add up random numbers of the labels of each row: shape (2, n_samples), uint64."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(2**64, size=(Y.shape[1], 2), dtype=np.uint64)
    sums = np.empty((2, Y.shape[0]), dtype=np.uint64)
    for span, block in csr_blocks(MappedCSR(Y)):  # in blocks, wherever it lies
        ones = np.ones(block.nnz, dtype=np.uint64)
        pattern = sp.csr_array((ones, block.indices, block.indptr), shape=block.shape)
        sums[:, span] = (pattern @ numbers).T
    return sums
