"""The labels that a batch is trained on: some positives, some hard negatives.

All in index arithmetic over the batch: nothing here is as long as the labels are many.
"""

import numpy as np

from skxmc._blocks import rows_of


def draw_positives(Y, n_positives, rng):
    """Draw up to `n_positives` different labels of each row.

    Parameters
    ----------
    Y : csr_array of shape (n_rows, n_labels)
        Label indicator of the batch.
    n_positives : int
        How many to draw; of a row with fewer labels, all.
    rng : numpy Generator
        Source of the draws.

    Returns
    -------
    labels : ndarray of shape (n_drawn,), int
        Labels of all rows; one that several rows drew stands there several times.
    """
    lengths = np.diff(Y.indptr)
    if lengths.max(initial=0) <= n_positives:
        return Y.indices
    rows = np.repeat(np.arange(len(lengths)), lengths)
    # Shuffled within its row, an entry's place in the row is its rank.
    order = np.lexsort((rng.random(Y.nnz, dtype=np.float32), rows))
    rank = np.arange(Y.nnz) - Y.indptr[rows]
    return Y.indices[order[rank < n_positives]]


def draw_negatives(negatives, n_negatives, rng):
    """Draw up to `n_negatives` different entries of each row.

    Parameters
    ----------
    negatives : ndarray of shape (n_rows, n_known), int
        Hard negatives of each row, different ones; -1 where there are fewer.
    n_negatives : int
        How many to draw.
    rng : numpy Generator
        Source of the draws.

    Returns
    -------
    labels : ndarray of shape (n_drawn,), int
    """
    if n_negatives < negatives.shape[1]:
        keys = rng.random(negatives.shape, dtype=np.float32)
        keys[negatives < 0] = 2  # drawn last
        places = np.argpartition(keys, n_negatives, axis=1)[:, :n_negatives]
        negatives = np.take_along_axis(negatives, places, axis=1)
    return negatives[negatives >= 0]


def fill_pool(positives, negatives, max_pool_size):
    """Join positives and negatives, the most frequent ones first if they are too many.

    Parameters
    ----------
    positives, negatives : ndarray of shape (n_drawn,), int
        Labels drawn, with repetitions. Negatives only take what positives leave.
    max_pool_size : int
        Most labels in a pool.

    Returns
    -------
    pool : ndarray of shape (n_pool,), int64
        Different labels, sorted.
    """
    pool = _most_frequent(positives, max_pool_size)
    room = max_pool_size - len(pool)
    extra = _most_frequent(negatives[~np.isin(negatives, pool)], room)
    return np.sort(np.concatenate([pool, extra])).astype(np.int64)


def find_in_pool(Y, pool):
    """Return (rows, places in the pool) of all labels of Y that are in the pool."""
    rows = rows_of(Y)
    places = np.searchsorted(pool, Y.indices)
    places[places == len(pool)] = 0
    found = pool[places] == Y.indices if len(pool) else np.zeros(Y.nnz, dtype=bool)
    return rows[found], places[found]


def _most_frequent(labels, n_kept):
    """Return the `n_kept` most frequent different labels; ties by lowest label."""
    labels, counts = np.unique(labels, return_counts=True)
    if len(labels) <= n_kept:
        return labels
    return labels[np.argsort(-counts, kind="stable")[:n_kept]]
