"""Rows in blocks of one size."""

import numpy as np
import scipy.sparse as sp

#: Rows that are predicted together.
BLOCK_ROWS = 64


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


def row_blocks(X):
    """Yield blocks of at most `BLOCK_ROWS` rows of a matrix."""
    if X.shape[0] <= BLOCK_ROWS and not isinstance(X, SelectedRows):
        yield X  # a slice of everything would take its time
        return
    for start in range(0, X.shape[0], BLOCK_ROWS):
        yield X[start : start + BLOCK_ROWS]


def padded_blocks(X):
    """Yield (block, number of true rows) with `BLOCK_ROWS` rows in every block.

    A matrix product may round a row differently in a matrix of another height. With the
    last block filled up by empty rows all products have one shape, in which torch's
    round every row alike. Those of numpy do not: see `search_exact`.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features)
        Rows to cut up.
    """
    for block in row_blocks(X):
        n_true = block.shape[0]
        if n_true < BLOCK_ROWS:
            indptr = np.pad(block.indptr, (0, BLOCK_ROWS - n_true), mode="edge")
            parts = (block.data, block.indices, indptr)
            block = sp.csr_array(parts, shape=(BLOCK_ROWS, X.shape[1]))
        yield block, n_true
