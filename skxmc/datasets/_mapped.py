"""Sparse matrices as folders of files that are mapped into memory."""

import json
from pathlib import Path

import numpy as np

from skxmc._mapped import MappedCSR
from skxmc.datasets._matrix_writer import (
    FORMAT,
    META,
    VERSION,
    MatrixWriter,
    new_folder,
)
from skxmc.datasets._xmc_text import read_blocks


def write_mapped(folder, blocks, *, dtype=None):
    """Write a sparse matrix, given in blocks of rows, to a folder of files.

    No more than a block is in memory. :func:`load_mapped` opens the folder, and `fit`
    then reads its rows from disk.

    Parameters
    ----------
    folder : str or path-like
        The folder to make. It appears once it is complete.
    blocks : iterable of {array-like, sparse matrix or array}
        Runs of consecutive rows, all with the same number of columns; at least one.
        Duplicates are summed, and zeros are not stored.
    dtype : dtype, default=None
        Type of the stored values; None for that of the first block. Estimators want
        float32 for `X`, and of an indicator nothing but ones, of any type.

    Returns
    -------
    matrix : csr_array of shape (n_samples, n_features)
        As :func:`load_mapped` opens it.

    Raises
    ------
    FileExistsError
        If there is such a folder, and something in it, or such a file.
    ValueError
        If there is no block, the numbers of columns differ, a value is not finite or
        no number, or `dtype` cannot hold it.

    See Also
    --------
    load_mapped : Open such a folder.
    convert_xmc_text : Write folders from a text file.

    Notes
    -----
    The folder holds the arrays of the CSR format as ``data.npy``, ``indices.npy`` and
    ``indptr.npy``, each one-dimensional and little-endian, and ``csr.json`` with
    ``{"format": "skxmc-csr", "version": 1, "shape": [n_samples, n_features]}``. Within
    a row, columns rise. `indices` and `indptr` are int32, or both int64 where there
    are 2**31 values or more.

    Examples
    --------
    >>> import os, tempfile
    >>> from skxmc.datasets import load_mapped, write_mapped
    >>> with tempfile.TemporaryDirectory() as home:
    ...     folder = os.path.join(home, "X")
    ...     X = write_mapped(folder, ([[i, 0.0, 1.0]] for i in range(3)), dtype="f4")
    ...     sorted(os.listdir(folder)), X[1:].toarray().tolist()  # doctest: +ELLIPSIS
    (['csr.json', 'data.npy', ...], [[1.0, 0.0, 1.0], [2.0, 0.0, 1.0]])
    """
    with new_folder(folder) as draft, MatrixWriter(draft, dtype) as writer:
        for block in blocks:
            writer.append(block)
    return load_mapped(folder)


def load_mapped(folder):
    """Open a sparse matrix that lies in a folder of files, without reading it.

    Parameters
    ----------
    folder : str or path-like
        A folder that :func:`write_mapped` has written. Its files must not be changed
        while the matrix is in use.

    Returns
    -------
    matrix : csr_array of shape (n_samples, n_features)
        Its three arrays are mapped into memory, read-only. Rows that are cut out are a
        csr_array in memory, as is all of it by ``matrix.copy()``. Estimators read it
        by blocks of rows, see the page on data larger than memory.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or a file of it is missing.
    ValueError
        If it is of another format, or the files do not fit together. What is in the
        arrays is checked by `fit`, which reads them.

    See Also
    --------
    write_mapped : Write such a folder.

    Examples
    --------
    >>> import os, tempfile
    >>> from skxmc.datasets import load_mapped, make_xmc_classification, write_mapped
    >>> X = make_xmc_classification(100, random_state=0)[0]
    >>> with tempfile.TemporaryDirectory() as home:
    ...     folder = os.path.join(home, "X")
    ...     _ = write_mapped(folder, [X[:50], X[50:]])
    ...     mapped = load_mapped(folder)
    ...     mapped.shape, type(mapped[:10]).__name__
    ((100, 5000), 'csr_array')
    """
    folder = Path(folder)
    shape = _read_shape(folder / META)
    data, indices, indptr = arrays = [
        _map_array(folder / f"{name}.npy") for name in ("data", "indices", "indptr")
    ]
    fits = (
        min(shape) >= 0
        and data.ndim == indices.ndim == indptr.ndim == 1
        and indices.dtype == indptr.dtype
        and indices.dtype in (np.int32, np.int64)
        and data.dtype.kind in "biuf"
        and len(data) == len(indices)
        and len(indptr) == shape[0] + 1
        and (indptr[0], indptr[-1]) == (0, len(indices))
    )
    if not fits:
        raise ValueError(
            f"The files of {folder} do not fit together: values, columns and row ends "
            f"of the shapes {[a.shape for a in arrays]}, for the shape {shape}; write "
            "the folder anew by write_mapped."
        )
    return MappedCSR((data, indices, indptr), shape=shape)


def convert_xmc_text(path, folder, *, block_rows=4096):
    r"""Turn a file in the repository's format into folders to be mapped into memory.

    The file may be larger than memory: no more than a block of it is held.

    Parameters
    ----------
    path : str or path-like
        The file, see :func:`load_xmc_text`.
    folder : str or path-like
        The folder to make, with the folders ``X`` and ``Y`` in it.
    block_rows : int, default=4096
        Rows that are read at a time.

    Returns
    -------
    X : csr_array of shape (n_samples, n_features), float32
        Features, as :func:`load_mapped` opens them.
    Y : csr_array of shape (n_samples, n_labels), int8
        Labels, likewise.

    Raises
    ------
    FileExistsError
        If there is such a folder, and something in it.
    ValueError
        For the reasons of :func:`load_xmc_text`, if there are no rows, or a value is
        not finite in float32.

    See Also
    --------
    write_mapped : Write such a folder from any blocks, and what is in it.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skxmc.datasets import convert_xmc_text
    >>> with tempfile.TemporaryDirectory() as home:
    ...     path = pathlib.Path(home, "two_rows.txt")
    ...     _ = path.write_text("2 3 4\n0,3 1:0.5\n 0:1 2:0.25\n")
    ...     X, Y = convert_xmc_text(path, pathlib.Path(home, "two_rows"))
    ...     Y[:].toarray().tolist()
    [[1, 0, 0, 1], [0, 0, 0, 0]]
    """
    if block_rows < 1:
        raise ValueError(f"block_rows={block_rows}; pass a number of at least 1.")
    with (
        new_folder(folder) as draft,
        MatrixWriter(draft / "X") as X,
        MatrixWriter(draft / "Y") as Y,
    ):
        for X_block, Y_block in read_blocks(path, np.float32, block_rows):
            X.append(X_block)
            Y.append(Y_block)
    return load_mapped(Path(folder, "X")), load_mapped(Path(folder, "Y"))


def _map_array(path):
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, ValueError) as err:
        raise ValueError(
            f"{path} is damaged ({err}); write the folder anew by write_mapped."
        ) from err


def _read_shape(path):
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        shape = tuple(meta["shape"])
        known = meta["format"] == FORMAT and meta["version"] == VERSION
    except (ValueError, KeyError, TypeError):
        known = False
    if not known or len(shape) != 2 or not all(type(n) is int for n in shape):
        raise ValueError(
            f"{path} does not describe a matrix of the format {FORMAT!r}, version "
            f"{VERSION}; write its folder by write_mapped."
        )
    return shape
