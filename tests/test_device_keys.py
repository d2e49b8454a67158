"""Candidates found on a device, against the search on the CPU."""

import pickle
import warnings

import numpy as np
import pytest
import torch

import skxmc
from skxmc import DECLAREClassifier
from skxmc._neighbors import NeighborIndex, _exact, normalize_rows, search_exact
from skxmc._nn import _device_keys, keys_on
from skxmc._nn._device_keys import DeviceKeys
from skxmc._stored import StoredRows
from skxmc.datasets import make_xmc_classification

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device"
)


def vectors(n, size=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, size)).astype(np.float32)


def whole_vectors(n, size=3, seed=0):
    """Draw vectors of small whole numbers, many of them equal."""
    rng = np.random.default_rng(seed)
    return rng.integers(-2, 3, size=(n, size)).astype(np.float32)


@pytest.fixture
def free_memory(monkeypatch):
    """Stand in for a GPU with some free memory, whose tensors are the CPU's."""

    def install(n_bytes):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (n_bytes, 0))
        monkeypatch.setattr(
            _device_keys, "DeviceKeys", lambda keys, device: DeviceKeys(keys, CPU)
        )

    return install


@pytest.mark.parametrize("max_scores", [1, 700, 2**27])
def test_candidates_are_those_of_a_sort(monkeypatch, max_scores):
    monkeypatch.setattr(_device_keys, "_MAX_SCORES", max_scores)
    queries, keys = vectors(20), vectors(300, seed=1)
    indices, scores = DeviceKeys(keys, CPU).rank_roughly(queries, 9)
    similarities = queries @ keys.T
    np.testing.assert_array_equal(indices, np.argsort(-similarities, axis=1)[:, :9])
    expected = np.take_along_axis(similarities, indices, axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("make", [vectors, whole_vectors])
@pytest.mark.parametrize("n_keys", [5, 2000])
def test_a_search_with_them_finds_the_same(make, n_keys, monkeypatch):
    queries, keys = make(700), make(n_keys, seed=1)
    on_device = DeviceKeys(keys, CPU)
    found = search_exact(queries, keys, 5, on_device=on_device)
    expected = search_exact(queries, keys, 5)
    assert_same_but_for_rounding(found, expected, queries, keys)
    monkeypatch.setattr(_exact, "products_are_steady", lambda: False)
    for part, same in zip(found, search_exact(queries, keys, 5), strict=True):
        np.testing.assert_array_equal(part, same)


def assert_same_but_for_rounding(found, expected, queries, keys):
    """Compare rankings, of which keys may change places that score nearly the same."""
    products = queries.astype(np.float64) @ keys.T
    own = np.take_along_axis(products, found[0], axis=1)
    for scores in (expected[1], own):
        np.testing.assert_allclose(found[1], scores, rtol=1e-5, atol=1e-5)
    assert (found[0] == expected[0]).mean() > 0.999


def test_they_take_no_memory_that_is_not_there(free_memory):
    keys = vectors(100)
    free_memory(2 * keys.nbytes)
    assert keys_on(CUDA, keys) is not None
    free_memory(2 * keys.nbytes - 1)
    assert keys_on(CUDA, keys) is None


def test_they_are_kept_for_the_next_search(free_memory):
    keys = vectors(100)
    free_memory(2**30)
    first = keys_on(CUDA, keys)
    first.device = CUDA
    assert keys_on(CUDA, keys, first) is first
    assert keys_on(torch.device("cuda:1"), keys, first) is not first


def test_what_is_searched_on_the_cpu(free_memory):
    keys = vectors(100)
    free_memory(2**30)
    assert keys_on(None, keys) is None
    assert keys_on(CPU, keys) is None
    assert keys_on(CUDA, StoredRows(keys, "int8")) is None


def test_products_of_fewer_bits_find_no_candidates(free_memory):
    free_memory(2**30)
    usual = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        assert keys_on(CUDA, vectors(100)) is None
    finally:
        torch.set_float32_matmul_precision(usual)


def test_keys_of_a_file_are_searched(tmp_path):
    keys, queries = vectors(100), vectors(7, seed=1)
    np.save(tmp_path / "keys.npy", keys)
    mapped = np.load(tmp_path / "keys.npy", mmap_mode="r")
    indices, _ = DeviceKeys(mapped, CPU).rank_roughly(queries, 3)
    np.testing.assert_array_equal(
        indices, DeviceKeys(keys, CPU).rank_roughly(queries, 3)[0]
    )


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_an_index_searches_there_and_stores_none_of_it(free_memory, similarity):
    free_memory(2**30)
    index = NeighborIndex(
        vectors(2000), similarity=similarity, kind="exact", n_neighbors=5
    )
    queries = normalize_rows(vectors(30, seed=1))
    expected, size = index.search(queries, 5), len(pickle.dumps(index))
    found = index.search(queries, 5, CUDA)
    assert_same_but_for_rounding(found, expected, queries, index.keys)
    assert len(pickle.dumps(index)) == size
    assert index.compressed("int8")._on_device is None


def test_a_model_that_has_searched_there_is_saved_without_it(tmp_path):
    X, Y = make_xmc_classification(60, 30, 12, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # labels without a row
        model = DECLAREClassifier(random_state=0).fit(X, Y)
    model.save(tmp_path / "before.skxmc")
    model._index._on_device = DeviceKeys(model._index.keys, CPU)
    model.save(tmp_path / "after.skxmc")
    sizes = {path.stat().st_size for path in tmp_path.iterdir()}
    assert len(sizes) == 1
    loaded = skxmc.load(tmp_path / "after.skxmc")
    for part, same in zip(
        loaded.predict_topk(X, k=3), model.predict_topk(X, k=3), strict=True
    ):
        np.testing.assert_array_equal(part, same)


@pytest.mark.gpu
@needs_cuda
def test_a_gpu_finds_what_the_cpu_finds():
    queries, keys = vectors(700, 256), vectors(50_000, 256, seed=1)
    on_device = keys_on(CUDA, keys)
    assert on_device.keys.is_cuda
    expected = search_exact(queries, keys, 20)
    found = search_exact(queries, keys, 20, on_device=on_device)
    assert_same_but_for_rounding(found, expected, queries, keys)
