"""Fewer numbers in front of a trained network: the directions that its scores feel."""

import copy

import numpy as np
import torch
from torch import nn

from skxmc._mapped import csr_blocks
from skxmc._nn._modules import SparseEncoder
from skxmc._nn._sparse import SparseLinear, SparseRows
from skxmc._nn._steady import steady_linear
from skxmc._nn._threads import limited_threads, one_blas_thread
from skxmc._nn._whole_numbers import has_whole_numbers, whole_matmul
from skxmc._stored import StoredRows

# Rows and labels by which directions are judged, and random changes of all scores for
# each row: more find the same ones.
_N_ROWS, _N_LABELS, _N_DRAWS = 8192, 16_384, 6
# Columns that are left out lose this part, together, of what is lost by directions: it
# is all from few rows, and costs more.
_LOST_BY_COLUMNS = 1 / 4
# Smallest eigenvalue of what scores feel, of the largest: an inverse is taken.
_MIN_EIGENVALUE = 1e-6

_WEIGHTS = {SparseLinear: "weight", SparseEncoder: "linear_weight"}


class InputReduction:
    """Maps rows to the few numbers that a network is given instead.

    Parameters
    ----------
    n_features : int
        Length of the rows.
    columns : int32 ndarray of shape (n_kept,)
        Columns that are read, sorted.
    weight : ndarray of shape (n_kept, n_components), float32, or StoredRows
        What they are multiplied with.
    """

    def __init__(self, n_features, columns, weight):
        self.n_features, self.columns, self.weight = n_features, columns, weight
        self._places = torch.full((n_features,), -1)
        self._places[torch.from_numpy(columns).long()] = torch.arange(len(columns))

    def __reduce__(self):
        """Pickle what it was made of, the columns as bits."""
        is_read = np.zeros(self.n_features, dtype=bool)
        is_read[self.columns] = True
        return _of_bits, (self.n_features, np.packbits(is_read), self.weight)

    def __call__(self, x):
        """Map `SparseRows` (n_rows, n_features) to `DenseRows`."""
        places = self._places[x.indices]
        kept = places >= 0
        counts = nn.functional.pad(kept.cumsum(0), (1, 0))
        x = SparseRows(places[kept], counts[x.offsets], x.values[kept])
        weight = self.weight
        if isinstance(weight, np.ndarray):
            weight = torch.from_numpy(weight)
        return DenseRows(x.matmul(weight))

    def compressed(self, storage):
        """Return one whose numbers take fewer bits."""
        weight = StoredRows(self.weight, storage)
        return InputReduction(self.n_features, self.columns, weight)

    @property
    def n_bytes(self):
        """Memory in bytes."""
        return self.columns.nbytes + self.weight.nbytes


def _of_bits(n_features, is_read, weight):
    columns = np.flatnonzero(np.unpackbits(is_read, count=n_features))
    return InputReduction(n_features, columns.astype(np.int32), weight)


class DenseRows:
    """Rows without zeros, to be multiplied as `SparseRows` are.

    Parameters
    ----------
    values : float32 tensor of shape (n_rows, n_columns)
    """

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def scaled(self, factor):
        """Return the rows multiplied by a number."""
        return DenseRows(self.values * factor)

    def matmul(self, weight):
        """Multiply with a dense (n_columns, n_outputs) tensor, or `StoredRows`."""
        if has_whole_numbers(weight):
            return whole_matmul(self.values, weight)
        if isinstance(weight, StoredRows):
            weight = torch.from_numpy(weight[:])
        return steady_linear(self.values, weight.T)


class _Probe:
    """Rows that take note of what they are multiplied with, and of the products.

    Parameters
    ----------
    x : SparseRows
    seen : list of (weight, product)
        To which they are added. Scores can be derived by the products.
    """

    def __init__(self, x, seen, factor=1.0):
        self.x, self.seen, self.factor = x, seen, factor

    def __len__(self):
        return len(self.x)

    def scaled(self, factor):
        return _Probe(self.x, self.seen, self.factor * factor)

    def matmul(self, weight):
        product = self.x.matmul(weight).requires_grad_()
        self.seen.append((weight, product))
        return self.factor * product


def reduce_input(module, X, n_components, directions):
    """Put a reduction in front of a network, with the least change of its scores.

    Of the products of a row with all first weights W, a change d moves the scores by
    ``d^T M d`` on average, M the mean outer product of their gradients. The reduction
    keeps the leading directions of what rows have in that metric: with R the root of M,
    ``W ~ (W R V) (V^T R^-1)``, V the leading eigenvectors of ``R (X W)^T (X W) R``.

    Parameters
    ----------
    module : torch.nn.Module
        Maps `SparseRows` to (n_rows, n_outputs) by products with its first weights.
    X : csr_array or MappedCSR of shape (n_samples, n_features), float32
        Rows of the kind that it will be given.
    n_components : int
        How many numbers stand for a row.
    directions : list of float32 ndarray of shape (n_labels, n_outputs), or None
        By which outputs are multiplied for scores; None for the outputs themselves.

    Returns
    -------
    module : torch.nn.Module
        A copy that is given `DenseRows`.
    reduction : InputReduction

    Raises
    ------
    ValueError
        If the scores are the same whatever is in the rows, as where they are empty.
    """
    rng = np.random.RandomState(0)  # of rows, labels and changes
    module = copy.deepcopy(module).cpu().eval().requires_grad_(False)
    # On one thread, so that it is the same model wherever it is made.
    with limited_threads(one_thread=True), one_blas_thread(), torch.enable_grad():
        some = _some(X, _N_ROWS, rng)
        weights, products, metric = _feel(module, some, directions, rng)
        n_components = min(n_components, len(weights[0]))
        into, back, scale, lost = _leading(products, metric, n_components)
        A = _product(weights, into)  # (n_features, n_components)
    columns = _columns_that_matter(X, A, _LOST_BY_COLUMNS * lost)
    # Numbers of one size, of which rounding takes an equal share of each.
    _replace(module, weights, scale[:, None] * back)
    columns = columns.astype(np.int32)
    return module, InputReduction(len(A), columns, A[columns] / scale)


def _feel(module, X, directions, rng):
    """Return first weights, their products with rows, and the metric of these."""
    seen: list[tuple] = []
    generator = torch.Generator().manual_seed(rng.randint(2**31))
    outputs = module(_Probe(SparseRows.from_csr(X), seen))
    weights, products = zip(*seen, strict=True)
    spread = None if directions is None else _spread(directions, rng)
    metric = np.zeros(2 * (sum(weight.shape[1] for weight in weights),))
    for _ in range(_N_DRAWS):
        change = torch.randn(outputs.shape, generator=generator)
        change = change if spread is None else change @ spread
        scores = (outputs * change).sum()
        grads = torch.autograd.grad(scores, products, retain_graph=True)
        grad = torch.cat(grads, dim=1).numpy()
        metric += grad.T @ grad
    return weights, torch.cat(products, dim=1).detach().numpy(), metric


def _leading(products, metric, n_components):
    """Return R V, V^T R^-1, the sizes of the numbers and the share that is lost."""
    root, inverse = _roots(metric)
    gram = products.T.astype(np.float64) @ products
    values, vectors = np.linalg.eigh(root @ gram @ root)
    if not values[-1] > 0:
        raise ValueError(
            f"X has {len(products)} rows, in which nothing makes a difference to the "
            "scores; pass rows like those of training."
        )
    kept, vectors = values[-n_components:][::-1], vectors[:, : -n_components - 1 : -1]
    lost = max(0, 1 - kept.sum() / values.sum())
    scale = np.sqrt(np.maximum(kept, _MIN_EIGENVALUE * kept[0]))
    into, back, scale = (
        part.astype(np.float32) for part in (root @ vectors, vectors.T @ inverse, scale)
    )
    return into, back, scale, lost


def _some(A, n, rng):
    """Return at most `n` random rows."""
    if A.shape[0] <= n:
        return A
    return A[np.sort(rng.permutation(A.shape[0])[:n])]


def _spread(directions, rng):
    """Return S so that ``S e`` is like a random sum of the directions, e normal."""
    gram = 0
    for D in directions:
        some = _some(D, _N_LABELS, rng)
        gram = gram + len(D) / len(some) * (some.T @ some).astype(np.float64)
    return torch.from_numpy(_roots(gram)[0].astype(np.float32))


def _roots(A):
    """Return the root of a symmetric matrix, and its inverse."""
    values, vectors = np.linalg.eigh(A)
    values = np.maximum(values, max(_MIN_EIGENVALUE * values[-1], 1e-30))
    root = np.sqrt(values)
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def _product(weights, C):
    """Multiply weights that stand beside each other with C, without a copy of them."""
    parts = zip(weights, np.split(C, _starts(weights)), strict=True)
    return sum(weight.numpy() @ part for weight, part in parts)


def _starts(weights):
    """Return where the second and further weights begin, if they stand in a row."""
    return np.cumsum([weight.shape[1] for weight in weights])[:-1]


def _replace(module, weights, B):
    """Give the layers of these weights their parts of the columns of B, in place."""
    columns = np.split(B, _starts(weights), axis=1)
    parts = dict(zip(map(id, weights), columns, strict=True))
    for layer in module.modules():
        name = _WEIGHTS.get(type(layer), "")
        part = parts.get(id(getattr(layer, name, None)))
        if part is not None:
            weight = torch.from_numpy(np.ascontiguousarray(part))
            setattr(layer, name, nn.Parameter(weight, requires_grad=False))
        if hasattr(layer, "n_features"):
            layer.n_features = len(B)


def _columns_that_matter(X, A, max_lost):
    """Return the columns that make up all but a share of the squares of ``X @ A``."""
    squares = np.zeros(len(A))
    for _, block in csr_blocks(X):
        values = block.data.astype(np.float64)
        squares += np.bincount(block.indices, values**2, len(A))
    energy = squares * np.square(A, dtype=np.float64).sum(axis=1)
    order = np.argsort(energy, kind="stable")
    lost = np.cumsum(energy[order])
    n_left_out = np.searchsorted(lost, max_lost * lost[-1], side="right")
    return np.sort(order[n_left_out:])
