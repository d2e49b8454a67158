"""Chosen pairs of rows: their inner products, and whether they go together."""

import numpy as np
import scipy.sparse as sp

# Pairs whose vectors are copied at once: 2 x 256 x 512 float32 are 1 MiB.
_BLOCK_PAIRS = 256


def pair_products(A, i, B, j):
    """Compute ``A[i] @ B[j]`` for each pair of numbers in `i` and `j`.

    Each product is computed by itself, so it is rounded alike wherever it occurs; those
    of a matrix product are not.

    Parameters
    ----------
    A, B : ndarray or CSR of shape (n, n_components) and (m, n_components), float32
        The vectors.
    i, j : ndarray of shape (n_pairs,), int
        Rows of A and of B.

    Returns
    -------
    products : ndarray of shape (n_pairs,), float32
    """
    products = np.empty(len(i), dtype=np.float32)
    for start in range(0, len(i), _BLOCK_PAIRS):
        block = slice(start, start + _BLOCK_PAIRS)
        left, right = A[i[block]], B[j[block]]
        if sp.issparse(left):
            products[block] = left.multiply(right).sum(axis=1)
        else:
            products[block] = np.einsum("ij,ij->i", left, right)
    return products


def holds_labels(Y, labels):
    """Return which of some labels each row has.

    Parameters
    ----------
    Y : csr_array of shape (n_rows, n_labels), canonical
        Label indicator.
    labels : int ndarray of shape (n_rows, k)
        Labels to look up; -1 is none.

    Returns
    -------
    held : bool ndarray of shape (n_rows, k)
    """
    n_rows, n_labels = Y.shape
    # Number the cells of Y row by row: the stored ones come out sorted.
    first_cell = np.arange(n_rows, dtype=np.int64) * n_labels
    own = np.repeat(first_cell, np.diff(Y.indptr)) + Y.indices
    cells = first_cell[:, None] + labels
    # A last cell beyond all others keeps the position found within bounds.
    own = np.append(own, n_rows * n_labels)
    return (own[np.searchsorted(own, cells)] == cells) & (labels >= 0)
