"""Truncated SVD of a sparse label matrix, by randomised subspace iteration."""

from functools import partial

import numpy as np
import scipy.sparse as sp

from skxmc._mapped import CodedRows, csr_blocks, is_mapped

N_OVERSAMPLES = 10
_N_POWER_ITERATIONS = 5
# Columns of an (n_labels, ...) temporary in a product with Y Y^T: with millions of
# labels, all columns at once would be larger than the result.
_BLOCK_COLUMNS = 8
_TINY = np.finfo(np.float32).tiny


def svd_codes(Y, n_components, random_state, weights=None):
    """Compute U_c Sigma_c of the truncated SVD of Y.

    These are the codes with the closest inner products,
    ``argmin ||Y Y^T - Z Z^T||`` over Z of rank c. Randomised subspace iteration on
    ``Y Y^T`` (Halko et al. 2011), or on ``Y^T Y`` where there are fewer labels than
    rows, never holds more than a few arrays of min(n, L) x c, and of n x c. Of a
    `MappedCSR`, the latter in blocks, and nothing is as long as the rows are many.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
        Label matrix.
    n_components : int
        Number of singular vectors.
    random_state : numpy RandomState
        Source of the random start.
    weights : ndarray of shape (n_labels,), float32, or None, default=None
        What the columns of Y are multiplied with first.

    Returns
    -------
    codes : ndarray of shape (n_samples, c), float32, or CodedRows of a `MappedCSR`
        Columns ordered by singular value, c = min(n_components, n, L) at most.
    """
    return svd_factors(Y, n_components, random_state, weights)[0]


def svd_factors(Y, n_components, random_state, weights=None):
    """Compute the codes of `svd_codes`, and V_c, (n_labels, c).

    None in place of V_c where there are no fewer labels than rows, unless Y is a
    `MappedCSR`: it was not needed then.
    """
    if not is_mapped(Y):
        Y = weigh_columns(Y, weights)
    by_label = is_mapped(Y) or Y.shape[1] < Y.shape[0]
    size = Y.shape[1] if by_label else Y.shape[0]
    c = min(n_components, *Y.shape)
    draw = partial(_draw, random_state, size, min(c + N_OVERSAMPLES, size))
    if is_mapped(Y):
        product = partial(_mapped_gram_product, Y, weights)
        vectors = top_eigenpairs(product, draw(), c)[1]
        weighted = vectors if weights is None else weights[:, None] * vectors
        return CodedRows(Y, weighted), vectors
    A = Y.T.tocsr() if by_label else Y
    values, vectors = top_eigenpairs(partial(_gram_product, A), draw(), c)
    if by_label:
        return Y @ vectors, vectors  # Y V = U Sigma
    vectors *= np.sqrt(values)
    return vectors, None


def _draw(random_state, n_rows, n_columns):
    start = np.empty((n_rows, n_columns), dtype=np.float32)
    for block in column_blocks(start):  # numpy draws float64, twice as large
        start[:, block] = random_state.standard_normal(start[:, block].shape)
    return start


def weigh_columns(Y, weights):
    """Return Y with its columns multiplied by the weights, or itself for None."""
    if weights is None:
        return Y
    weighted = Y.data * weights[Y.indices]
    return sp.csr_array((weighted, Y.indices, Y.indptr), shape=Y.shape)


def top_eigenpairs(matrix, Q, n_pairs, n_iter=_N_POWER_ITERATIONS):
    """Return the largest eigenvalues, descending, and eigenvectors of a symmetric map.

    Subspace iteration from Q with a Rayleigh-Ritz step at the end. Negative values
    become 0.
    """
    # One step at a time: there are two arrays of this size, and none that is done with.
    for _ in range(n_iter):
        Q = _orthonormalize(Q)
        Q = matrix(Q)
    Q = _orthonormalize(Q)
    Q = _orthonormalize(Q)
    values, rotation = np.linalg.eigh((Q.T @ matrix(Q)).astype(np.float64))
    best = np.argsort(-values)[:n_pairs]
    values = np.maximum(values[best], 0).astype(np.float32)
    return values, Q @ rotation[:, best].astype(np.float32)


def column_blocks(A):
    """Yield slices of at most `_BLOCK_COLUMNS` columns."""
    for start in range(0, A.shape[1], _BLOCK_COLUMNS):
        yield slice(start, start + _BLOCK_COLUMNS)


def _gram_product(A, Q):
    """Compute ``A (A^T Q)`` without an (n_columns, n_columns_of_Q) temporary."""
    out = np.empty_like(Q)
    for block in column_blocks(Q):
        out[:, block] = A @ (A.T @ Q[:, block])
    return out


def _mapped_gram_product(Y, weights, Q):
    """Compute ``A^T (A Q)`` of the weighted A in one pass over the rows of Y."""
    out = np.zeros_like(Q)
    for _, block in csr_blocks(Y):
        A = weigh_columns(block, weights)
        out += A.T @ (A @ Q)
    return out


def _orthonormalize(A):
    """Return a basis of the columns of A, orthonormal but for rounding.

    By the eigenvectors of the Gram matrix: mostly matrix products, several times as
    fast as a QR decomposition; applied twice it is as exact.
    """
    gram = (A.T @ A).astype(np.float64)
    scale = 1 / np.sqrt(np.maximum(np.diag(gram), _TINY))  # to columns of norm 1
    values, vectors = np.linalg.eigh(gram * np.outer(scale, scale))
    # Columns that depend on others leave eigenvalues of rounding size, of either sign.
    rotation = scale[:, None] * vectors / np.sqrt(np.maximum(values, 1e-6))
    return A @ rotation.astype(A.dtype)
