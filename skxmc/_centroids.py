"""Labels described by the rows that have them."""

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import normalize

# Entries of Y^T X that are made at once, before all but the largest are dropped.
_BLOCK_ENTRIES = 2**22


def label_centroids(X, Y, n_strongest=100):
    """Compute the mean direction of each label's rows.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Input rows.
    Y : csr_array of shape (n_samples, n_labels), float32
        Label indicator.
    n_strongest : int, default=100
        Features that a centroid keeps at most: those of largest magnitude. It bounds
        the memory where labels are many.

    Returns
    -------
    centroids : csr_array of shape (n_labels, n_features), float32
        ``normalize(Y^T normalize(X))``, rows of unit length or empty.
    """
    X, Yt = normalize(X), sp.csr_array(Y.T)
    row_lengths = np.diff(X.indptr).astype(np.int64)
    # An upper bound of the entries of Y^T X up to each label.
    n_entries = np.concatenate([[0], np.cumsum(row_lengths[Yt.indices])])[Yt.indptr]
    blocks, start = [], 0
    while start < Yt.shape[0]:
        limit = n_entries[start] + _BLOCK_ENTRIES
        stop = max(start + 1, np.searchsorted(n_entries, limit, side="right") - 1)
        blocks.append(keep_strongest(sp.csr_array(Yt[start:stop] @ X), n_strongest))
        start = stop
    return normalize(sp.csr_array(sp.vstack(blocks, format="csr")), copy=False)


def keep_strongest(A, n_strongest):
    """Return a CSR array with at most `n_strongest` entries a row: the largest ones."""
    lengths = np.diff(A.indptr)
    if lengths.max(initial=0) <= n_strongest:
        return A
    rows = np.repeat(np.arange(A.shape[0]), lengths)
    # By row, then by falling magnitude: an entry's place in its row is its rank.
    order = np.lexsort((-np.abs(A.data), rows))
    rank = np.arange(A.nnz) - A.indptr[rows]
    kept = np.sort(order[rank < n_strongest])
    indptr = np.concatenate([[0], np.cumsum(np.minimum(lengths, n_strongest))])
    return sp.csr_array((A.data[kept], A.indices[kept], indptr), shape=A.shape)
