"""Products of whole numbers, against products of the numbers that they stand for."""

import gc
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from skxmc._nn import _byte_bags
from skxmc._nn import _whole_numbers as whole
from skxmc._nn._candidates import Candidates
from skxmc._nn._sparse import SparseRows
from skxmc._nn._tables import pair_products
from skxmc._stored import StoredRows

each_storage = pytest.mark.parametrize("storage", ["int8", "int4"])


def random(*shape, seed=0):
    """Draw rows of different sizes."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(*shape, generator=generator) * (1 + torch.arange(shape[0]))[:, None]
    )


def stored(n_rows, n_columns, storage="int8", n_exact=0):
    return StoredRows(random(n_rows, n_columns, seed=1).numpy(), storage, n_exact)


def largest_error(h, weight):
    """Bound how far rounding to a 254th of the largest can move each product."""
    h, decoded = h[:, : weight.n_rounded], weight[:][:, : weight.n_rounded]
    steps = np.abs(decoded).max(1) / 250, h.abs().amax(1).numpy() / 250
    by_row = steps[1][:, None] * np.abs(decoded).sum(1)
    by_weight = h.abs().sum(1).numpy()[:, None] * steps[0]
    return by_row + by_weight + h.shape[1] * steps[1][:, None] * steps[0]


def ragged(n_rows, n_nodes, share):
    """Choose candidates, of the first row none."""
    chosen = np.random.default_rng(0).random((n_rows, n_nodes)) < share
    chosen[0] = False
    pairs = (torch.from_numpy(part.copy()) for part in np.nonzero(chosen))
    return Candidates(*pairs, n_rows, n_nodes)


@pytest.fixture(params=["by int8", "by float"])
def multiply(request, monkeypatch):
    """Take either way to multiply whole numbers."""
    is_fast = request.param == "by int8"
    if is_fast and not whole._int_products_are_fast():
        pytest.skip("no fast products of int8 here")
    monkeypatch.setattr(whole, "_int_products_are_fast", lambda: is_fast)


@each_storage
@pytest.mark.parametrize("n_exact", [0, 1, 3])
@pytest.mark.usefixtures("multiply")
def test_products_are_those_of_the_numbers_but_for_rounding(storage, n_exact):
    weight, h = stored(700, 1100, storage, n_exact), random(40, 1100)
    bias = random(1, 700, seed=2)[0]
    found = whole.whole_linear(h, weight, bias).double()
    expected = h.double() @ torch.from_numpy(weight[:]).double().T + bias
    error = (found - expected).abs().numpy()
    assert (error <= largest_error(h, weight) + 1e-3).all()
    # Rounding errors have either sign: no bias, nor the bound, is ever come close to.
    assert error.mean() < 0.05 * largest_error(h, weight).mean()


@pytest.mark.usefixtures("multiply")
def test_what_8_bits_can_hold_is_multiplied_exactly():
    rng = np.random.default_rng(0)
    h, W = rng.integers(-127, 128, (20, 900)), rng.integers(-127, 128, (30, 900))
    h[:, 0] = W[:, -1] = 127
    weight = StoredRows(W.astype(np.float32), "int8")
    found = whole.whole_linear(torch.from_numpy(h.astype(np.float32)), weight)
    assert np.array_equal(found.numpy(), h @ W.T)


@pytest.mark.parametrize("n_columns", [1, 1040, 1041, 2600])
def test_both_ways_to_multiply_give_the_same_numbers(n_columns):
    a = torch.full((3, n_columns), 127, dtype=torch.int8)
    b = torch.full((n_columns, 5), -127, dtype=torch.int8)
    a[1, ::2], b[::3, 1] = -127, 126
    expected = (a.long() @ b.long()).int()
    assert torch.equal(whole._multiply_as_floats(a, b), expected)
    assert torch.equal(whole._multiply(a, b), expected)


@each_storage
def test_products_are_alike_bit_for_bit_whatever_is_beside_them(storage, monkeypatch):
    weight, h = stored(1300, 300, storage, n_exact=1), random(70, 300)
    products = whole.whole_linear(h, weight)
    for rows in (slice(0, 1), slice(3, 5), slice(1, 70)):
        assert torch.equal(whole.whole_linear(h[rows], weight), products[rows])
    some = whole.whole_linear(h, weight, rows=slice(500, 1100))
    assert torch.equal(some, products[:, 500:1100])
    beyond = whole.whole_products(h.numpy(), weight, slice(1200, 9999))
    assert np.array_equal(beyond, products[:, 1200:].numpy())
    chosen = np.array([7, 1299, 7, 0])
    few = whole.whole_products(h[:1].numpy(), weight, chosen)
    assert np.array_equal(few, products[:1, chosen].numpy())
    monkeypatch.setattr(whole, "_int_products_are_fast", lambda: False)
    assert torch.equal(whole.whole_linear(h, weight), products)


@each_storage
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_pairs_have_the_same_products(storage, share):
    weight, h = stored(130, 64, storage, n_exact=1), random(20, 64)
    candidates = ragged(17, 130, share)
    products = whole.whole_linear(h, weight)[candidates.rows, candidates.nodes]
    assert torch.equal(pair_products(weight, h, candidates), products)


@each_storage
def test_a_matrix_too_large_to_be_kept_gives_the_same_products(storage, monkeypatch):
    weight, h, candidates = (
        stored(600, 64, storage),
        random(9, 64),
        ragged(9, 600, 0.02),
    )
    expected = whole.whole_linear(h, weight), whole.whole_pairs(h, weight, candidates)
    monkeypatch.setattr(whole, "_MAX_KEPT", 10)
    fresh = pickle.loads(pickle.dumps(weight))
    assert torch.equal(whole.whole_linear(h, fresh), expected[0])
    assert torch.equal(whole.whole_pairs(h, fresh, candidates), expected[1])
    assert not whole.can_sum_bags(fresh)
    assert len(whole._kept.get(fresh, {})) == (storage == "int8")  # views of it alone


@each_storage
def test_rows_without_zeros_are_multiplied_from_the_other_side(storage):
    weight, h = stored(80, 500, storage), random(7, 80)
    found = whole.whole_matmul(h, weight)
    expected = h.double() @ torch.from_numpy(weight[:]).double()
    assert torch.equal(whole.whole_matmul(h[2:3], weight), found[2:3])
    assert (found - expected).norm() < 0.02 * expected.norm()


@each_storage
def test_sparse_rows_are_multiplied_with_the_numbers(storage):
    weight = stored(90, 33, storage)
    assert whole.can_sum_bags(weight)
    X = sp.random_array((50, 90), density=0.1, rng=0, dtype=np.float32, format="csr")
    X.data[X.indptr[3] : X.indptr[4]] = 0
    X.eliminate_zeros()  # of the fourth row nothing is left
    found = SparseRows.from_csr(X).matmul(weight)
    # 4 bits are unpacked to 8 first.
    step = np.abs(weight[:]).max(1) / 250 if storage == "int4" else np.zeros(90)
    assert (
        np.abs(found.numpy() - X @ weight[:]) <= abs(X) @ step[:, None] + 1e-4
    ).all()
    alone = [SparseRows.from_csr(X[[i]]).matmul(weight) for i in range(50)]
    assert torch.equal(torch.cat(alone), found)


def test_rows_of_zeros_and_of_huge_numbers():
    weight, h = stored(40, 64), random(4, 64)
    h[0], h[1] = 0, h[1] * 1e30
    found = whole.whole_linear(h, weight)
    assert torch.equal(found[0], torch.zeros(40))
    small = whole.whole_linear(h[1:2] / 1e30, weight)
    assert torch.allclose(found[1:2] / 1e30, small, rtol=1e-4)


def test_memory_that_is_only_to_be_read_is_not_copied():
    weight, h = stored(40, 64), random(3, 64)
    expected = whole.whole_linear(h, weight)
    locked = pickle.loads(pickle.dumps(weight))
    locked.data.flags.writeable = locked.exact.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(whole.whole_linear(h, locked), expected)
    numbers = whole._kept[locked][whole._unpacked][0]
    assert numbers.data_ptr() == locked.data.ctypes.data


def test_what_is_kept_is_neither_pickled_nor_outlives_the_matrix():
    weight = stored(300, 64, "int4")
    size = len(pickle.dumps(weight))
    gc.collect()
    n_kept = len(whole._kept)
    whole.whole_linear(random(3, 64), weight)
    assert len(pickle.dumps(weight)) == size
    assert len(whole._kept) == n_kept + 1
    del weight
    gc.collect()
    assert len(whole._kept) == n_kept


def test_16_bits_and_former_files_are_not_whole_numbers():
    A = random(20, 64).numpy()
    assert not whole.has_whole_numbers(A)
    assert not whole.has_whole_numbers(StoredRows(A, "float16"))
    assert not whole.has_whole_numbers(StoredRows(A, "int8", n_exact=64))
    former = StoredRows(A, "int8")
    former.scales = former.scales[:, None]
    assert not whole.has_whole_numbers(former)
    assert not whole.can_sum_bags(StoredRows(A, "int8", n_exact=1))


def saturates(a, b):
    """Add two products in 16 bits, as processors before VNNI do."""
    pairs = (a.long()[:, :, None] * b.long()[None]).view(len(a), -1, 2, b.shape[1])
    return pairs.sum(2).clamp(-(2**15), 2**15 - 1).sum(1).int()


def is_missing(*args):
    raise AttributeError("no such operation")


def takes_something_else(*args):
    raise RuntimeError("expected 7 arguments")


@pytest.mark.parametrize("other", [saturates, is_missing, takes_something_else])
def test_products_of_int8_that_cannot_be_relied_on_are_not_used(other, monkeypatch):
    monkeypatch.setattr(torch, "_int_mm", other)
    assert not whole._int_products_are_fast.__wrapped__()


def test_slow_products_of_int8_are_not_used(monkeypatch):
    monkeypatch.setattr(
        whole, "_seconds", lambda multiply, a, b: multiply is torch._int_mm
    )
    assert not whole._int_products_are_fast.__wrapped__()


@pytest.mark.parametrize("other", [is_missing, takes_something_else])
def test_rows_are_unpacked_where_bags_cannot_be_summed(other, monkeypatch):
    monkeypatch.setattr(_byte_bags, "sum_bags", other)
    assert not _byte_bags.bags_are_summed.__wrapped__()
    monkeypatch.setattr(whole, "bags_are_summed", lambda: False)
    weight = stored(90, 33)
    X = sp.random_array((5, 90), density=0.1, rng=0, dtype=np.float32, format="csr")
    found = SparseRows.from_csr(X).matmul(weight)
    assert np.allclose(found.numpy(), X @ weight[:], atol=1e-3)
