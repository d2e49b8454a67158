"""Checks of what users pass that scikit-learn does not make."""

import math
from itertools import chain

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array

# A dense result above this size raises instead: it is more likely a mistake, and the
# operating system would kill the process without a word where memory runs out.
MAX_DENSE_BYTES = 8 * 2**30


def check_structure(M, name):
    """Raise ValueError where the index arrays of a sparse matrix are inconsistent.

    scipy and torch trust them: a column beyond the last is a crash, not an exception.

    Parameters
    ----------
    M : object
        Anything; only sparse matrices and arrays are looked at.
    name : str
        What to call it in errors.
    """
    if not sp.issparse(M):
        return
    if M.ndim > 2:
        raise ValueError(
            f"Found array with dim {M.ndim}, while dim <= 2 is required for {name}."
        )
    if M.format in ("coo", "dok"):
        coords = M.coords if M.format == "coo" else np.array([*M.keys()], int).T
        for index, size, axis in zip(coords, M.shape, ("row", "column"), strict=False):
            _check_range(index, size, axis, name)
    elif M.format == "lil":
        columns = np.array([*chain.from_iterable(M.rows)], dtype=int)
        _check_range(columns, M.shape[1], "column", name)
    elif M.format in ("csr", "csc", "bsr"):
        height, width = M.blocksize if M.format == "bsr" else (1, 1)
        major, minor = (M.shape[0] // height, "row"), (M.shape[1] // width, "column")
        if M.format == "csc":
            major, minor = minor, major
        _check_pointers(M, major[0], name)
        _check_range(M.indices, minor[0], minor[1], name)


def check_indicator(Y, name="Y"):
    """Return a label indicator as a CSR array of its own, in canonical form.

    Parameters
    ----------
    Y : array-like, sparse matrix or array of shape (n_samples, n_labels)
        Only 0 and 1, of any numeric or boolean type. Explicit zeros count as 0.
    name : str, default="Y"
        What to call it in errors.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_labels), float32
        Sorted, without duplicates or explicit zeros. The argument is unchanged.

    Raises
    ------
    ValueError
        If it is not 2-D, has no rows, its indices are inconsistent, or it holds
        anything but 0 and 1.
    """
    if hasattr(Y, "dtypes"):  # of columns that may have types of pandas' own
        Y = check_array(Y, dtype="numeric", ensure_min_samples=0, input_name=name)
    elif not sp.issparse(Y):
        Y = np.asarray(Y)
    if Y.ndim != 2 or Y.shape[0] == 0:
        raise ValueError(
            f"{name} has shape {Y.shape}; pass a 0/1 indicator of shape "
            "(n_samples, n_labels) with at least one row."
        )
    check_structure(Y, name)
    if Y.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} has dtype {Y.dtype}, but a multilabel indicator of 0 and 1 is "
            "expected; see sklearn.preprocessing.MultiLabelBinarizer."
        )
    # Duplicates are summed where they cannot wrap; of booleans, the sum is True.
    dtype = bool if Y.dtype == bool else np.float32
    Y = sp.csr_array(Y, dtype=dtype, copy=True)
    Y.sum_duplicates()
    Y.eliminate_zeros()
    wrong = Y.data[Y.data != 1]
    if wrong.size:
        raise ValueError(
            f"{name} must contain only 0 and 1; found {wrong[0]} (duplicate entries "
            f"are summed). Pass ({name} > 0).astype('float32') if every entry means a "
            "label."
        )
    return Y.astype(np.float32)


def check_dense_fits(shape, instead):
    """Raise ValueError if a dense float32 array of this shape would be too large.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    instead : str
        What to do instead, for the message.
    """
    n_bytes = 4 * math.prod(shape)
    if n_bytes > MAX_DENSE_BYTES:
        raise ValueError(
            f"A dense array of shape {shape} would need {n_bytes / 1e9:.1f} GB, above "
            f"the limit of {MAX_DENSE_BYTES / 1e9:.1f} GB; {instead}."
        )


def _check_pointers(M, n_major, name):
    indptr, n_stored = M.indptr, len(M.indices)
    if len(M.data) != n_stored:
        raise ValueError(
            f"{name} has {n_stored} indices but {len(M.data)} values; build it anew "
            "from its entries."
        )
    fine = (
        len(indptr) == n_major + 1
        and indptr[0] == 0
        and indptr[-1] <= n_stored
        and (np.diff(indptr) >= 0).all()
    )
    if not fine:
        raise ValueError(
            f"{name} has an inconsistent indptr for its shape {M.shape} and {n_stored} "
            "stored values; build it anew from its entries."
        )


def _check_range(indices, size, axis, name):
    if len(indices) == 0:
        return
    for index in (indices.max(), indices.min()):
        if not 0 <= index < size:
            raise ValueError(
                f"{name} has {axis} index {index} but only {size} {axis}s; build it "
                "anew from its entries."
            )
