"""Ridge regression of many targets on sparse rows, by conjugate gradients."""

import numpy as np

# Targets solved together: bounds the memory of the iteration to 4 arrays of
# (n_features, 64), and keeps a row of them within a few cache lines.
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
    centred problem; X is centred implicitly: with m the mean row,
    ``(X - 1 m)^T (X - 1 m) P = X^T X P - n m^T m P``.
    """
    n_samples = X.shape[0]
    Xt = X.T
    mean_x, mean_z = X.mean(axis=0).astype(np.float32), Z.mean(axis=0)
    square = X.power(2).sum(axis=0)
    penalty = np.float32(max(alpha * square.sum() / n_samples, _TINY))
    diagonal = np.maximum(square - n_samples * mean_x**2, 0) + penalty
    scale = (1 / diagonal)[:, None].astype(np.float32)

    def normal_matrix(P):
        centring = np.outer(n_samples * mean_x, mean_x @ P)
        return Xt @ (X @ P) - centring + penalty * P

    weight = np.empty((X.shape[1], Z.shape[1]), dtype=np.float32)
    for start in range(0, Z.shape[1], _BLOCK_TARGETS):
        block = slice(start, start + _BLOCK_TARGETS)
        target = Xt @ (Z[:, block] - mean_z[block])
        # The mean row has no part in it, because the centred targets sum to zero.
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
        step = rho / _positive(_column_dot(direction, product))
        W += step * direction
        residual -= step * product
        scaled = scale * residual
        rho_new = _column_dot(residual, scaled)
        if (rho_new <= goal).all():
            break
        direction = scaled + (rho_new / _positive(rho)) * direction
        rho = rho_new
    return W


def _column_dot(A, B):
    return np.einsum("ij,ij->j", A, B)


def _positive(x):
    # A target that is solved already has zero residual: 0 / tiny is 0, 0 / 0 is not.
    return np.maximum(x, _TINY)
