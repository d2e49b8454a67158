"""Tests of the copy of keys that single queries are searched for in."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from skxmc import DECLAREClassifier
from skxmc._neighbors import NeighborIndex, _dense, _exact
from skxmc._nn import _key_panels
from skxmc._nn._key_panels import KeyPanels, panels_of
from skxmc._stored import StoredRows
from skxmc.datasets import make_xmc_classification


def make_keys(n_keys=300, n_components=40, seed=0):
    """Make keys of which a component is nearly the same, and one that is long."""
    rng = np.random.default_rng(seed)
    keys = rng.standard_normal((n_keys, n_components)).astype(np.float32)
    keys[:, 0] = 50 + 0.01 * keys[:, 0]
    keys[-1] *= 1000
    return keys


def make_queries(n_queries, n_components=40):
    rng = np.random.default_rng(1)
    return rng.standard_normal((n_queries, n_components)).astype(np.float32)


@pytest.mark.parametrize("n_keys", [1, 64, 65, 300])
@pytest.mark.parametrize("values_at_once", [1, 100, 2**16])
def test_products_are_as_wrong_as_is_told_at_most(n_keys, values_at_once, monkeypatch):
    monkeypatch.setattr(_key_panels, "_VALUES_AT_ONCE", values_at_once)
    keys = make_keys(n_keys)
    panels = KeyPanels(keys)
    for query in make_queries(20):
        products, errors = panels.products(query[None])
        missing = np.abs(products - keys.astype(np.float64) @ query.astype(np.float64))
        assert (missing <= errors).all()
        # What is told is of use: a fiftieth of the lengths, the long key aside.
        assert (errors[:-64] < 0.02 * np.linalg.norm(query) * np.sqrt(40)).all()


@pytest.mark.parametrize("storage", ["float16", "int8", "int4"])
def test_products_with_stored_keys_are_those_of_a_search(storage):
    keys = StoredRows(make_keys()[:-1], storage, n_exact=2)
    queries = make_queries(9)
    panels = KeyPanels(keys)
    _, scores = _exact.search_exact(queries, keys, len(keys))
    for query, own in zip(queries, scores, strict=True):
        products, errors = panels.products(query[None])
        # Sorted, two lists differ nowhere by more than they do where they belong.
        assert np.abs(np.sort(products)[::-1] - own).max() <= errors.max() + 1e-3


@pytest.fixture
def of_any_size(monkeypatch):
    monkeypatch.setattr(_key_panels, "_MIN_KEPT", 0)
    monkeypatch.setattr(_dense, "_SINGLE_QUERIES", 2)


def spy(monkeypatch):
    """Record how many keys each copy is made of."""
    made = []

    def make(keys):
        made.append(len(keys))
        return panels_of(keys)

    monkeypatch.setattr(_dense, "panels_of", make)
    return made


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("n_copies", [1, 5])  # with copies, similarities tie
@pytest.mark.parametrize("storage", [None, "float16", "int8", "int4"])
@pytest.mark.parametrize("k", [1, 7, 250])
def test_one_query_finds_what_many_do(n_copies, storage, k, monkeypatch):
    made = spy(monkeypatch)
    keys = np.tile(make_keys(300 // n_copies), (n_copies, 1))
    index = NeighborIndex(keys, similarity="dot", kind="exact", n_neighbors=k)
    if storage is not None:
        index = index.compressed(storage)
    queries = make_queries(12)
    added = sp.random_array((12, len(keys)), density=0.05, rng=0, dtype=np.float32)
    for bonus in (None, (30 * added).tocsr()):
        together = index.search(queries, k, added=bonus)
        alone = [
            index.search(queries[[i]], k, added=None if bonus is None else bonus[[i]])
            for i in range(12)
        ]
        for part, own in zip(together, zip(*alone, strict=True), strict=True):
            assert np.array_equal(part, np.concatenate(own))
    assert made == [300]


@pytest.mark.usefixtures("of_any_size")
def test_the_copy_is_made_for_the_third_single_query(monkeypatch):
    made = spy(monkeypatch)
    index = NeighborIndex(make_keys(), similarity="dot", kind="exact", n_neighbors=3)
    for _ in range(5):
        index.search(make_queries(4), 3)
    index.search(make_queries(1), 3)
    index.search(make_queries(1), 3)
    assert made == []
    index.search(make_queries(1), 3)
    index.search(make_queries(1), 3)
    assert made == [300]


@pytest.mark.usefixtures("of_any_size")
def test_the_copy_is_neither_stored_nor_that_of_other_keys():
    index = NeighborIndex(make_keys(), similarity="dot", kind="exact", n_neighbors=3)
    before = pickle.dumps(index)
    for _ in range(4):
        index.search(make_queries(1), 3)
    assert index._panels is not None
    assert pickle.dumps(index) == before
    assert index.compressed("int8")._panels is None


@pytest.mark.usefixtures("of_any_size")
def test_a_model_that_answered_single_rows_is_saved_as_before(tmp_path):
    X, Y = make_xmc_classification(60, 30, 12, random_state=0)
    model = DECLAREClassifier(random_state=0).fit(X, Y)
    before = model.save(tmp_path / "before.skxmc")  # its digest
    for _ in range(4):
        model.predict_topk(X[[0]], k=3)
    assert model._index._panels is not None
    assert model.save(tmp_path / "after.skxmc") == before


def test_few_keys_and_too_many_have_no_copy(monkeypatch):
    keys = make_keys()
    assert panels_of(keys) is None
    monkeypatch.setattr(_key_panels, "_MIN_KEPT", keys.size)
    assert panels_of(keys) is not None
    monkeypatch.setattr(_key_panels, "_MAX_KEPT", keys.size - 1)
    assert panels_of(keys) is None


@pytest.mark.usefixtures("of_any_size")
def test_without_the_kernel_there_is_no_copy(monkeypatch):
    monkeypatch.setattr(_key_panels, "bags_are_summed", lambda: False)
    assert panels_of(make_keys()) is None


@pytest.mark.usefixtures("of_any_size")
def test_keys_beyond_float32s_squares_are_found():
    keys = make_keys()
    keys[7] = 1e30
    index = NeighborIndex(keys, similarity="dot", kind="exact", n_neighbors=1)
    query = np.ones((1, 40), dtype=np.float32)
    for _ in range(4):
        with np.errstate(over="ignore", invalid="ignore"):
            assert index.search(query, 1)[0] == [[7]]
