"""A vector for each label, of which a batch reads and trains only a few."""

import warnings

import numpy as np
import torch
from torch import nn

from skxmc._nn._group_products import GroupProducts, bundles
from skxmc._nn._sparse import DenseGradient, RowGradient, SparseRows, is_trained
from skxmc._nn._steady import steady_linear
from skxmc._nn._whole_numbers import has_whole_numbers, whole_pairs
from skxmc._stored import StoredRows

_HAVE_SAMPLED_PRODUCT = ("cpu", "cuda")

with warnings.catch_warnings():
    # torch says once a process that its CSR tensors may change; here they are only a
    # way to pass three arrays to one function.
    warnings.simplefilter("ignore", UserWarning)
    torch.sparse_csr_tensor([0, 1], [0], [0.0], (1, 1), check_invariants=False)


class LabelTable(nn.Module):
    """Linear scores of chosen (row, label) pairs, with a row-sparse gradient.

    ``score(i, j) = features[i] @ weight[j, :-1] + weight[j, -1]``. The backward pass
    leaves a `RowGradient` on the weight, from which `RowSparseAdamW` updates the rows
    of the labels in the batch, and no others.

    Parameters
    ----------
    bias : float32 array of shape (n_labels,)
        Initial bias of each label; the vectors start at zero.
    n_features : int
        Length of the vectors.
    """

    def __init__(self, bias, n_features):
        super().__init__()
        weight = torch.zeros(len(bias), n_features + 1)
        weight[:, -1] = torch.as_tensor(bias)
        self.weight = nn.Parameter(weight)

    @classmethod
    def from_array(cls, weight):
        """Start from a float32 array (n_labels, n_features + 1).

        On the CPU it shares the array's memory, and trains it in place.
        """
        table = cls(weight[:0, -1], weight.shape[1] - 1)
        table.weight = nn.Parameter(torch.from_numpy(weight))
        return table

    @property
    def array(self):
        """The vectors with their biases, an ndarray (n_labels, n_features + 1)."""
        return self.weight.detach().cpu().numpy()

    @property
    def directions(self):
        """The vectors without their biases, an ndarray (n_labels, n_features)."""
        return self.array[:, :-1]

    @property
    def span(self):
        """The labels that the table has."""
        return slice(0, len(self.weight))

    def forward(self, features, candidates):
        """Score `candidates`, tensor of shape (n_pairs,); features are (n_rows, d)."""
        features = with_ones(features)
        if is_trained(self.weight):
            # Set here, not in __init__: a copied parameter loses its attributes.
            vars(self.weight).setdefault("row_gradients", [])
            return _PairProducts.apply(self.weight, features, candidates)
        return pair_products(self.weight, features, candidates)

    def pool_scores(self, features, pool):
        """Score the labels `pool`, all different, for all rows: (n_rows, n_pool)."""
        features = with_ones(features)
        if is_trained(self.weight):
            vars(self.weight).setdefault("row_gradients", [])
            return _PoolProducts.apply(self.weight, features, pool)
        return features @ self.weight[pool].T

    def group_scores(self, features, rows, groups, group_size):
        """Score all labels of some groups of each row, with a row-sparse gradient.

        Parameters
        ----------
        features : float tensor of shape (n_rows, d)
        rows, groups : int64 tensors of shape (n_pairs,)
            Which group is scored for which row, sorted by group.
        group_size : int
            Group g has the labels ``g * group_size`` to ``(g + 1) * group_size - 1``.

        Returns
        -------
        scores : float tensor of shape (n_pairs, group_size)
            0 for those of the last group's labels that do not exist.
        """
        vars(self.weight).setdefault("row_gradients", [])
        parts = bundles(rows, groups, group_size, self.span)
        shape = len(rows), group_size
        return GroupProducts.apply(self.weight, with_ones(features), parts, shape)

    def all_scores(self, features):
        """Score all labels, shape (n_rows, n_labels)."""
        return steady_linear(with_ones(features), self.weight)


def prior_bias(counts, totals, is_exclusive):
    """Return the bias that predicts frequencies alone, pulled towards 1/2 a little.

    Parameters
    ----------
    counts, totals : ndarray or int
        How many rows have each label, of how many.
    is_exclusive : bool
        Whether the probabilities are a softmax or a sigmoid each.
    """
    bias = np.log(counts + 0.5)
    if not is_exclusive:
        bias -= np.log(totals - counts + 0.5)
    return bias.astype(np.float32)


def with_ones(features):
    """Append a column of ones, which the bias multiplies."""
    return nn.functional.pad(features, (0, 1), value=1.0)


def pair_products(weight, features, candidates):
    """Compute ``features[row] @ weight[node]`` for each candidate.

    Each product is computed by itself, so that it is rounded alike in every batch; or
    all of them at once, where all are wanted in every batch. Of more features than the
    candidates have rows, the last are those of padding.
    """
    if candidates.is_complete:
        return steady_linear(features, weight)[: candidates.n_rows].flatten()
    features = features[: candidates.n_rows]
    if has_whole_numbers(weight):
        return whole_pairs(features, weight, candidates)
    if isinstance(weight, StoredRows):
        nodes, places = torch.unique(candidates.nodes, return_inverse=True)
        weight = torch.from_numpy(weight[nodes.numpy()])
        rows, n_rows = candidates.rows, candidates.n_rows
        candidates = type(candidates)(rows, places, n_rows, len(nodes))
    if weight.device.type not in _HAVE_SAMPLED_PRODUCT:
        return (features[candidates.rows] * weight[candidates.nodes]).sum(1)
    offsets, nodes = candidates.offsets, candidates.nodes
    shape = (candidates.n_rows, candidates.n_nodes)
    zeros = features.new_zeros(len(nodes))
    where = torch.sparse_csr_tensor(
        offsets, nodes, zeros, shape, check_invariants=False
    )
    return torch.sparse.sampled_addmm(where, features, weight.T, beta=0.0).values()


class _PairProducts(torch.autograd.Function):
    """`pair_products` whose gradient of the weight stays sparse."""

    @staticmethod
    def forward(ctx, weight, features, candidates):
        ctx.weight, ctx.features, ctx.candidates = weight, features, candidates
        return pair_products(weight, features, candidates)

    @staticmethod
    def backward(ctx, grad_output):
        weight, features, candidates = ctx.weight, ctx.features, ctx.candidates
        ctx.candidates = None  # the graph outlives the optimiser's step
        if candidates.is_complete:
            grad = grad_output.reshape(len(features), len(weight))
            rows = torch.arange(len(weight), device=weight.device)
            weight.row_gradients.append(DenseGradient(grad, features, rows))
            return None, grad @ weight, None
        x = SparseRows(candidates.nodes, candidates.offsets, grad_output.contiguous())
        weight.row_gradients.append(RowGradient(x, features))
        return None, x.matmul(weight), None


class _PoolProducts(torch.autograd.Function):
    """``features @ weight[pool].T`` whose gradient of the weight stays sparse."""

    @staticmethod
    def forward(ctx, weight, features, pool):
        ctx.weight, ctx.features, ctx.pool = weight, features, pool
        ctx.vectors = weight[pool]  # (n_pool, d)
        return features @ ctx.vectors.T

    @staticmethod
    def backward(ctx, grad_output):
        gradient = DenseGradient(grad_output, ctx.features, ctx.pool)
        ctx.weight.row_gradients.append(gradient)
        return None, grad_output @ ctx.vectors, None
