"""Products that round alike, against each other and against 64 bits."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from skxmc._nn import _steady, products_are_steady, steady_products
from skxmc._nn._arrays import as_tensor
from skxmc._nn._steady import steady_linear
from skxmc._nn._threads import limited_threads
from skxmc._stored import StoredRows

needs_onednn = pytest.mark.skipif(
    not products_are_steady(), reason="needs a oneDNN whose products round alike"
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_exact_but_for_rounding(products, h, weight, bias=0.0):
    exact = h.double() @ weight.double().T + bias
    lengths = torch.outer(h.double().norm(dim=1), weight.double().norm(dim=1))
    rounding = np.finfo(np.float32).eps * h.shape[1] * lengths + 1e-6
    assert ((products - exact).abs() <= rounding).all()


@pytest.fixture(params=["as found", "at one height"])
def either_way(request, monkeypatch):
    if request.param == "at one height":
        monkeypatch.setattr(_steady, "_onednn_is_steady", lambda: False)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("shape", [(1, 3), (3, 5), (70, 9), (159, 1183), (300, 33)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_row_is_rounded_alike_among_few_rows_and_among_many(shape, has_bias):
    h, weight = random(256, shape[1]), random(*shape, seed=1)
    bias = random(shape[0], seed=2) if has_bias else None
    # On one thread: several may share out few rows otherwise than many.
    with torch.inference_mode(), limited_threads(one_thread=True):
        together = steady_linear(h, weight, bias)
        for n_rows in (2, 8, 64, 128):
            parts = [steady_linear(some, weight, bias) for some in h.split(n_rows)]
            assert torch.equal(torch.cat(parts), together)
    assert_exact_but_for_rounding(together, h, weight, bias if has_bias else 0.0)


@needs_onednn
@pytest.mark.parametrize("size", [1, 17, 930, 1183])
def test_an_entry_is_rounded_alike_whatever_is_beside_it(size):
    rng = np.random.default_rng(0)
    A, B = random(200, size).numpy(), random(301, size, seed=1).numpy()
    whole = steady_products(A, B)
    assert_exact_but_for_rounding(
        torch.from_numpy(whole), *map(torch.from_numpy, (A, B))
    )
    for n_rows, n_columns in [(1, 301), (2, 1), (3, 2), (9, 100), (64, 17), (130, 64)]:
        rows = rng.permutation(200)[:n_rows]
        columns = rng.permutation(301)[:n_columns]
        part = steady_products(A[rows], B[columns])
        assert np.array_equal(part, whole[np.ix_(rows, columns)])


@needs_onednn
def test_an_entry_is_rounded_alike_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(_steady, "MIN_PARALLEL_WORK", 0)
    A, B = random(300, 519).numpy(), random(400, 519, seed=1).numpy()
    before, products = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            products.append(steady_products(A, B))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(products[0], products[1])
    assert np.array_equal(products[0], products[2])


@needs_onednn
def test_no_rows_and_no_columns_have_no_products():
    A = random(5, 4).numpy()
    assert steady_products(A[:0], A).shape == (0, 5)
    assert steady_products(A, A[:0]).shape == (5, 0)


@needs_onednn
def test_memory_that_is_only_to_be_read_is_neither_copied_nor_complained_of():
    A = random(64, 30).numpy()
    locked = A.copy()
    locked.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(steady_products(locked, locked), steady_products(A, A))
        tensor = as_tensor(locked)
    assert tensor.data_ptr() == locked.ctypes.data
    assert not locked.flags.writeable


@needs_onednn
def test_stored_weights_give_the_products_of_their_numbers():
    weight = random(1100, 70)
    stored = StoredRows(weight.numpy(), "float16")
    h, bias = random(9, 70, seed=1), random(1100, seed=2)
    with torch.inference_mode():
        found = steady_linear(h, stored, bias)
        expected = steady_linear(h, torch.from_numpy(stored[:])) + bias
    assert torch.equal(found, expected)


def test_products_are_not_steady_where_fewer_bits_are_allowed():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert not products_are_steady()
    finally:
        torch.set_float32_matmul_precision(before)


def rounds_few_rows_otherwise(h, weight, bias):
    return h @ weight.T * (1 + 1e-6 * (len(h) < 64))


def rounds_few_columns_otherwise(h, weight, bias):
    return h @ weight.T * (1 + 1e-6 * (len(weight) < 64))


def is_something_else(h, weight, bias):
    return (h @ weight.T).round()


def is_missing(h, weight, bias):
    raise AttributeError("no such operation")


def takes_something_else(h, weight, bias):
    raise RuntimeError("expected 7 arguments")


@pytest.mark.parametrize(
    "multiply",
    [
        rounds_few_rows_otherwise,
        rounds_few_columns_otherwise,
        is_something_else,
        is_missing,
        takes_something_else,
    ],
)
def test_a_library_that_does_otherwise_is_found_out(multiply, monkeypatch):
    monkeypatch.setattr(_steady, "_by_onednn", multiply)
    assert not _steady._onednn_is_steady.__wrapped__()


@pytest.fixture
def heights(monkeypatch):
    """Let a product be another one among eight rows; list the heights it is given."""
    seen = []

    def linear(h, weight, bias):
        seen.append(len(h))
        return h @ weight.T * (1 + 0.5 * (len(h) == 8))

    monkeypatch.setattr(_steady, "_onednn_is_steady", lambda: False)
    monkeypatch.setattr(_steady, "_tried", {})
    monkeypatch.setattr(_steady.F, "linear", linear)
    return seen


def test_few_rows_are_filled_up_where_they_would_be_rounded_otherwise(heights):
    h = torch.ones(8, 70)
    with torch.inference_mode():
        for weight in (torch.zeros(65, 70), torch.ones(65, 70)):
            assert torch.equal(steady_linear(h, weight), h @ weight.T)
    # The trial, once, though weights of zero tell nothing, and the two products.
    assert heights == [8] * 8 + [64] + [64, 64]


def test_large_weights_are_not_copied_for_a_trial(heights, monkeypatch):
    monkeypatch.setattr(_steady, "_MAX_TRIED", 65 * 70 - 1)
    with torch.inference_mode():
        steady_linear(torch.ones(8, 70), torch.ones(65, 70))
    assert heights == [64]


def test_a_product_is_left_whole_outside_of_inference():
    h = random(128, 70)
    weight = torch.ones(65, 70, requires_grad=True)
    assert torch.equal(steady_linear(h, weight), nn.functional.linear(h, weight))
    assert steady_linear(h, weight).requires_grad
