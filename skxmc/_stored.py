"""Arrays whose numbers are kept in 8 or 16 bits, and decoded where they are used."""

import numpy as np

STORAGES = ("float16", "int8")
# Entries of a row that share a scale: outliers spoil the precision of few others.
_BLOCK_COLUMNS = 64
_LARGEST = 127
_CHUNK_ROWS = 4096


class StoredRows:
    """A float32 matrix kept in fewer bits, of which rows are decoded as they are read.

    "float16" keeps 11 significant bits. "int8" rounds each entry to a 127th of the
    largest of the 64 entries around it in its row.

    Parameters
    ----------
    A : ndarray of shape (n_rows, n_columns), float32
        What to store.
    storage : {"float16", "int8"}
        How.
    n_exact : int, default=0
        Last columns that are kept as they are.
    """

    def __init__(self, A, storage, n_exact=0):
        self.shape = A.shape
        n_rounded = A.shape[1] - n_exact
        self.exact = A[:, n_rounded:].copy()
        self.scales = None
        if storage == "float16":
            limit = np.finfo(np.float16).max
            self.data = np.clip(A[:, :n_rounded], -limit, limit).astype(np.float16)
            return
        n_blocks = -(-n_rounded // _BLOCK_COLUMNS)
        self.data = np.empty((len(A), n_rounded), dtype=np.int8)
        self.scales = np.empty((len(A), n_blocks), dtype=np.float32)
        for start in range(0, len(A), _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            self.data[rows], self.scales[rows] = _round(A[rows, :n_rounded])

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Decode the rows that a slice or an array of numbers names, to float32."""
        decoded = np.empty((len(self.data[rows]), self.shape[1]), dtype=np.float32)
        n_rounded = self.data.shape[1]
        decoded[:, n_rounded:] = self.exact[rows]
        part = decoded[:, :n_rounded]
        part[:] = self.data[rows]
        if self.scales is not None:
            _multiply(part, self.scales[rows])
        return decoded

    @property
    def nbytes(self):
        """Memory in bytes."""
        scales = 0 if self.scales is None else self.scales.nbytes
        return self.data.nbytes + self.exact.nbytes + scales


def chunks(A):
    """Yield a matrix, stored or not, a few thousand rows at a time."""
    for start in range(0, len(A), _CHUNK_ROWS):
        yield A[start : start + _CHUNK_ROWS]


def _round(A):
    """Return whole numbers of at most 127, and the scales to multiply blocks with."""
    scales = (
        np.maximum.reduceat(np.abs(A), np.arange(0, A.shape[1], _BLOCK_COLUMNS), axis=1)
        if A.shape[1]
        else np.empty((len(A), 0), dtype=np.float32)
    )
    scales = (scales / _LARGEST).astype(np.float32)
    scaled = A.copy()
    _multiply(scaled, 1 / np.where(scales > 0, scales, 1))
    return np.rint(scaled).astype(np.int8), scales


def _multiply(A, scales):
    """Multiply each block of columns with its scale, in place."""
    for block, start in enumerate(range(0, A.shape[1], _BLOCK_COLUMNS)):
        A[:, start : start + _BLOCK_COLUMNS] *= scales[:, [block]]
