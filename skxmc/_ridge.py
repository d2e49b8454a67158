"""Ridge regression of many targets on sparse rows, by conjugate gradients."""

import numpy as np

from skxmc import _nn

# Targets solved together: bounds the memory of the iteration to a dozen
# arrays of (n_features, 64), and keeps a row of them within a few cache lines.
_BLOCK_TARGETS = 64
_TINY = np.finfo(np.float32).tiny


def fit_ridge(X, Z, alpha, *, tol=0.01, max_iter=100):
    """Solve ``min ||X W + b - Z||^2 + alpha * s * ||W||^2`` for W and b.

    s is the mean squared norm of the rows of X, so that the same `alpha` does for any
    scale of X.

    Parameters
    ----------
    X : csr_array of shape (n_samples, n_features), float32
        Input rows.
    Z : ndarray of shape (n_samples, n_targets), float32
        Targets.
    alpha : float
        Strength of the penalty; positive.
    tol : float, default=0.01
        Stop when the residual of every target has shrunk by this factor. More than that
        does not change predictions that anyone would notice.
    max_iter : int, default=100
        Stop after so many iterations anyway.

    Returns
    -------
    weight : ndarray of shape (n_features, n_targets), float32
    bias : ndarray of shape (n_targets,), float32

    Notes
    -----
    Conjugate gradients, preconditioned by the diagonal, on the normal equations of the
    centred problem. X stays sparse: with m its mean row, ``(X - 1 m)^T (X - 1 m) P =
    X^T (X P - 1 m P)``, as what is in brackets has columns of sum 0.
    """
    n_samples = X.shape[0]
    mean_x, mean_z = _mean(X), _mean(Z)
    square = X.power(2).sum(axis=0, dtype=np.float64)
    penalty = np.float32(max(alpha * square.sum() / n_samples, _TINY))
    variance = np.maximum(square - n_samples * mean_x**2, 1e-6 * square)
    scale = (1 / (variance + penalty))[:, None].astype(np.float32)
    rows, columns = _nn.SparseProduct(X), _nn.SparseProduct(X.T.tocsr())

    def normal_matrix(P):
        A = rows @ P
        A -= mean_x @ P
        product = columns @ A
        product += penalty * P
        return product

    weight = np.empty((X.shape[1], Z.shape[1]), dtype=np.float32)
    for start in range(0, Z.shape[1], _BLOCK_TARGETS):
        block = slice(start, start + _BLOCK_TARGETS)
        target = columns @ (Z[:, block] - mean_z[block])
        weight[:, block] = _conjugate_gradients(
            normal_matrix, target, scale, tol, max_iter
        )
    return weight, mean_z - mean_x @ weight


def _conjugate_gradients(matrix, target, scale, tol, max_iter):
    """Solve ``matrix(W) = target`` column by column, all columns at once."""
    W = np.zeros_like(target)
    residual = target.copy()
    direction = scale * residual
    rho = _column_dot(residual, direction)
    goal = tol**2 * rho
    for _ in range(max_iter):
        product = matrix(direction)
        curvature = _column_dot(direction, product)
        # A column rests once it is solved, or as well as float32 can.
        active = (rho > goal) & (curvature > 0)
        if not active.any():
            break
        step = np.where(active, rho, 0) / np.where(active, curvature, 1)
        W += step * direction
        residual -= step * product
        scaled = scale * residual
        rho_new = _column_dot(residual, scaled)
        direction = scaled + rho_new / np.maximum(rho, _TINY) * direction
        rho = rho_new
    return W


def _mean(A):
    return A.mean(axis=0, dtype=np.float64).astype(np.float32)


def _column_dot(A, B):
    return np.einsum("ij,ij->j", A, B)
