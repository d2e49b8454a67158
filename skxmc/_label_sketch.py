"""Codes of a sparse label matrix: half of its SVD, half random projections."""

import numpy as np

from skxmc._label_svd import column_blocks, svd_codes, svd_factors, weigh_columns
from skxmc._mapped import CodedRows, is_mapped

_TINY = np.finfo(np.float32).tiny


def sketched_codes(Y, n_components, random_state, weights=None, *, seed):
    """Compute codes whose inner products are those of the label rows, but for noise.

    Half of their columns are ``Y V``, of the truncated SVD. The other half are random
    projections of what these leave, ``(Y - Y V V^T) R / sqrt(m)`` with R of m columns
    of signs, so that ``E[Z Z^T] = Y Y^T`` (Achlioptas 2003). An SVD as long has less
    noise, but nothing of any label beyond its leading directions: where each row has
    one label, of all but the `n_components` most frequent.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
        Label matrix.
    n_components : int
        Length of a code.
    random_state : numpy RandomState
        Source of the SVD's random start.
    weights : ndarray of shape (n_labels,), float32, or None, default=None
        What the columns of Y are multiplied with first.
    seed : int or None
        Seeds the signs. None where an SVD of so many columns loses nothing: the codes
        are that.

    Returns
    -------
    codes : ndarray of shape (n_samples, c), float32, or CodedRows of a `MappedCSR`
        c = min(n_components, n, L) at most.
    """
    if seed is None:
        return svd_codes(Y, n_components, random_state, weights)
    n_random = n_components // 2
    leading, V = svd_factors(Y, n_components - n_random, random_state, weights)
    bits = _draw_bits(seed, Y.shape[1], n_random)
    if V is not None:
        del leading  # as large as a part of what takes its place
        return _turned(Y, V, bits, n_random, weights)
    Y = weigh_columns(Y, weights)
    # U U^T Y is Y V V^T, and the columns of U S are orthogonal.
    squares = np.maximum(np.einsum("ij,ij->j", leading, leading), _TINY)[:, None]

    def rest(columns):
        return _without(leading, Y @ _signs(bits, columns, n_random), squares)

    return _beside(leading, n_random, rest)


def sketch_again(Y, decoder, seed):
    """Compute the codes that `sketched_codes` has for further rows.

    Parameters
    ----------
    Y : csr_array of shape (n_samples, n_labels)
        Label matrix.
    decoder : ndarray of shape (n_labels, n_components), float32
        See `linear_decoder`, of codes scaled as one, without weights. For the SVD's
        half, it is V times the scale.
    seed : int
        The seed of these codes.

    Returns
    -------
    codes : ndarray of shape (n_samples, n_components), float32, or CodedRows
    """
    n_random = decoder.shape[1] // 2
    V = decoder[:, : decoder.shape[1] - n_random]
    norms = np.maximum(np.linalg.norm(V, axis=0), _TINY)
    bits = _draw_bits(seed, Y.shape[1], n_random)
    codes = _turned(Y, V / norms, bits, n_random)
    if is_mapped(Y):
        return CodedRows(Y, codes.vectors / norms[0])
    codes /= norms[0]
    return codes


def _turned(Y, V, bits, n_random, weights=None):
    """Return the codes of label rows by the leading directions of them."""

    def rest(columns):
        return _without(V, _signs(bits, columns, n_random))

    if is_mapped(Y):
        scale = np.float32(1) if weights is None else weights[:, None]
        return CodedRows(Y, scale * _beside(V, n_random, rest))
    Y = weigh_columns(Y, weights)
    return _beside(Y @ V, n_random, lambda columns: Y @ rest(columns))


def _beside(leading, n_more, make):
    """Return these columns and beside them others, made a few at a time."""
    both = np.empty((len(leading), leading.shape[1] + n_more), dtype=np.float32)
    first, rest = np.split(both, [leading.shape[1]], axis=1)
    first[:] = leading
    for columns in column_blocks(rest):
        rest[:, columns] = make(columns)
    return both


def _without(basis, A, squares=1):
    """Return A less what orthogonal columns, of these squares, span of it."""
    return A - basis @ ((basis.T @ A) / squares)


def _draw_bits(seed, n_rows, n_columns):
    """Draw bits for `_signs`: bytes of shape (n_rows, n_columns / 8), rounded up."""
    n_bytes = -(-n_columns // 8)
    drawn = np.random.RandomState(seed).bytes(n_rows * n_bytes)
    return np.frombuffer(drawn, dtype=np.uint8).reshape(n_rows, n_bytes)


def _signs(bits, columns, n_columns):
    """Return some columns of R / sqrt(m), (n_rows, n_some): the signs of these bits."""
    first, last = columns.start, min(columns.stop, n_columns)
    ones = np.unpackbits(bits[:, first // 8 : -(-last // 8)], axis=1)
    signs = 2 * ones[:, : last - first].astype(np.float32) - 1
    return signs / np.float32(np.sqrt(n_columns))
