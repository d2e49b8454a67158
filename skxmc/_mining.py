"""Hard negatives: labels whose embeddings are close to a row that has others."""

import numpy as np

from skxmc._blocks import searched_rows
from skxmc._neighbors import NeighborIndex
from skxmc._nn import map_blocks
from skxmc._pairs import holds_labels

# Hard negatives kept for each one that a batch draws.
_N_KNOWN = 4
# A row's own labels are among those found. Of rows with many, some are lost for them.
_MAX_POSITIVES = 64
# Blocks of rows that are searched for at once, each of which takes tens of megabytes.
_MOST_THREADS = 16


def find_hard_negatives(row_vectors, label_vectors, Y, n_negatives, kind, device=None):
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
    device : torch.device or None, default=None
        Where to search, likewise.

    Returns
    -------
    negatives : ndarray of shape (n_samples, 4 * n_negatives), int32
        Best first; -1 where there are fewer.
    """
    most = int(np.diff(Y.indptr).max(initial=0))
    miner = NegativesMiner(label_vectors, most, n_negatives, kind, device)
    negatives = np.empty((Y.shape[0], miner.n_kept), dtype=np.int32)
    size = searched_rows(device)

    def search(start):
        block = slice(start, start + size)
        negatives[block] = miner.search(row_vectors[block], Y[block])

    # Ranking takes as long as the products, which alone several threads would share.
    starts = range(0, Y.shape[0], size)
    map_blocks(search, starts, device, most_threads=_MOST_THREADS)
    return negatives


class NegativesMiner:
    """Labels to search for the negatives of rows, see `find_hard_negatives`.

    Parameters
    ----------
    label_vectors : ndarray of shape (n_labels, n_components), float32
        Embeddings of the labels.
    n_positives : int
        Most labels of a row.
    n_negatives : int
        How many are drawn for a batch.
    kind : {"auto", "exact", "ivf", "hnsw"}
        How to search.
    device : torch.device or None, default=None
        Where.
    """

    def __init__(self, label_vectors, n_positives, n_negatives, kind, device=None):
        self.device = device
        self.n_kept = _N_KNOWN * n_negatives
        self.k = min(self.n_kept + min(n_positives, _MAX_POSITIVES), len(label_vectors))
        self.index = NeighborIndex(
            label_vectors, similarity="dot", kind=kind, n_neighbors=self.k
        )

    def search(self, row_vectors, Y):
        """Return the negatives of a few rows: int32 ndarray (n_rows, n_kept)."""
        negatives = np.full((len(row_vectors), self.n_kept), -1, dtype=np.int32)
        found = self.index.search(row_vectors, self.k, self.device)[0]
        found[holds_labels(Y, found)] = -1
        # Stable: the negatives of a row move to the front in their order.
        order = np.argsort(found < 0, axis=1, kind="stable")[:, : self.n_kept]
        ranked = np.take_along_axis(found, order, axis=1)
        negatives[:, : ranked.shape[1]] = ranked
        return negatives


class MappedNegatives:
    """The hard negatives of mapped rows, searched where they are read.

    Parameters
    ----------
    embed : callable
        Takes rows, a csr_array, and returns their embeddings.
    X, Y : csr_array of shape (n_samples, n_features) and (n_samples, n_labels)
        All rows, and their labels.
    miner : NegativesMiner
    """

    def __init__(self, embed, X, Y, miner):
        self.embed, self.X, self.Y, self.miner = embed, X, Y, miner

    def __getitem__(self, rows):
        """Return the negatives of rows: int32 ndarray (n_rows, n_kept)."""
        return self.miner.search(self.embed(self.X[rows]), self.Y[rows])
