"""Sparse rows as tensors, and the linear map on them whose gradient stays sparse."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from skxmc._nn._threads import MIN_PARALLEL_WORK, limited_threads
from skxmc._nn._whole_numbers import can_sum_bags, stored_bags
from skxmc._stored import StoredRows


class SparseRows:
    """Rows of a CSR matrix as the three tensors that `embedding_bag` takes.

    Parameters
    ----------
    indices : int64 tensor of shape (nnz,)
        Column of each stored value.
    offsets : int64 tensor of shape (n_rows + 1,)
        Where each row begins in `indices`; the last entry is nnz.
    values : float32 tensor of shape (nnz,)
        The stored values.
    """

    __slots__ = ("_grouped", "indices", "offsets", "values")

    def __init__(self, indices, offsets, values, grouped=None):
        self.indices, self.offsets, self.values = indices, offsets, values
        # By column, once it is known; all scaled copies share it.
        self._grouped = [] if grouped is None else grouped

    @classmethod
    def from_csr(cls, X, n_rows=None):
        """Copy a scipy CSR matrix: torch wants its own types and writable memory.

        Empty rows are added up to `n_rows`.
        """
        n_true = len(X.indptr) - 1
        offsets = np.full((n_rows or n_true) + 1, X.indptr[-1], dtype=np.int64)
        offsets[: n_true + 1] = X.indptr
        return cls(
            torch.from_numpy(X.indices.astype(np.int64)),
            torch.from_numpy(offsets),
            torch.from_numpy(X.data.astype(np.float32)),
        )

    def __len__(self):
        return len(self.offsets) - 1

    def to(self, device):
        """Return the same rows on `device`."""
        parts = self.indices, self.offsets, self.values
        return SparseRows(*(part.to(device) for part in parts))

    def scaled(self, factor):
        """Return the rows multiplied by a number."""
        values = self.values * factor
        return SparseRows(self.indices, self.offsets, values, self._grouped)

    def matmul(self, weight):
        """Multiply with a dense (n_columns, n_outputs) tensor, or `StoredRows`."""
        if can_sum_bags(weight):
            return stored_bags(self, weight)
        if isinstance(weight, StoredRows):
            columns, indices = torch.unique(self.indices, return_inverse=True)
            few = SparseRows(indices, self.offsets, self.values)
            return few.matmul(torch.from_numpy(weight[columns.numpy()]))
        return F.embedding_bag(
            self.indices,
            weight,
            self.offsets,
            mode="sum",
            per_sample_weights=self.values,
            include_last_offset=True,
        )

    def transposed(self):
        """Return the columns that occur, sorted, and their entries as `SparseRows`.

        The gradient of ``x @ W`` is ``x.T @ grad``: with the entries grouped by column
        it is a second `matmul`, and only the rows of W that occur in x come out.
        """
        if not self._grouped:
            self._grouped.extend(self._group())
        columns, order, rows, offsets = self._grouped
        return columns, SparseRows(rows, offsets, self.values[order])

    def _group(self):
        order = torch.argsort(self.indices, stable=True)
        columns, counts = torch.unique_consecutive(
            self.indices[order], return_counts=True
        )
        row_of = torch.repeat_interleave(
            torch.arange(len(self), device=order.device),
            self.offsets.diff(),
            output_size=len(order),  # else a GPU is waited for, to know it
        )
        offsets = F.pad(counts.cumsum(0), (1, 0))
        return columns, order, row_of[order], offsets

    def blocks(self, size):
        """Yield consecutive blocks of at most `size` rows."""
        if 0 < len(self) <= size:  # reading where it ends would wait for a GPU
            yield self
            return
        for start in range(0, len(self), size):
            offsets = self.offsets[start : start + size + 1]
            first, last = int(offsets[0]), int(offsets[-1])
            yield SparseRows(
                self.indices[first:last], offsets - first, self.values[first:last]
            )


class SparseProduct:
    """A CSR matrix to multiply with dense arrays: several times as fast as scipy's.

    Parameters
    ----------
    X : csr_array of shape (n_rows, n_columns), float32
        Its memory is shared where torch can.
    """

    def __init__(self, X):
        self.rows = SparseRows(
            *(
                torch.from_numpy(np.require(part, requirements="W"))
                for part in (X.indices, X.indptr, X.data)
            )
        )

    def __matmul__(self, A):
        """Compute ``X @ A`` for a float32 ndarray (n_columns, n_outputs)."""
        is_small = len(self.rows.indices) * A.shape[1] < MIN_PARALLEL_WORK
        with limited_threads(is_small):
            return self.rows.matmul(torch.from_numpy(A)).numpy()


class RowGradient(NamedTuple):
    """The gradient ``x.T @ grad_output`` of a table, kept as its two factors."""

    x: SparseRows
    grad_output: torch.Tensor

    def blocks(self, size):
        """Yield (rows, gradient of these rows), at most `size` distinct rows a time."""
        columns, xt = self.x.transposed()
        for start, block in zip(range(0, len(xt), size), xt.blocks(size), strict=True):
            yield columns[start : start + size], block.matmul(self.grad_output)


class DenseGradient(NamedTuple):
    """The gradient ``grad.T @ features`` of some rows of a table, all different."""

    grad: torch.Tensor
    features: torch.Tensor
    rows: torch.Tensor

    def blocks(self, size):
        """Yield (rows, gradient of these rows), at most `size` rows a time.

        As many in each block: products of 5 to 11 rows, as could be left for a last
        one, MKL rounds otherwise on other numbers of threads.
        """
        n_blocks = max(1, math.ceil(len(self.rows) / size))
        for rows, grad in zip(
            self.rows.tensor_split(n_blocks),
            self.grad.tensor_split(n_blocks, dim=1),
            strict=True,
        ):
            yield rows, grad.T @ self.features


class _SparseMatmul(torch.autograd.Function):
    """``x @ weight`` that leaves a `RowGradient` on the weight instead of ``.grad``."""

    @staticmethod
    def forward(ctx, weight, x):
        ctx.weight, ctx.x = weight, x
        return x.matmul(weight)

    @staticmethod
    def backward(ctx, grad_output):
        ctx.weight.row_gradients.append(RowGradient(ctx.x, grad_output.contiguous()))
        return None, None


class SparseLinear(nn.Module):
    """Linear map of sparse rows, ``x @ weight``, with a row-sparse gradient.

    A batch touches few of the `in_features` rows of the table. The gradient of the
    others is zero and is never formed: the backward pass leaves its two factors in
    ``weight.row_gradients``, from which `RowSparseAdamW` updates the touched rows,
    block by block. No other optimiser trains this module.

    Parameters
    ----------
    in_features, out_features : int
        Shape of the table.
    std : float
        Standard deviation of the initial weights.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(self, in_features, out_features, *, std, generator):
        super().__init__()
        weight = torch.empty(in_features, out_features)
        self.weight = nn.Parameter(weight.normal_(0, std, generator=generator))

    def forward(self, x):
        """Map `SparseRows` (n_rows, in_features) to (n_rows, out_features)."""
        if is_trained(self.weight):
            # Set here, not in __init__: a copied parameter loses its attributes.
            vars(self.weight).setdefault("row_gradients", [])
            return _SparseMatmul.apply(self.weight, x)
        return x.matmul(self.weight)


def is_trained(weight):
    """Whether a gradient of a parameter is wanted; not of `StoredRows`."""
    return torch.is_grad_enabled() and getattr(weight, "requires_grad", False)
