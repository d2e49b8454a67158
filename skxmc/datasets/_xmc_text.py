"""The text format of the Extreme Classification Repository."""

import gzip
import re
from array import array
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from skxmc.datasets._base import check_binary, index_dtype, whole_gzip

_BATCH_ROWS = 4096  # rows turned into text at a time

_NOT_SEPARATORS = bytes(set(range(256)) - set(b" :"))


class _Header(NamedTuple):
    n_samples: int
    n_features: int
    n_labels: int


def load_xmc_text(path, *, dtype=np.float32):
    r"""Load a file in the format of the Extreme Classification Repository.

    The first line is ``n_samples n_features n_labels``. Each further line is a row,
    ``label,label,... feature:value feature:value ...``, with indices from 0. A row may
    lack labels, features or both. The file is read line by line, and memory is
    about twice that of the result.

    Parameters
    ----------
    path : str or path-like
        The file; it is taken to be compressed if its name ends in ``.gz``.
    dtype : {np.float32, np.float64}, default=np.float32
        The dtype of `X`.

    Returns
    -------
    X : csr_array of shape (n_samples, n_features), dtype as asked for
        Features, sorted within each row. Zeros in the file are kept as stored zeros.
    Y : csr_array of shape (n_samples, n_labels), dtype int8
        Labels, stored as ones and sorted within each row.

    Raises
    ------
    ValueError
        If `dtype` is not supported, the header is not three counts, the number of rows
        differs from the header's, a token is malformed, or an index is repeated in a
        row or outside the matrix; the message has the file and the line. Or if a
        compressed file is damaged.

    See Also
    --------
    dump_xmc_text : Write such a file.

    References
    ----------
    .. [1] K. Bhatia et al., "The extreme classification repository: Multi-label
       datasets and code", http://manikvarma.org/downloads/XC/XMLRepository.html

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skxmc.datasets import load_xmc_text
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "two_rows.txt")
    ...     _ = path.write_text("2 3 4\n0,3 1:0.5\n 0:1 2:0.25\n")
    ...     X, Y = load_xmc_text(path)
    >>> Y.toarray().tolist()
    [[1, 0, 0, 1], [0, 0, 0, 0]]
    """
    return next(read_blocks(path, dtype, None))


def read_blocks(path, dtype, block_rows):
    """Yield (X, Y) of so many lines at a time, or of all, and check their number."""
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"`dtype` must be float32 or float64, got {dtype}.")
    with whole_gzip(path), _open(path, "r") as lines:
        header = _parse_header(lines.readline(), path)
        block = _Block(header, dtype, 0)
        for line in lines:
            if block.n_rows == block_rows:
                yield block.matrices(path)
                block = _Block(header, dtype, block.last_row)
            block.append(line, path)
        if block.last_row != header.n_samples:
            raise ValueError(
                f"{path}, line 1: the header announces {header.n_samples} rows, but "
                f"{block.last_row} follow; correct the header or complete the file."
            )
        yield block.matrices(path)


class _Block:
    """Consecutive rows of a file, as arrays that grow."""

    def __init__(self, header, dtype, first_row):
        self.header, self.first_row = header, first_row
        self.features = _index_array(header.n_features)
        self.labels = _index_array(header.n_labels)
        self.values = array(dtype.char)
        self.feature_ends, self.label_ends = array("q", [0]), array("q", [0])

    @property
    def n_rows(self):
        return len(self.label_ends) - 1

    @property
    def last_row(self):
        return self.first_row + self.n_rows

    def append(self, line, path):
        try:
            _parse_row(line, self.labels, self.features, self.values)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{path}, line {self.last_row + 2}: {error}.") from error
        self.feature_ends.append(len(self.features))
        self.label_ends.append(len(self.labels))

    def matrices(self, path):
        """Return X and Y, or raise ValueError for a bad index."""
        where, header = (path, self.first_row), self.header
        values = np.asarray(self.values)
        ones = np.ones(len(self.labels), dtype=np.int8)
        features = values, self.features, self.feature_ends
        labels = ones, self.labels, self.label_ends
        X = _to_csr(features, header.n_features, where, "feature")
        Y = _to_csr(labels, header.n_labels, where, "label")
        return X, Y


def dump_xmc_text(X, Y, path):
    r"""Write a file in the format of the Extreme Classification Repository.

    Values are written with the fewest digits from which :func:`load_xmc_text` gets
    them back exactly, if it is asked for the dtype of `X`.

    Parameters
    ----------
    X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
        Features. Stored zeros are written, and duplicates are summed. Values other
        than float32 are written as float64.
    Y : {array-like, sparse matrix or array} of shape (n_samples, n_labels)
        Labels, 0 or 1. Stored zeros are not written.
    path : str or path-like
        The file; it is compressed if its name ends in ``.gz``.

    Raises
    ------
    ValueError
        If `X` and `Y` differ in rows, or `Y` has a value other than 0 and 1.

    See Also
    --------
    load_xmc_text : Read such a file, and the format.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skxmc.datasets import dump_xmc_text
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "two_rows.txt")
    ...     dump_xmc_text([[0, 0.5], [0, 0]], [[1, 1], [0, 1]], path)
    ...     path.read_text()
    '2 2 2\n0,1 1:0.5\n1\n'
    """
    X, Y = _canonical_csr(X), _canonical_csr(Y)
    for name, matrix in (("X", X), ("Y", Y)):
        if matrix.ndim != 2:
            raise ValueError(
                f"{name} has the shape {matrix.shape}; pass one of two dimensions."
            )
    if X.shape[0] != Y.shape[0]:
        raise ValueError(
            f"X has {X.shape[0]} rows, but Y has {Y.shape[0]}; pass one row of labels "
            "for each row of features."
        )
    check_binary(Y, "Y")
    with _open(path, "w") as file:
        file.write(b"%d %d %d\n" % (*X.shape, Y.shape[1]))
        for start in range(0, X.shape[0], _BATCH_ROWS):
            rows = slice(start, start + _BATCH_ROWS)
            file.write(_format_rows(X[rows], Y[rows]).encode("ascii"))


def _open(path, mode):
    opener = gzip.open if Path(path).suffix == ".gz" else open
    return opener(path, f"{mode}b")


def _parse_header(line, path):
    fields = line.split()
    if not re.fullmatch(rb"\d{1,18} \d{1,18} \d{1,18}", b" ".join(fields)):
        raise ValueError(
            f"{path}, line 1: the header must be 'n_samples n_features n_labels', got "
            f"{line[:80]!r}."
        )
    return _Header(*map(int, fields))


def _index_array(n_columns):
    """Return an empty array that grows by plain integers of the size needed."""
    return array(np.dtype(index_dtype(n_columns)).char)


def _parse_row(line, labels, features, values):
    """Append the labels, features and values of a line to three arrays."""
    fields = line.split()
    if fields and b":" not in fields[0]:
        labels.extend(map(int, fields.pop(0).split(b",")))
    pairs = b" ".join(fields)
    numbers = pairs.replace(b":", b" ").split()
    # Python reads 1_0 as ten.
    if (
        len(numbers) != 2 * len(fields)
        or pairs.translate(None, _NOT_SEPARATORS) != b" ".join([b":"] * len(fields))
        or b"_" in line
    ):
        raise ValueError(
            f"expected 'label,label feature:value feature:value', got {line[:80]!r}"
        )
    features.extend(map(int, numbers[::2]))
    values.extend(map(float, numbers[1::2]))


def _to_csr(parts, n_columns, where, what):
    """Assemble a canonical CSR matrix, or name the line of the first bad index.

    `where` is the path, and how many rows of the file come before these.
    """
    (path, first_row), (data, indices, indptr) = where, map(np.asarray, parts)
    outside = np.flatnonzero((indices < 0) | (indices >= n_columns))
    if outside.size:
        line, index = _line_of(outside[0], indptr), indices[outside[0]]
        raise ValueError(
            f"{path}, line {first_row + line}: {what} {index} is not among the "
            f"{n_columns} {what}s that the header announces; count them from 0."
        )
    dtype = index_dtype(indices.size, n_columns)
    matrix = sp.csr_array(
        (data, indices.astype(dtype, copy=False), indptr.astype(dtype)),
        shape=(indptr.size - 1, n_columns),
    )
    matrix.sort_indices()
    equals_left = np.flatnonzero(np.diff(matrix.indices) == 0) + 1
    repeated = np.setdiff1d(
        equals_left, indptr
    )  # at a row's start, left is another row
    if repeated.size:
        line, index = _line_of(repeated[0], indptr), matrix.indices[repeated[0]]
        raise ValueError(
            f"{path}, line {first_row + line}: {what} {index} is repeated; give it "
            "once in a row."
        )
    return matrix


def _line_of(entry, indptr):
    """Return the line of a stored entry; row 0 is on line 2."""
    return np.searchsorted(indptr, entry, side="right") + 1


def _canonical_csr(matrix):
    """Return a CSR copy or view with sorted, unique indices."""
    matrix = sp.csr_array(matrix)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


def _format_rows(X, Y):
    values = _shortest_digits(X.data)
    pairs = [f"{j}:{v}" for j, v in zip(X.indices.tolist(), values, strict=True)]
    is_label = Y.data != 0
    labels = list(map(str, Y.indices[is_label].tolist()))
    label_ends = np.concatenate([[0], np.cumsum(is_label)])[Y.indptr]
    lines = [
        f"{','.join(labels[a:b])} {' '.join(pairs[c:d])}".rstrip() + "\n"
        for (a, b), (c, d) in zip(
            pairwise(label_ends.tolist()), pairwise(X.indptr.tolist()), strict=True
        )
    ]
    return "".join(lines)


def _shortest_digits(values):
    """Return the fewest digits from which each value can be read back exactly."""
    if values.dtype != np.float32:
        return map(repr, values.astype(np.float64, casting="same_kind").tolist())
    digits = values.astype(str)
    # Readers round to double first. For a few float32, such as 7.038531e-26, the
    # double lies half-way to a neighbour; those need all digits of the double.
    lost = digits.astype(np.float64).astype(np.float32) != values
    digits[lost] = values[lost].astype(np.float64).astype(str)
    return digits.tolist()
