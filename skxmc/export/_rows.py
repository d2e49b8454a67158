"""Rows in the form that exported models take."""

import numpy as np
import scipy.sparse as sp

from skxmc._validation import check_structure


def pad_rows(X, width=None):
    """Lay sparse rows out as two arrays of one width, the input of exported models.

    Parameters
    ----------
    X : {array-like, sparse matrix or array} of shape (n_samples, n_features)
        Input rows, as for the estimator.
    width : int or None, default=None
        Places of a row; None for as many as the longest row needs. A fixed width
        suits accelerators, which compile a model for each shape of its input.

    Returns
    -------
    inputs : dict of str to ndarray
        "indices", int64, and "values", float32, both of shape (n_samples, width): the
        columns of the features of a row that are not 0, and what they are. Behind them
        both are 0.

    Raises
    ------
    ValueError
        If a row has more than `width` features.

    Examples
    --------
    >>> from skxmc.export import pad_rows
    >>> inputs = pad_rows([[0, 0.5, 0, 2], [0, 0, 1, 0]])
    >>> inputs["indices"].tolist(), inputs["values"].tolist()
    ([[1, 3], [2, 0]], [[0.5, 2.0], [1.0, 0.0]])
    """
    check_structure(X, "X")
    X = sp.csr_array(X).astype(np.float32)
    X.sum_duplicates()
    X.eliminate_zeros()
    lengths = np.diff(X.indptr)
    longest = max(1, lengths.max(initial=0))
    width = longest if width is None else width
    if longest > width:
        raise ValueError(
            f"width={width}, but a row has {longest} features that are not 0; pass at "
            f"least width={longest}."
        )
    filled = np.arange(width) < lengths[:, None]
    indices = np.zeros(filled.shape, dtype=np.int64)
    values = np.zeros(filled.shape, dtype=np.float32)
    indices[filled], values[filled] = X.indices, X.data
    return {"indices": indices, "values": values}
