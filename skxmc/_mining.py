"""Hard negatives: labels whose embeddings are close to a row that has others."""

import numpy as np

from skxmc._blocks import BLOCK_ROWS
from skxmc._neighbors import NeighborIndex
from skxmc._pairs import holds_labels

# Hard negatives kept for each one that a batch draws.
_N_KNOWN = 4
# A row's own labels are among those found. Of rows with many, some are lost for them.
_MAX_POSITIVES = 64


def find_hard_negatives(row_vectors, label_vectors, Y, n_negatives, kind):
    """Search, for each row, the closest labels that it does not have.

    Parameters
    ----------
    row_vectors : ndarray of shape (n_samples, n_components), float32
        Embeddings of the rows.
    label_vectors : ndarray of shape (n_labels, n_components), float32
        Embeddings of the labels.
    Y : csr_array of shape (n_samples, n_labels)
        Label indicator.
    n_negatives : int
        How many are drawn for a batch. Four times as many are kept.
    kind : {"auto", "exact", "ivf", "hnsw"}
        How to search, see `NeighborIndex`.

    Returns
    -------
    negatives : ndarray of shape (n_samples, 4 * n_negatives), int32
        Best first; -1 where there are fewer.
    """
    n_samples, n_labels = Y.shape
    n_kept = _N_KNOWN * n_negatives
    most = min(int(np.diff(Y.indptr).max(initial=0)), _MAX_POSITIVES)
    k = min(n_kept + most, n_labels)
    index = NeighborIndex(label_vectors, similarity="dot", kind=kind, n_neighbors=k)
    negatives = np.full((n_samples, n_kept), -1, dtype=np.int32)
    for start in range(0, n_samples, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        found = index.search(row_vectors[block], k)[0]
        found[holds_labels(Y[block], found)] = -1
        # Stable: the negatives of a row move to the front in their order.
        order = np.argsort(found < 0, axis=1, kind="stable")[:, :n_kept]
        ranked = np.take_along_axis(found, order, axis=1)
        negatives[block, : ranked.shape[1]] = ranked
    return negatives
