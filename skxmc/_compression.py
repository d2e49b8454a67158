"""Compressing a sparse label matrix into short dense codes, one a row."""

from functools import partial

import numpy as np
import scipy.sparse as sp

from skxmc._mapped import CodedRows, csr_blocks, is_mapped
from skxmc._pairs import pair_products
from skxmc._ridge import fit_ridge

_N_OVERSAMPLES = 10
_N_POWER_ITERATIONS = 5
# Columns of an (n_labels, ...) temporary in a product with Y Y^T: with millions of
# labels, all columns at once would be larger than the result.
_BLOCK_COLUMNS = 8
_TINY = np.finfo(np.float32).tiny


def compress_labels(
    X, Y, n_components, *, method, alpha, rare_label_weight, random_state
):
    """Compute the codes of the label rows.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Input rows, for "predictable".
    Y : csr_array of shape (n_samples, n_labels), float32
        Label indicator.
    n_components : int
        Length of a code, cut to the number of rows or labels.
    method : {"svd", "predictable", "neighbors"}
        Truncated SVD, the codes that X predicts best, or those that keep the
        similarity of nearest rows.
    alpha : float
        Penalty of the ridge regression, for "predictable".
    rare_label_weight : float
        Labels are weighted by frequency ** -rare_label_weight.
    random_state : numpy RandomState
        Source of the random start.

    Returns
    -------
    codes : ndarray or CodedRows of shape (n_samples, n_components), float32
        With root mean square 1 over all entries (or 0, if Y is).
    """
    if rare_label_weight:
        counts = np.bincount(Y.indices, minlength=Y.shape[1])
        weights = np.maximum(counts, 1) ** -float(rare_label_weight)
        Y = (Y @ sp.diags_array(weights.astype(np.float32))).tocsr()
    if method == "predictable":
        codes = predictable_codes(X, Y, n_components, alpha, random_state)
    else:
        codes = svd_codes(Y, n_components, random_state)
    if is_mapped(Y):
        return codes.scaled_to_unit()
    if method == "neighbors":
        codes = neighbor_codes(Y, codes)
    rms = np.sqrt(np.mean(codes**2, dtype=np.float64))
    return codes / np.float32(rms) if rms > 0 else codes


def svd_codes(Y, n_components, random_state):
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

    Returns
    -------
    codes : ndarray of shape (n_samples, c), float32, or CodedRows of a `MappedCSR`
        Columns ordered by singular value, c = min(n_components, n, L) at most.
    """
    by_label = is_mapped(Y) or Y.shape[1] < Y.shape[0]
    A = Y.T.tocsr() if by_label and not is_mapped(Y) else Y
    size = Y.shape[1] if by_label else Y.shape[0]
    c = min(n_components, *Y.shape)
    start = np.empty((size, min(c + _N_OVERSAMPLES, size)), dtype=np.float32)
    for block in _column_blocks(start):  # numpy draws float64, twice as large
        start[:, block] = random_state.standard_normal(start[:, block].shape)
    product = _mapped_gram_product if is_mapped(Y) else _gram_product
    values, vectors = _top_eigenpairs(partial(product, A), start, c)
    if is_mapped(Y):
        return CodedRows(Y, vectors)
    if by_label:
        return Y @ vectors  # Y V = U Sigma
    return vectors * np.sqrt(values)


def predictable_codes(X, Y, n_components, alpha, random_state):
    """Compute label codes that ridge regression on X predicts well.

    Of twice as many SVD codes, keeps the directions r of largest
    ``r^T Z^T H Z r``, with H the hat matrix of the regression: much variance, of which
    much can be predicted. This is CPLST (Chen and Lin, 2012) within the leading
    singular vectors, and makes no array of more than 2 n_components columns.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Input rows.
    Y : csr_array of shape (n_samples, n_labels), float32
        Label matrix.
    n_components : int
        Number of directions to keep.
    alpha : float
        Penalty of the ridge regression, see `fit_ridge`.
    random_state : numpy RandomState
        Source of the random start of the SVD.

    Returns
    -------
    codes : ndarray of shape (n_samples, c), float32
    """
    wide = svd_codes(Y, 2 * n_components, random_state)
    weight, bias = fit_ridge(X, wide, alpha)
    product = (wide.T @ (X @ weight + bias)).astype(np.float64)
    directions = np.linalg.eigh(product + product.T)[1]
    return wide @ directions[:, : -n_components - 1 : -1].astype(np.float32)


def neighbor_codes(
    Y, codes, *, n_neighbors=20, fidelity=0.1, n_iter=5, max_frequency=0.05
):
    """Adjust codes so that their inner products match those of neighbouring rows.

    Minimises, over Z of the given rank,
    ``||P(Y Y^T - Z Z^T)||^2 + fidelity * ||P'(Z_0 Z_0^T - Z Z^T)||^2``, where P keeps
    the pairs of rows that are among each other's nearest by label overlap, P' all other
    pairs, and Z_0 are the SVD codes: the extension that DECLARE's authors leave to
    future work.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
        Label matrix.
    codes : ndarray of shape (n_samples, n_components)
        The SVD codes Z_0.
    n_neighbors : int, default=20
        Neighbours of each row.
    fidelity : float, default=0.1
        Weight of staying with the SVD elsewhere.
    n_iter : int, default=5
        Projected gradient steps.
    max_frequency : float, default=0.05
        Labels on a larger share of the rows are left out of the search for neighbours
        (not of the codes): they make every row everyone's neighbour.

    Returns
    -------
    codes : ndarray of shape (n_samples, n_components), float32

    Notes
    -----
    Singular value projection (SLEEC, Bhatia et al. 2015) on M = Z Z^T, of which only
    the factor Z and the sparse correction S on the neighbour pairs are stored: a step
    from M is applied to vectors as ``(1 - f) Z (Z^T v) + f Z_0 (Z_0^T v) + S v`` with
    f = fidelity.
    """
    i, j = _neighbor_pairs(Y, n_neighbors, max_frequency)
    overlap = pair_products(Y, i, Y, j)
    start_products = pair_products(codes, i, codes, j)
    Z = codes
    for _ in range(n_iter):
        products = pair_products(Z, i, Z, j)
        step = (overlap - products) - fidelity * (start_products - products)
        S = sp.csr_array((step, (i, j)), shape=(len(Z), len(Z)))

        def matrix(V, Z=Z, S=S):
            kept = (1 - fidelity) * (Z @ (Z.T @ V))
            return kept + fidelity * (codes @ (codes.T @ V)) + S @ V

        values, vectors = _top_eigenpairs(matrix, Z, Z.shape[1], n_iter=2)
        Z = vectors * np.sqrt(values)
    return Z


def linear_decoder(Y, codes):
    """Compute the matrix D that best recovers the labels, ``min ||Y - codes D^T||``.

    For SVD codes these are the right singular vectors.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
        Label matrix.
    codes : ndarray of shape (n_samples, n_components), float32
        Codes of its rows.

    Returns
    -------
    decoder : ndarray of shape (n_labels, n_components), float32
    """
    inverse = _inverse_gram(codes)
    decoder = np.empty((Y.shape[1], codes.shape[1]), dtype=np.float32)
    for block in _column_blocks(decoder):
        decoder[:, block] = Y.T @ (codes @ inverse[:, block])
    return decoder


def project_labels(Y, decoder):
    """Compute codes of new label rows, ``min ||Y - codes D^T||`` over the codes."""
    return (Y @ decoder) @ _inverse_gram(decoder)


def _inverse_gram(A):
    gram = (A.T @ A).astype(np.float64)
    # A drop of ridge, for columns that depend on each other.
    gram[np.diag_indices_from(gram)] += 1e-6 * np.trace(gram) / len(gram) + 1e-30
    return np.linalg.inv(gram).astype(np.float32)


def _gram_product(A, Q):
    """Compute ``A (A^T Q)`` without an (n_columns, n_columns_of_Q) temporary."""
    out = np.empty_like(Q)
    for block in _column_blocks(Q):
        out[:, block] = A @ (A.T @ Q[:, block])
    return out


def _mapped_gram_product(Y, Q):
    """Compute ``Y^T (Y Q)`` in one pass over the rows of Y."""
    out = np.zeros_like(Q)
    for _, block in csr_blocks(Y):
        out += block.T @ (block @ Q)
    return out


def _column_blocks(A):
    """Yield slices of at most `_BLOCK_COLUMNS` columns."""
    for start in range(0, A.shape[1], _BLOCK_COLUMNS):
        yield slice(start, start + _BLOCK_COLUMNS)


def _top_eigenpairs(matrix, start, n_pairs, n_iter=_N_POWER_ITERATIONS):
    """Return the largest eigenvalues, descending, and eigenvectors of a symmetric map.

    Subspace iteration with a Rayleigh-Ritz step at the end. Negative values become 0.
    """
    Q = start
    for _ in range(n_iter):
        Q = matrix(_orthonormalize(Q))
    Q = _orthonormalize(_orthonormalize(Q))
    values, rotation = np.linalg.eigh((Q.T @ matrix(Q)).astype(np.float64))
    best = np.argsort(-values)[:n_pairs]
    values = np.maximum(values[best], 0).astype(np.float32)
    return values, Q @ rotation[:, best].astype(np.float32)


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


def _neighbor_pairs(Y, n_neighbors, max_frequency, block_rows=1024):
    """Return (i, j), both directions, of rows that share the most labels, i != j."""
    frequency = np.bincount(Y.indices, minlength=Y.shape[1]) / Y.shape[0]
    informative = sp.diags_array((frequency <= max_frequency).astype(np.float32))
    W = (Y @ informative).tocsr()
    W.eliminate_zeros()
    Wt = W.T.tocsr()
    found = []
    for start in range(0, Y.shape[0], block_rows):
        overlap = (W[start : start + block_rows] @ Wt).tocoo()
        rows, columns = overlap.coords[0] + start, overlap.coords[1]
        keep = rows != columns
        rows, columns, overlap = rows[keep], columns[keep], overlap.data[keep]
        order = np.lexsort((columns, -overlap, rows))
        rows, columns = rows[order], columns[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        found.append(np.stack([rows, columns])[:, rank < n_neighbors])
    i, j = np.concatenate(found, axis=1)
    both = np.unique(np.stack([np.append(i, j), np.append(j, i)]), axis=1)
    return both[0], both[1]
