"""Ridge regression of many targets on sparse rows, by conjugate gradients."""

import numpy as np

from skxmc import _nn
from skxmc._freed import return_freed_memory
from skxmc._mapped import csr_blocks, is_mapped, sum_columns

# Targets solved together: bounds the memory of the iteration to six or eight
# arrays of (n_features, 64), and keeps a row of them within a few cache lines.
BLOCK_TARGETS = 64
# Of mapped rows more, while an array of (n_features, n_targets) stays below 32 MiB.
_MAX_ENTRIES = 2**23
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
    return RidgeSystem(X, alpha).solve(Z, tol=tol, max_iter=max_iter)


class RidgeSystem:
    """What `fit_ridge` prepares of the rows, to be solved for several targets.

    Attributes
    ----------
    mean : ndarray of shape (n_features,), float32
        The mean row.
    scale : ndarray of shape (n_features, 1), float32
        One over the diagonal of the matrix of the normal equations.
    """

    def __init__(self, X, alpha):
        n_samples = X.shape[0]
        self.mean, square = _mean(X), sum_columns(X, power=2)
        self.penalty = np.float32(max(alpha * square.sum() / n_samples, _TINY))
        variance = np.maximum(square - n_samples * self.mean**2, 1e-6 * square)
        self.scale = (1 / (variance + self.penalty))[:, None].astype(np.float32)
        self.products = _Products(X)

    @property
    def rows(self):
        """X in memory, to be multiplied with: ``rows @ W``."""
        return next(self.products.blocks())[0]

    def solve(self, Z, *, tol=0.01, max_iter=100):
        """Return weight and bias, see `fit_ridge`."""
        mean_z, products = _mean(Z), self.products
        weight = np.empty((len(self.mean), Z.shape[1]), dtype=np.float32)
        for start in range(0, Z.shape[1], products.n_targets):
            some = slice(start, start + products.n_targets)
            right = _sum(
                columns @ (Z[span, some] - mean_z[some])
                for _, columns, span in products.blocks()
            )
            weight[:, some] = _conjugate_gradients(
                self._matrix, right, self.scale, tol, max_iter
            )
            del right
            return_freed_memory()
        return weight, mean_z - self.mean @ weight

    def _matrix(self, P):
        """Multiply the matrix of the normal equations with P."""
        shift = self.mean @ P
        product = _sum(
            columns @ _minus(rows @ P, shift)
            for rows, columns, _ in self.products.blocks()
        )
        product += self.penalty * P
        return product


class _Products:
    """X and its transpose, to multiply with: kept, or made anew of each block read."""

    def __init__(self, X):
        self.X, self.kept = X, None
        self.n_targets = BLOCK_TARGETS
        if is_mapped(X):
            # The fewer blocks of targets, the fewer times the file is read.
            self.n_targets = max(BLOCK_TARGETS, _MAX_ENTRIES // X.shape[1])
        else:
            self.kept = [*self.blocks()]

    def blocks(self):
        """Yield (rows, columns, slice of the rows); of X in memory, the one block."""
        if self.kept is not None:
            yield from self.kept
            return
        for span, block in csr_blocks(self.X):
            transposed = _nn.SparseProduct(block.T.tocsr())
            yield _nn.SparseProduct(block), transposed, span


def _sum(arrays):
    """Add up arrays, into the first of them."""
    total = None
    for array in arrays:
        total = array if total is None else np.add(total, array, out=total)
    return total


def _minus(A, shift):
    A -= shift
    return A


def _conjugate_gradients(matrix, residual, scale, tol, max_iter):
    """Solve ``matrix(W) = residual`` column by column, all columns at once.

    In place, as many features make each array large: `residual` is overwritten.
    """
    W, direction = np.zeros_like(residual), scale * residual
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
        product *= step
        residual -= product
        W += np.multiply(step, direction, out=product)
        scaled = np.multiply(scale, residual, out=product)
        rho_before, rho = rho, _column_dot(residual, scaled)
        direction *= rho / np.maximum(rho_before, _TINY)
        direction += scaled
    return W


def _mean(A):
    if is_mapped(A):
        return (sum_columns(A) / A.shape[0]).astype(np.float32)
    return A.mean(axis=0, dtype=np.float64).astype(np.float32)


def _column_dot(A, B):
    return np.einsum("ij,ij->j", A, B)
