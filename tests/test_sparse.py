"""Sparse rows, against dense products and torch's own gradients."""

import copy

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skxmc._nn import SparseProduct
from skxmc._nn._optim import RowSparseAdamW
from skxmc._nn._sparse import DenseGradient, SparseLinear, SparseRows
from skxmc._nn._threads import thread_count

N_COLUMNS = 6
# Small whole numbers: every sum is exact in float32, so that results can be compared
# bit for bit whatever the order of summation.
VALUES = st.integers(-4, 4)


@st.composite
def csr_rows(draw, min_rows=0):
    """Draw a CSR with unsorted and repeated indices, and the dense array it means."""
    entry = st.tuples(st.integers(0, N_COLUMNS - 1), VALUES)
    rows = draw(st.lists(st.lists(entry, max_size=5), min_size=min_rows, max_size=7))
    dense = np.zeros((len(rows), N_COLUMNS), dtype=np.float32)
    for i, row in enumerate(rows):
        for column, value in row:
            dense[i, column] += value
    X = sp.csr_array(dense.shape, dtype=draw(st.sampled_from([np.float32, np.int64])))
    X.indices = np.array([c for row in rows for c, _ in row], dtype=np.int32)
    X.data = np.array([v for row in rows for _, v in row], dtype=X.dtype)
    X.indptr = np.append(0, np.cumsum([len(row) for row in rows])).astype(np.int32)
    return X, dense


def to_dense(x, n_columns=N_COLUMNS):
    """Expand `SparseRows` entry by entry."""
    dense = np.zeros((len(x), n_columns), dtype=np.float32)
    for i in range(len(x)):
        for entry in range(x.offsets[i], x.offsets[i + 1]):
            dense[i, x.indices[entry]] += x.values[entry].item()
    return dense


def whole_numbers(shape):
    return hnp.arrays(np.float32, shape, elements=VALUES)


def dense_gradient(weight):
    """Add up the row-sparse gradients of a table in a dense array."""
    total = np.zeros(weight.shape, dtype=np.float32)
    for gradient in weight.row_gradients:
        for rows, g in gradient.blocks(2):
            assert len(rows) <= 2
            np.add.at(total, rows.numpy(), g.detach().numpy())
    return total


@settings(deadline=None)
@given(csr_rows(), whole_numbers((N_COLUMNS, 3)))
def test_matmul_is_the_dense_product(X_and_dense, weight):
    X, dense = X_and_dense
    product = SparseRows.from_csr(X).matmul(torch.from_numpy(weight))
    np.testing.assert_array_equal(product.numpy(), dense @ weight)


@settings(deadline=None)
@given(csr_rows())
def test_transposed_lists_the_columns_that_occur_once_and_sorted(X_and_dense):
    X, dense = X_and_dense
    columns, xt = SparseRows.from_csr(X).transposed()
    assert columns.tolist() == sorted(set(X.indices.tolist()))
    restored = np.zeros_like(dense)
    restored[:, columns.numpy()] = to_dense(xt, n_columns=len(dense)).T
    np.testing.assert_array_equal(restored, dense)


@settings(deadline=None)
@given(csr_rows(), st.integers(1, 8))
def test_blocks_cut_the_rows_in_order(X_and_dense, size):
    X, dense = X_and_dense
    blocks = [to_dense(block) for block in SparseRows.from_csr(X).blocks(size)]
    expected = [dense[start : start + size] for start in range(0, len(dense), size)]
    assert len(blocks) == len(expected)
    for block, rows in zip(blocks, expected, strict=True):
        np.testing.assert_array_equal(block, rows)


def test_scaled_multiplies_the_values_of_a_copy():
    x = SparseRows.from_csr(sp.csr_array(np.array([[2.0, 0, -6], [0, 4, 0]])))
    np.testing.assert_array_equal(to_dense(x.scaled(0.5), 3), [[1, 0, -3], [0, 2, 0]])
    np.testing.assert_array_equal(to_dense(x, 3), [[2, 0, -6], [0, 4, 0]])


def test_scaled_rows_are_sorted_by_column_once():
    x = SparseRows.from_csr(sp.csr_array(np.array([[2.0, 0, -6], [0, 4, 0]])))
    halved = x.scaled(0.5)
    columns, xt = halved.transposed()
    assert x.transposed()[0] is columns
    np.testing.assert_array_equal(to_dense(xt, 2), [[1, 0], [0, 2], [-3, 0]])
    np.testing.assert_array_equal(
        to_dense(x.transposed()[1], 2), [[2, 0], [0, 4], [-6, 0]]
    )


def test_from_csr_shares_no_memory_with_the_matrix():
    X = sp.csr_array(np.eye(3, dtype=np.float32))
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False  # torch warns about such memory
    x = SparseRows.from_csr(X)
    x.values.zero_(), x.indices.zero_()
    np.testing.assert_array_equal(X.toarray(), np.eye(3))


@settings(deadline=None, max_examples=40)
@given(
    csr_rows(min_rows=1),
    whole_numbers((N_COLUMNS, 3)),
    st.integers(1, 3),
)
def test_row_gradient_is_torchs_dense_gradient(X_and_dense, weight, n_uses):
    X, dense = X_and_dense
    layer = SparseLinear(*weight.shape, std=0, generator=None)
    layer.weight.data = torch.from_numpy(weight)
    reference = torch.from_numpy(weight).requires_grad_()

    def loss(outputs):
        return sum((use + 1) * out.tanh().square().sum() for use, out in outputs)

    uses = range(n_uses)
    x = SparseRows.from_csr(X)
    loss((use, layer(x)) for use in uses).backward()
    loss((use, torch.from_numpy(dense) @ reference) for use in uses).backward()
    assert len(layer.weight.row_gradients) == n_uses
    assert layer.weight.grad is None
    np.testing.assert_allclose(
        dense_gradient(layer.weight), reference.grad.numpy(), rtol=1e-5, atol=1e-5
    )


def linear(n_features=5, n_outputs=2):
    generator = torch.Generator().manual_seed(0)
    return SparseLinear(n_features, n_outputs, std=1.0, generator=generator)


def test_rows_that_no_batch_touches_have_no_gradient():
    layer = linear()
    x = SparseRows.from_csr(sp.csr_array(([1.0, 2.0], [3, 1], [0, 1, 1, 2])))
    layer(x).sum().backward()
    (gradient,) = layer.weight.row_gradients
    assert [rows.tolist() for rows, _ in gradient.blocks(10)] == [[1, 3]]


@pytest.mark.parametrize("frozen", [True, False])
def test_a_pass_without_gradient_leaves_none(frozen):
    layer = linear().requires_grad_(not frozen)
    x = SparseRows.from_csr(sp.csr_array(np.ones((2, 5))))
    with torch.set_grad_enabled(frozen):
        assert not layer(x).requires_grad
    assert not getattr(layer.weight, "row_gradients", [])


def test_a_copied_module_trains_apart_from_the_original():
    original = linear()
    x = SparseRows.from_csr(sp.csr_array(np.ones((2, 5))))
    original(x).sum().backward()
    before = original.weight.detach().clone()
    twin = copy.deepcopy(original)
    optimizer = RowSparseAdamW(twin.parameters(), lr=0.1)
    twin(x).sum().backward()
    optimizer.step()
    assert (twin.weight < before).all()
    assert torch.equal(original.weight, before)
    assert len(original.weight.row_gradients) == 1


@settings(deadline=None)
@given(csr_rows(), st.integers(1, 5), st.data())
def test_sparse_product_is_the_dense_one(X_and_dense, n_outputs, data):
    X, dense = X_and_dense
    A = data.draw(whole_numbers((N_COLUMNS, n_outputs)))
    X = X.astype(np.float32)
    X.data.flags.writeable = X.indices.flags.writeable = False
    np.testing.assert_array_equal(SparseProduct(X) @ A, dense @ A)


@pytest.mark.parametrize("n_rows", [0, 1, 7, 40, 47, 1031])
def test_blocks_of_a_dense_gradient_are_alike_in_size_and_on_any_threads(n_rows):
    rng = np.random.default_rng(0)
    grad = torch.tensor(rng.normal(size=(256, n_rows)), dtype=torch.float32)
    features = torch.tensor(rng.normal(size=(256, 385)), dtype=torch.float32)
    found = []
    for n_threads in (1, 2):
        with thread_count(n_threads):
            blocks = DenseGradient(grad, features, torch.arange(n_rows)).blocks(40)
            rows, parts = zip(*blocks, strict=True)
        sizes = [*map(len, rows)]
        assert max(sizes) <= 40
        assert max(sizes) - min(sizes) <= 1
        assert torch.equal(torch.cat(rows), torch.arange(n_rows))
        found.append(torch.cat(parts))
    assert torch.allclose(found[0], grad.T @ features, atol=1e-3)
    if n_rows >= 12:
        assert torch.equal(*found)
