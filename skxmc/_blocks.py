"""Rows in blocks of one size."""

import numpy as np
import scipy.sparse as sp

#: Rows of one matrix product of a network, and of one of so few that it takes less time
#: where they are rounded alike, see `steady_linear`. A single row never is.
BLOCK_ROWS, FEW_ROWS, LEAST_ROWS = 64, 8, 2
# Rows that are searched for together, and that a network is applied to together. With
# more, products are no faster.
ROWS_AT_ONCE = 256
# Both on a GPU, where each call is a launch, and the fewer the better.
ROWS_ON_DEVICE = 512


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


def searched_rows(device):
    """Return how many rows are searched for together on a torch device, or None."""
    is_cpu = device is None or device.type == "cpu"
    return ROWS_AT_ONCE if is_cpu else ROWS_ON_DEVICE


def row_blocks(X, size=BLOCK_ROWS):
    """Yield blocks of at most `size` rows of a matrix."""
    # Of any other class, such as a `MappedCSR`, a slice reads the rows, and maps them.
    is_held = type(X) in (sp.csr_array, sp.csr_matrix, np.ndarray)
    if X.shape[0] <= size and is_held:
        yield X  # a slice of everything would take its time
        return
    for start in range(0, X.shape[0], size):
        yield X[start : start + size]


def rows_of(A):
    """Return the row of each stored value of a CSR matrix."""
    return np.repeat(np.arange(A.shape[0]), np.diff(A.indptr))


def filled_up(n_rows, least=LEAST_ROWS):
    """Return how many rows a product is given, the last of them empty, for so many.

    It may round a row differently in a matrix of another height. So there are few
    heights, of which `steady_linear` knows those that round alike.

    Parameters
    ----------
    n_rows : int
        Rows of a block.
    least : int, default=LEAST_ROWS
        What blocks of no more rows are filled up to.
    """
    for height in (LEAST_ROWS, FEW_ROWS):
        if max(n_rows, least) <= height:
            return height
    return max(1, -(-n_rows // BLOCK_ROWS)) * BLOCK_ROWS
