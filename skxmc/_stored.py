"""Arrays whose numbers are kept in 4 to 16 bits, and decoded where they are used."""

from typing import Any

import numpy as np

STORAGES = ("float16", "int8", "int4")
# Of a row's entries, 128 share a scale with 4 bits: outliers spoil the precision of few
# others, and the largest of 128 normal numbers is about where clipping would pay. With
# 8 bits all do, so that products can be summed as whole numbers; 64 did once.
_INT4_COLUMNS, _FORMER_COLUMNS = 128, 64
_CHUNK_ROWS = 512
# The two numbers that a byte holds, each plus 8, the first low: two float32 that are
# copied as one uint64.
_PAIRS = (
    np.stack([np.arange(256) % 16, np.arange(256) // 16], axis=1, dtype=np.float32) - 8
).view(np.uint64)[:, 0]


class StoredRows:
    """A float32 matrix kept in fewer bits, of which rows are decoded as they are read.

    "float16" keeps 11 significant bits. "int8" rounds each entry to a 127th of the
    largest in its row, "int4" to a 7th of the largest of the 128 entries around it, two
    in a byte, with scales of 16 bits.

    Parameters
    ----------
    A : ndarray of shape (n_rows, n_columns), float32
        What to store.
    storage : {"float16", "int8", "int4"}
        How.
    n_exact : int, default=0
        Last columns that are kept as they are.
    """

    def __init__(self, A, storage, n_exact=0):
        self.shape = A.shape
        n_rounded = A.shape[1] - n_exact
        self.exact = A[:, n_rounded:].copy()
        self.scales: Any = None  # with 16 bits, there are none
        if storage == "float16":
            limit = np.finfo(np.float16).max
            self.data = np.clip(A[:, :n_rounded], -limit, limit).astype(np.float16)
            return
        round_ = {"int8": _round_to_int8, "int4": _round_to_int4}[storage]
        self.data, self.scales = (
            np.empty((len(A), *none.shape[1:]), none.dtype)
            for none in round_(A[:0, :n_rounded])
        )
        for start in range(0, len(A), _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            self.data[rows], self.scales[rows] = round_(A[rows, :n_rounded])

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Decode the rows that a slice or an array of numbers names, to float32."""
        data, exact = self.data[rows], self.exact[rows]
        decoded = np.empty((len(data), self.shape[1]), dtype=np.float32)
        decoded[:, self.n_rounded :] = exact
        part = decoded[:, : self.n_rounded]
        is_packed = data.dtype == np.uint8
        part[:] = _unpack(data)[:, : self.n_rounded] if is_packed else data
        if self.has_one_scale:
            part *= self.scales[rows, None]
        elif self.scales is not None:
            block = _INT4_COLUMNS if is_packed else _FORMER_COLUMNS
            _multiply(part, self.scales[rows].astype(np.float32), block)
        return decoded

    @property
    def n_rounded(self):
        """How many columns are not kept as they are."""
        return self.shape[1] - self.exact.shape[1]

    @property
    def has_one_scale(self):
        """Whether rows are kept as whole numbers, each times one scale."""
        return self.scales is not None and self.scales.ndim == 1

    def whole(self, rows):
        """Return some rows as whole numbers, but for the columns kept as they are.

        Of any storage but "float16". Rows of several scales are rounded once more.

        Parameters
        ----------
        rows : slice or int ndarray
            Which.

        Returns
        -------
        numbers : ndarray of shape (n_rows, n_rounded), int8
            From -127 to 127.
        scales : ndarray of shape (n_rows,), float32
            What those of a row are multiplied with.
        """
        if self.has_one_scale:
            return self.data[rows], self.scales[rows]
        return _round_to_int8(self[rows][:, : self.n_rounded])

    @property
    def is_consistent(self):
        """Whether numbers and scales fit each other, as those of a file may not."""
        n_rows, n = len(self), self.n_rounded
        fitting: dict[str, tuple[int, set]] = {
            "float16": (n, {None}),
            "int8": (n, {(n_rows,), (n_rows, -(-n // _FORMER_COLUMNS))}),
            "uint8": (-(-n // 2), {(n_rows, -(-n // _INT4_COLUMNS))}),
        }
        width, scales = fitting[self.data.dtype.name]
        found = None if self.scales is None else self.scales.shape
        return self.data.shape == (n_rows, width) and found in scales

    @property
    def nbytes(self):
        """Memory in bytes."""
        scales = 0 if self.scales is None else self.scales.nbytes
        return self.data.nbytes + self.exact.nbytes + scales


def chunks(A, start=0, stop=None):
    """Yield rows of a matrix, stored or not, a few hundred at a time.

    Those that are decoded stay in the processor's cache until they are used.
    """
    stop = len(A) if stop is None else min(stop, len(A))
    for first in range(start, stop, _CHUNK_ROWS):
        yield A[first : min(first + _CHUNK_ROWS, stop)]


def _round_to_int8(A):
    """Return whole numbers up to 127, and the scale of each row."""
    scales = np.abs(A).max(axis=1, initial=0) / np.float32(127)
    steps = np.where(scales > 0, scales, 1)[:, None]
    return np.rint(A / steps).clip(-127, 127).astype(np.int8), scales


def _round_to_int4(A):
    """Return whole numbers up to 7, two in a byte, and the scales of blocks."""
    starts = np.arange(0, A.shape[1], _INT4_COLUMNS)
    largest = np.abs(A[:, :0])
    if len(starts):
        largest = np.maximum.reduceat(np.abs(A), starts, axis=1)
    limit = np.finfo(np.float16).max
    scales = np.minimum(largest / 7, limit).astype(np.float16)
    factors, scaled = scales.astype(np.float32), A.copy()
    _multiply(scaled, 1 / np.where(factors > 0, factors, 1), _INT4_COLUMNS)
    return _pack(np.rint(scaled).clip(-7, 7).astype(np.int8)), scales


def _pack(numbers):
    """Put pairs of whole numbers from -7 to 7 in a byte each; the last may be alone."""
    low, high = numbers[:, 0::2] + 8, numbers[:, 1::2] + 8
    packed = low.astype(np.uint8)
    packed[:, : high.shape[1]] |= high.astype(np.uint8) << 4
    return packed


def _unpack(packed):
    """Return the numbers of bytes as float32, one more if the last was alone."""
    return _PAIRS.take(packed).view(np.float32)


def _multiply(A, scales, block):
    """Multiply each block of columns with its scale, in place."""
    for number, start in enumerate(range(0, A.shape[1], block)):
        A[:, start : start + block] *= scales[:, [number]]
