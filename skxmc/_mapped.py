"""Rows that stay on disk: CSR arrays to be read in blocks of consecutive rows.

The functions here take any CSR matrix. One that is not a `MappedCSR` is a single block,
so that what is computed from it is the same, bit for bit, as without blocks.
"""

import mmap

import numpy as np
import scipy.sparse as sp

# Stored values of a block: with their columns, 16 MiB. Blocks are read again in every
# pass; larger ones take memory, smaller ones more often the time of a dense sum.
_BLOCK_ENTRIES = 2**21
# Rows of a block at most, however few values they have.
_BLOCK_ROWS = 2**15


class MappedCSR(sp.csr_array):
    """A `csr_array` whose arrays may lie in files; estimators read it by blocks.

    Rows cut out of it are in memory, a plain `csr_array`, as are a copy and what is
    computed from its values. So is ``csr_array(self)``,
    of the same arrays.

    Attributes
    ----------
    row_map : callable or None
        What rows are put through when they are read, not in ``csr_array(self)``. It has
        an attribute `n_columns`.
    """

    row_map = None

    @property
    def shape(self):
        """Number of rows, and of columns when they are read."""
        n_rows, n_columns = self._shape
        return n_rows, n_columns if self.row_map is None else self.row_map.n_columns

    def __getitem__(self, key):
        """Return rows, in memory."""
        return self._mapped_rows(sp.csr_array(self)[key])

    def copy(self):
        """Return all rows, in memory."""
        return self[:].copy()

    def _with_data(self, data, copy=True):
        """Return what scipy makes of other values: they are in memory."""
        return sp.csr_array(self)._with_data(data, copy=copy)

    def _mapped_rows(self, rows):
        return rows if self.row_map is None else self.row_map(rows)


def is_mapped(*arrays):
    """Whether any of the arrays is to be read in blocks."""
    return any(isinstance(array, MappedCSR) for array in arrays)


def row_spans(M):
    """Yield slices of consecutive rows, which make up the blocks of `M`."""
    if not is_mapped(M):
        yield slice(0, M.shape[0])
        return
    start, n_rows = 0, M.shape[0]
    while start < n_rows:
        last = min(start + _BLOCK_ROWS, n_rows)
        ends = M.indptr[start + 1 : last + 1]
        limit = M.indptr[start] + _BLOCK_ENTRIES
        stop = start + max(1, int(np.searchsorted(ends, limit, side="right")))
        yield slice(start, stop)
        start = stop


def csr_blocks(M):
    """Yield (slice of rows, these rows as a csr_array)."""
    for span in row_spans(M):
        yield span, rows_of(M, span)


def rows_of(M, span):
    """Return the rows of a slice, of a `MappedCSR` as float32."""
    if not is_mapped(M):
        return M if span == slice(0, M.shape[0]) else M[span]
    indptr = np.asarray(M.indptr[span.start : span.stop + 1])
    first, last = int(indptr[0]), int(indptr[-1])
    data = M.data[first:last].astype(np.float32)  # a copy: files are read-only
    parts = data, M.indices[first:last], indptr - first
    return M._mapped_rows(sp.csr_array(parts, shape=(len(indptr) - 1, M._shape[1])))


def read_ahead(M, span):
    """Ask the system to read rows from their files, in one go; a hint, no more."""
    for part in (M.data, M.indices):
        array, base = part, part.base
        while isinstance(base, np.ndarray):
            array, base = base, base.base
        if not isinstance(base, mmap.mmap) or not hasattr(mmap, "MADV_WILLNEED"):
            continue
        # Pages are counted from the start of the mapping, which has the header.
        first, last = (int(M.indptr[row]) for row in (span.start, span.stop))
        first, last = (n * part.itemsize + array.offset for n in (first, last))
        first -= first % mmap.PAGESIZE
        if first < last:
            base.madvise(mmap.MADV_WILLNEED, first, last - first)


def count_columns(Y):
    """Count the stored values of each column: int ndarray of shape (n_columns,)."""
    n_columns = Y.shape[1]
    return sum(
        np.bincount(block.indices, minlength=n_columns) for _, block in csr_blocks(Y)
    )


def longest_row(M):
    """Return the largest number of stored values in a row."""
    lengths = (int(np.diff(block.indptr).max(initial=0)) for _, block in csr_blocks(M))
    return max(lengths, default=0)


def sum_columns(X, power=1):
    """Sum the columns of X, or of its squares, in float64: shape (n_columns,)."""
    return sum(
        (block if power == 1 else block.power(power)).sum(axis=0, dtype=np.float64)
        for _, block in csr_blocks(X)
    )


def input_scale(X):
    """Return what brings rows to a root mean square norm of 1."""
    squares = sum(block.power(2).sum() for _, block in csr_blocks(X))
    mean_square = squares / X.shape[0]
    return float(1 / np.sqrt(mean_square)) if mean_square > 0 else 1.0


def check_mapped(M, name, *, indicator=False):
    """Check a `MappedCSR` block by block; scipy and torch trust what they are given.

    Parameters
    ----------
    M : MappedCSR
        What to check.
    name : str
        What to call it in errors.
    indicator : bool, default=False
        Whether it has to hold ones alone, instead of finite float32 numbers.

    Raises
    ------
    ValueError
        If it is not what `write_mapped` writes: row by row sorted columns of the
        matrix, each once, and no zeros.
    """
    if not indicator and M.dtype != np.float32:
        raise ValueError(
            f"{name} is mapped with dtype {M.dtype}, but float32 is read without a "
            "copy; write it anew by write_mapped(folder, blocks, dtype='float32')."
        )
    if M.shape[0] == 0:
        raise ValueError(f"{name} has no rows; pass at least one.")
    _check_pointers(M, name)
    for span, block in csr_blocks(M):
        wrong = _first_fault(block, indicator)
        if wrong is not None:
            raise ValueError(
                f"{name} {wrong}, in one of the rows {span.start} to {span.stop - 1}; "
                "write its folder anew by write_mapped."
            )


def _check_pointers(M, name):
    indptr, before = M.indptr, 0
    for start in range(0, len(indptr), _BLOCK_ROWS):
        part = np.asarray(indptr[start : start + _BLOCK_ROWS])
        if part[0] < before or (np.diff(part) < 0).any() or part[-1] > len(M.indices):
            raise ValueError(
                f"{name} has an inconsistent indptr for its shape {M.shape} and "
                f"{len(M.indices)} stored values; write its folder anew by "
                "write_mapped."
            )
        before = part[-1]


def _first_fault(block, indicator):
    """Say what is wrong with rows, or return None."""
    indices, data, n_columns = block.indices, block.data, block.shape[1]
    if len(indices) == 0:
        return None
    for index in (indices.min(), indices.max()):
        if not 0 <= index < n_columns:
            return f"has column index {index} but only {n_columns} columns"
    rises = np.diff(indices) > 0
    starts = block.indptr[1:-1]
    starts = starts[(starts > 0) & (starts < len(indices))]
    rises[starts - 1] = True  # the entry before is another row's
    if not rises.all():
        return "has columns that are not sorted, or stand twice in a row"
    if indicator:
        wrong = data[data != 1]
        return (
            f"must contain only 0 and 1, stored as ones; found {wrong[0]}"
            if (wrong.size)
            else None
        )
    if not np.isfinite(data).all():
        return "contains NaN or infinity"
    return None if data.all() else "has zeros among the stored values"


class CodedRows:
    """The product of a mapped indicator and a dense matrix, computed where it is read.

    Parameters
    ----------
    Y : MappedCSR of shape (n_samples, n_labels)
        The indicator.
    vectors : ndarray of shape (n_labels, n_components), float32
        The dense matrix.
    """

    def __init__(self, Y, vectors):
        self.Y, self.vectors = Y, vectors
        self.shape = Y.shape[0], vectors.shape[1]

    def __getitem__(self, key):
        """Return ``(Y @ vectors)[key]``, for rows (and a slice of columns, if any)."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        if isinstance(rows, slice):
            return rows_of(self.Y, rows) @ self.vectors[:, columns]
        return self.Y[rows].astype(np.float32, copy=False) @ self.vectors[:, columns]

    def __matmul__(self, A):
        """Return ``(Y @ vectors) @ A``, computed where it is read as well."""
        return CodedRows(self.Y, self.vectors @ A)

    def mean(self, axis=0, dtype=np.float64):
        """Return the mean row: ndarray of shape (n_components,)."""
        return count_columns(self.Y).astype(dtype) @ self.vectors / self.shape[0]

    def gram(self):
        """Return the inner products of the columns: (n_components, n_components)."""
        return sum((part.T @ part).astype(np.float64) for part in self._blocks())

    def scaled_to_unit(self):
        """Return these rows with a root mean square of 1 over all entries, if any."""
        squares = sum(np.square(part).sum(dtype=np.float64) for part in self._blocks())
        rms = np.float32(np.sqrt(squares / max(1, self.shape[0] * self.shape[1])))
        return CodedRows(self.Y, self.vectors / rms) if rms > 0 else self

    def _blocks(self):
        return (block @ self.vectors for _, block in csr_blocks(self.Y))
