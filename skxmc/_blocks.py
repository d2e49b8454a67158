"""Rows in blocks of one size."""

import numpy as np
import scipy.sparse as sp

#: Rows that a network is applied to together.
BLOCK_ROWS = 64
# Rows that are searched for together. With more, products are no faster.
_SEARCHED_ROWS = 256
# Both on a GPU, where each call is a launch, and the fewer the better.
_ROWS_ON_DEVICE = 512


class SelectedRows:
    """Some rows of a matrix, cut out when they are read: not all of them at once.

    Parameters
    ----------
    X : ndarray or CSR of shape (n_samples, n_features)
        The matrix.
    rows : int ndarray of shape (n_selected,)
        Which.
    """

    def __init__(self, X, rows):
        self.X, self.rows = X, rows
        self.shape = len(rows), X.shape[1]

    def __getitem__(self, part):
        """Return the rows of a slice of the selected ones."""
        return self.X[self.rows[part]]


def encoded_rows(device):
    """Return how many rows a network is applied to together on a torch device."""
    return BLOCK_ROWS if device.type == "cpu" else _ROWS_ON_DEVICE


def searched_rows(device):
    """Return how many rows are searched for together on a torch device, or None."""
    is_cpu = device is None or device.type == "cpu"
    return _SEARCHED_ROWS if is_cpu else _ROWS_ON_DEVICE


def row_blocks(X, size=BLOCK_ROWS):
    """Yield blocks of at most `size` rows of a matrix."""
    if X.shape[0] <= size and not isinstance(X, SelectedRows):
        yield X  # a slice of everything would take its time
        return
    for start in range(0, X.shape[0], size):
        yield X[start : start + size]


def padded_blocks(X, size=BLOCK_ROWS):
    """Yield (block, number of true rows) with `size` rows in every block.

    A matrix product may round a row differently in a matrix of another height. With the
    last block filled up by empty rows all products have one shape, in which torch's
    round every row alike. Those of numpy do not: see `search_exact`.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features)
        Rows to cut up.
    size : int, default=BLOCK_ROWS
        A multiple of that. The last block has as many multiples as it needs.
    """
    for block in row_blocks(X, size):
        n_true = block.shape[0]
        n_rows = max(1, -(-n_true // BLOCK_ROWS)) * BLOCK_ROWS
        if n_true < n_rows:
            indptr = np.pad(block.indptr, (0, n_rows - n_true), mode="edge")
            parts = (block.data, block.indices, indptr)
            block = sp.csr_array(parts, shape=(n_rows, X.shape[1]))
        yield block, n_true
