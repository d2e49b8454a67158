"""Votes of the training rows nearest to a row, beside scores of a model's own."""

import copy

import numpy as np
import scipy.sparse as sp

from skxmc import _nn
from skxmc._blocks import SelectedRows, row_blocks
from skxmc._mapped import is_mapped
from skxmc._neighbors import NeighborIndex
from skxmc._recovery import LabelStore, neighbor_weights, vote

# As in `DECLAREClassifier`: these decide little.
N_NEIGHBORS, SHARPENING = 50, 24.0
# Rows whose linear features are computed at once, all of them.
_CODED_ROWS = 8192


class NeighborVotes:
    """Training rows by codes of what a linear map predicts of their labels.

    Networks that are sure of the rows they have seen say little of how far to trust
    them; of the rows nearest to another one, the labels tell what is usual there.

    Parameters
    ----------
    store : LabelStore
        Label sets of the training rows, a key for each row that has labels.
    codes : ndarray of shape (n_keys, n_components), float32
        Codes of these rows; taken over.
    kind : {"auto", "exact", "ivf", "hnsw"}
        How to search, see `NeighborIndex`.
    """

    def __init__(self, store, codes, kind):
        self.store = store
        self.index = NeighborIndex(
            codes, similarity="cosine", kind=kind, n_neighbors=N_NEIGHBORS
        )

    @property
    def n_components(self):
        """Length of a code."""
        return self.index.keys.shape[1]

    def count(self, codes, device=None, *, own_rows=None):
        """Return the weighted share of the nearest rows that have each label.

        Parameters
        ----------
        codes : ndarray of shape (n_rows, n_components), float32
        device : torch.device or None, default=None
            Where to search, see `NeighborIndex`.
        own_rows : ndarray of shape (n_rows,), int, or None, default=None
            Training rows that the codes are of, which have no vote for themselves.

        Returns
        -------
        votes : csr_array of shape (n_rows, n_labels), float32
        """
        store, spare = self.store, 0 if own_rows is None else 1
        n_keys = min(N_NEIGHBORS + spare, len(store.key_rows))
        keys, similarities = self.index.search(codes, n_keys, device)
        if own_rows is not None:
            is_own = store.key_rows[keys] == own_rows[:, None]
            similarities = np.where(is_own, -np.inf, similarities)
        weights = neighbor_weights(similarities, SHARPENING)
        return vote(store.sets, np.where(keys < 0, -1, store.set_of_key[keys]), weights)

    def extended(self, n_labels):
        """Return the same of more labels, for which no row votes."""
        longer = copy.copy(self)
        longer.store = copy.copy(self.store)
        sets, new = self.store.sets, np.arange(self.store.sets.shape[1], n_labels)
        longer.store.sets = widened(sets, n_labels)
        by_frequency = self.store.by_frequency
        longer.store.by_frequency = np.append(by_frequency, new).astype(np.int32)
        return longer

    def compressed(self, storage):
        """Return the same with codes in fewer bits."""
        small = copy.copy(self)
        small.index = self.index.compressed(storage)
        return small


def gather_votes(encoder, X, Y, kind):
    """Make the `NeighborVotes` of training rows by codes among a network's features.

    Parameters
    ----------
    encoder : Encoder
        Of a network with `features`.
    X, Y : csr_array
        All rows, with their labels.
    kind : str
        See `NeighborVotes`.

    Returns
    -------
    votes : NeighborVotes or None
        None without linear features, and of mapped rows, which may be more than memory
        holds codes of.
    """
    features = encoder.module.features
    place = getattr(features, "codes", None)
    if place is None or is_mapped(X):
        return None
    store = LabelStore(Y, key_per_set=False)
    encode = _nn.Encoder(features.linear, encoder.device)
    n_codes = place.stop - place.start
    codes = np.empty((len(store.key_rows), n_codes), dtype=np.float32)
    parts = row_blocks(codes, _CODED_ROWS)
    blocks = row_blocks(SelectedRows(X, store.key_rows), _CODED_ROWS)
    for part, block in zip(parts, blocks, strict=True):
        part[:] = encode(block)[:, :n_codes]
    return NeighborVotes(store, codes, kind)


def widened(Y, n_labels):
    """Return a CSR matrix with empty columns added, to `n_labels`."""
    return sp.csr_array((Y.data, Y.indices, Y.indptr), shape=(Y.shape[0], n_labels))
