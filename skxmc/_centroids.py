"""Labels described by the rows that have them."""

from functools import reduce
from operator import add

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import normalize

from skxmc._mapped import MappedCSR, csr_blocks, is_mapped, rows_of

# Features that a centroid keeps.
N_STRONGEST = 100
# Entries of Y^T X that are made at once, before all but the largest are dropped.
_BLOCK_ENTRIES = 2**22
# Entries of the sum over mapped rows from which on small ones are dropped; of each
# label, so many times as many are kept as will be in the end.
_MOST_ENTRIES, _SPARE = 2**23, 4


def label_centroids(X, Y, n_strongest=N_STRONGEST):
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

    Notes
    -----
    Of mapped X, sums are added up in one pass. While they have more than some millions
    of entries, those of each label that are small so far are dropped on the way; then
    the result is approximate.
    """
    if is_mapped(X):
        sums = _sum_rows_of_labels(X, Y, n_strongest)
        return normalize(_keep_by_blocks(sums, n_strongest), copy=False)
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


def _sum_rows_of_labels(X, Y, n_strongest):
    """Compute ``Y^T normalize(X)`` in one pass over the rows, without small entries."""
    n_labels, n_features = Y.shape[1], X.shape[1]
    n_kept = max(_SPARE * n_strongest, _MOST_ENTRIES // (2 * n_labels))
    sums, n_pending = [sp.csr_array((n_labels, n_features), dtype=np.float32)], 0
    for span, block in csr_blocks(X):
        sums.append(rows_of(Y, span).T.tocsr() @ normalize(block))
        sums[-1].sort_indices()  # else adding up is slow
        n_pending += sums[-1].nnz
        if n_pending > _MOST_ENTRIES // 2:
            sums, n_pending = [_add_up(sums, n_kept)], 0
    return _add_up(sums, n_kept)


def _add_up(sums, n_kept):
    """Add up CSR arrays; of more entries than are to be held, only the largest."""
    total = reduce(add, sums)
    return total if total.nnz <= _MOST_ENTRIES else _keep_by_blocks(total, n_kept)


def _keep_by_blocks(A, n_strongest):
    """Do what `keep_strongest` does, without temporaries as large as A."""
    blocks = csr_blocks(MappedCSR(A))
    kept = [keep_strongest(block, n_strongest) for _, block in blocks]
    return sp.csr_array(sp.vstack(kept, format="csr"))


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
