"""The labels that each row has most votes for, which classifiers tell apart."""

import numpy as np
import scipy.sparse as sp

from skxmc._blocks import rows_of
from skxmc._neighbors import map_nearest_others
from skxmc._recovery import mix_chances, neighbor_weights, vote
from skxmc._topk import topk_csr

# Labels of a row.
N_SHORTLISTED = 30


def blend_classifiers(scores, score_pairs, classifier_weight):
    """Mix scores with those of the labels' classifiers.

    Parameters
    ----------
    scores : csr_array of shape (n_samples, n_labels), float32
        Between 0 and 1.
    score_pairs : callable
        Computes what classifiers say of pairs, given their rows and their labels.
    classifier_weight : float
        See `mix_chances`. Labels that are not shortlisted have its least chance.

    Returns
    -------
    scores : csr_array of shape (n_samples, n_labels), float32
    """
    listed = shortlisted(scores)
    f = np.full(scores.nnz, -1, dtype=np.float32)
    f[listed] = score_pairs(rows_of(scores)[listed], scores.indices[listed])
    mixed = mix_chances(scores.data, f, classifier_weight)
    return sp.csr_array((mixed, scores.indices, scores.indptr), shape=scores.shape)


def shortlisted(scores):
    """Tell which stored scores of a CSR matrix are among the best of their row.

    Parameters
    ----------
    scores : csr_array of shape (n_samples, n_labels), float32

    Returns
    -------
    is_listed : ndarray of shape (nnz,), bool
        Those of a row's 30 best labels, and others with the score of the last of them.
    """
    _, best = topk_csr(scores, min(N_SHORTLISTED, scores.shape[1]))
    return scores.data >= np.repeat(best[:, -1], np.diff(scores.indptr))


def shortlist_labels(keys, store, n_neighbors, sharpening):
    """Rank the labels of each training row by the votes of others.

    Parameters
    ----------
    keys : ndarray of shape (n_rows, n_components), float32
        Codes of the rows that the store has.
    store : LabelStore
    n_neighbors : int
        Rows that vote.
    sharpening : float
        See `neighbor_weights`.

    Returns
    -------
    votes : csr_array of shape (n_rows, n_labels), float32
        Of the 30 labels with the most.
    """
    n_listed = min(N_SHORTLISTED, store.sets.shape[1])
    labels = np.full((len(keys), n_listed), -1, dtype=np.int32)
    votes = np.zeros((len(keys), n_listed), dtype=np.float32)

    def fill(members, neighbors, similarities):
        weights = neighbor_weights(similarities, sharpening)
        sets = np.where(neighbors < 0, -1, store.set_of_row[neighbors])
        found = topk_csr(vote(store.sets, sets, weights), n_listed)
        labels[members], votes[members] = found

    map_nearest_others(fill, keys, n_neighbors)
    is_listed = (labels >= 0) & (votes > 0)
    ends = np.append(0, np.cumsum(is_listed.sum(axis=1)))
    parts = votes[is_listed], labels[is_listed], ends
    shortlists = sp.csr_array(parts, shape=(len(keys), store.sets.shape[1]))
    shortlists.sort_indices()
    return shortlists
