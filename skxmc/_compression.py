"""Compressing a sparse label matrix into short dense codes, one a row."""

import numpy as np
import scipy.sparse as sp

from skxmc._blocks import row_blocks
from skxmc._label_sketch import sketch_again, sketched_codes
from skxmc._label_svd import column_blocks, svd_codes, top_eigenpairs, weigh_columns
from skxmc._mapped import CodedRows, count_columns, csr_blocks, is_mapped
from skxmc._pairs import pair_products
from skxmc._ridge import fit_ridge

# Of codes fitted to neighbours: the weight of staying with the SVD elsewhere, and
# projected gradient steps.
_FIDELITY, _N_STEPS = 0.1, 5
# Labels on a larger share of the rows are left out of the search for neighbours, not of
# the codes: they make every row everyone's neighbour.
_MAX_FREQUENCY = 0.05


def compress_labels(
    X, Y, n_components, *, method, alpha, rare_label_weight, random_state, seed=None
):
    """Compute the codes of the label rows.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Input rows, for "predictable".
    Y : csr_array of shape (n_samples, n_labels), float32
        Label indicator. "neighbors" reads a `MappedCSR` into memory: it seeks the code
        of each row by itself.
    n_components : int
        Length of a code, cut to the number of rows or labels.
    method : {"sketch", "svd", "predictable", "neighbors"}
        Half truncated SVD and half random projections, SVD alone, the codes that X
        predicts best, or those that keep the similarity of nearest rows.
    alpha : float
        Penalty of the ridge regression, for "predictable".
    rare_label_weight : float
        Labels are weighted by frequency ** -rare_label_weight.
    random_state : numpy RandomState
        Source of the random start.
    seed : int or None, default=None
        Of the random projections, for "sketch"; see `sketched_codes`.

    Returns
    -------
    codes : ndarray or CodedRows of shape (n_samples, n_components), float32
        With root mean square 1 over all entries (or 0, if Y is). `CodedRows` where they
        are the product of a `MappedCSR` and a matrix.
    """
    if method == "neighbors":
        Y = sp.csr_array(Y, dtype=np.float32)
    weights = None
    if rare_label_weight:
        weights = np.maximum(count_columns(Y), 1) ** -float(rare_label_weight)
        weights = weights.astype(np.float32)
    if method == "predictable":
        codes = predictable_codes(X, Y, n_components, alpha, random_state, weights)
    elif method == "sketch":
        codes = sketched_codes(Y, n_components, random_state, weights, seed=seed)
    else:
        codes = svd_codes(Y, n_components, random_state, weights)
    if method == "neighbors":
        codes = neighbor_codes(weigh_columns(Y, weights), codes)
    if is_mapped(Y):
        return codes.scaled_to_unit()
    squares = sum(np.square(b).sum(dtype=np.float64) for b in row_blocks(codes, 8192))
    if squares > 0:
        codes /= np.float32(np.sqrt(squares / codes.size))
    return codes


def predictable_codes(X, Y, n_components, alpha, random_state, weights=None):
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
    weights : ndarray of shape (n_labels,), float32, or None, default=None
        What the columns of Y are multiplied with first.

    Returns
    -------
    codes : ndarray of shape (n_samples, c), float32, or CodedRows of a `MappedCSR`
    """
    wide = svd_codes(Y, 2 * n_components, random_state, weights)
    weight, bias = fit_ridge(X, wide, alpha)
    product = sum(
        (wide[span].T @ (block @ weight + bias)).astype(np.float64)
        for span, block in csr_blocks(X)
    )
    directions = np.linalg.eigh(product + product.T)[1]
    return wide @ directions[:, : -n_components - 1 : -1].astype(np.float32)


def neighbor_codes(Y, codes, *, n_neighbors=20):
    """Adjust codes so that their inner products match those of neighbouring rows.

    Minimises, over Z of the given rank,
    ``||P(Y Y^T - Z Z^T)||^2 + 0.1 * ||P'(Z_0 Z_0^T - Z Z^T)||^2``, where P keeps
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

    Returns
    -------
    codes : ndarray of shape (n_samples, n_components), float32

    Notes
    -----
    Singular value projection (SLEEC, Bhatia et al. 2015) on M = Z Z^T, of which only
    the factor Z and the sparse correction S on the neighbour pairs are stored: a step
    from M is applied to vectors as ``(1 - f) Z (Z^T v) + f Z_0 (Z_0^T v) + S v`` with
    f = 0.1.
    """
    i, j = _neighbor_pairs(Y, n_neighbors)
    overlap = pair_products(Y, i, Y, j)
    start_products = pair_products(codes, i, codes, j)
    Z = codes
    for _ in range(_N_STEPS):
        products = pair_products(Z, i, Z, j)
        step = (overlap - products) - _FIDELITY * (start_products - products)
        S = sp.csr_array((step, (i, j)), shape=(len(Z), len(Z)))

        def matrix(V, Z=Z, S=S):
            kept = (1 - _FIDELITY) * (Z @ (Z.T @ V))
            return kept + _FIDELITY * (codes @ (codes.T @ V)) + S @ V

        values, vectors = top_eigenpairs(matrix, Z, Z.shape[1], n_iter=2)
        Z = vectors * np.sqrt(values)
    return Z


def linear_decoder(Y, codes):
    """Compute the matrix D that best recovers the labels, ``min ||Y - codes D^T||``.

    For SVD codes these are the right singular vectors.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
        Label matrix.
    codes : ndarray or CodedRows of shape (n_samples, n_components), float32
        Codes of its rows.

    Returns
    -------
    decoder : ndarray of shape (n_labels, n_components), float32
    """
    inverse = _inverse_gram(codes)
    decoder = np.zeros((Y.shape[1], codes.shape[1]), dtype=np.float32)
    for span, block in csr_blocks(Y):
        own = codes[span]
        for some in column_blocks(decoder):
            decoder[:, some] += block.T @ (own @ inverse[:, some])
    return decoder


def project_labels(Y, decoder, seed=None):
    """Compute codes of new label rows, ``min ||Y - codes D^T||`` over the codes.

    With the seed of a sketch, the codes that it has for them. Of a `MappedCSR` they are
    `CodedRows`.
    """
    if seed is not None:
        return sketch_again(Y, decoder, seed)
    codes = CodedRows(Y, decoder) if is_mapped(Y) else Y @ decoder
    return codes @ _inverse_gram(decoder)


def _inverse_gram(A):
    gram = A.gram() if isinstance(A, CodedRows) else A.T @ A
    gram = gram.astype(np.float64)
    # A drop of ridge, for columns that depend on each other.
    gram[np.diag_indices_from(gram)] += 1e-6 * np.trace(gram) / len(gram) + 1e-30
    return np.linalg.inv(gram).astype(np.float32)


def _neighbor_pairs(Y, n_neighbors, max_frequency=_MAX_FREQUENCY, block_rows=1024):
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
