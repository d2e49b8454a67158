"""Keys in clusters, against all keys of the clusters nearest to a query."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from test_neighbors import clustered

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, load
from skxmc._model_schema import _restore_clusters
from skxmc._neighbors import (
    KeyClusters,
    NeighborIndex,
    _dense,
    normalize_rows,
    search_exact,
)
from skxmc._neighbors._clusters import cluster_keys, map_nearest_others
from skxmc._nn import products_are_steady
from skxmc._stored import StoredRows

pytestmark = pytest.mark.skipif(
    not products_are_steady(), reason="all keys are searched on this machine"
)
K, N_KEYS, N_CLUSTERS = 7, 2500, 100  # twice the root of it


def unit_keys(n=N_KEYS, seed=0):
    return normalize_rows(clustered(n, 16, seed))


@pytest.fixture
def parts():
    """Keys as they stood, clusters and the keys in their order, and queries."""
    keys, queries = unit_keys(), unit_keys(90, seed=0)
    moved = keys.copy()
    return keys, cluster_keys(moved, keys[::10], K), moved, queries


@pytest.fixture
def few_exact(monkeypatch):
    """Search clusters of more than 500 keys."""
    monkeypatch.setattr(_dense, "_MAX_EXACT_COSINES", 500)


def test_keys_are_put_in_the_order_of_their_clusters(parts):
    keys, clusters, moved, _ = parts
    assert sorted(clusters.numbers) == [*range(len(keys))]
    assert np.array_equal(moved, keys[clusters.numbers])
    assert len(clusters.centroids) == N_CLUSTERS
    for number, (start, stop) in enumerate(
        zip(clusters.starts[:-1], clusters.starts[1:], strict=True)
    ):
        own = moved[start:stop] @ clusters.centroids.T
        assert (own.argmax(axis=1) == number).all()
        assert (np.diff(clusters.numbers[start:stop]) > 0).all()


def test_search_ranks_the_keys_of_the_nearest_clusters(parts):
    keys, clusters, moved, queries = parts
    indices, similarities = clusters.search(queries, moved, K)
    assert indices.dtype == np.intp
    near = np.argsort(-(queries @ clusters.centroids.T), axis=1)[:, :16]
    assert clusters.n_searched == 16
    products = queries @ keys.T
    owner = np.repeat(np.arange(N_CLUSTERS), np.diff(clusters.starts))
    cluster_of = np.empty(len(keys), dtype=int)
    cluster_of[clusters.numbers] = owner
    for row, found in enumerate(indices):
        inside = np.isin(cluster_of, near[row])
        best = np.sort(products[row, inside])[::-1][:K]
        assert inside[found].all()
        assert products[row, found] == pytest.approx(best, abs=1e-6)
    own = np.take_along_axis(products, indices, axis=1)
    assert similarities == pytest.approx(own, abs=1e-6)


def test_recall_is_that_of_the_queries(parts):
    keys, clusters, moved, _ = parts
    found = clusters.search(keys[::10], moved, K)[0]
    truth = search_exact(keys[::10], keys, K)[0]
    held = [np.isin(t, f).mean() for t, f in zip(truth, found, strict=True)]
    assert clusters.recall == pytest.approx(np.mean(held), abs=0.005)
    assert clusters.recall >= 0.95


@pytest.mark.parametrize("storage", [None, "float16", "int8", "int4"])
def test_a_query_is_answered_alike_among_any_others(parts, storage):
    _, clusters, moved, queries = parts
    moved = moved if storage is None else StoredRows(moved, storage)
    whole = clusters.search(queries, moved, K)
    for rows in (slice(3, 4), slice(5, 15), slice(20, 61), slice(None, None, -1)):
        some = clusters.search(np.ascontiguousarray(queries[rows]), moved, K)
        assert np.array_equal(some[0], whole[0][rows])
        assert np.array_equal(some[1], whole[1][rows])


def test_fewer_keys_than_wanted_are_filled_up(parts):
    _, clusters, moved, queries = parts
    n_most = np.sort(np.diff(clusters.starts))[-16:].sum() + 5
    indices, similarities = clusters.search(queries, moved, n_most)
    n_found = (indices >= 0).sum(axis=1)
    assert (n_found < n_most).all()
    assert np.array_equal(indices < 0, np.isneginf(similarities))
    for row, n in zip(indices, n_found, strict=True):
        assert len(set(row[:n])) == n


def test_keys_without_clusters_stay_as_they_are():
    rng = np.random.default_rng(0)
    keys = normalize_rows(rng.standard_normal((N_KEYS, 64)).astype(np.float32))
    before = keys.copy()
    assert cluster_keys(keys, keys[::9], K) is None
    assert np.array_equal(keys, before)


def test_zero_keys_and_equal_keys_are_found():
    keys = np.repeat(unit_keys(500), 3, axis=0)
    keys[:30] = 0
    moved = keys.copy()
    clusters = cluster_keys(moved, keys[::10], 3)
    indices, _ = clusters.search(keys[30:], moved, 3)
    first = np.arange(30, len(keys)) // 3 * 3
    assert np.array_equal(indices, first[:, None] + np.arange(3))  # ties as they stood


@pytest.mark.usefixtures("few_exact")
class TestIndex:
    def make(self, keys, similarity="cosine", kind="auto"):
        return NeighborIndex(keys, similarity=similarity, kind=kind, n_neighbors=K)

    def test_many_keys_are_searched_by_clusters(self):
        index = self.make(unit_keys())
        assert index.kind == "clusters"
        assert index.recall_ == index.clusters.recall
        assert index.n_bytes > unit_keys().nbytes
        few = self.make(unit_keys(500))
        assert (few.kind, few.clusters) == ("exact", None)
        assert self.make(unit_keys(), "dot").kind == "exact"
        assert self.make(unit_keys(), kind="exact").kind == "exact"

    def test_all_keys_are_searched_for_many_neighbours(self):
        keys, queries = unit_keys(), unit_keys(40, seed=1)
        index = self.make(keys.copy())
        k = len(keys) // 4
        indices, similarities = index.search(queries, k)
        best = -np.sort(-(queries @ keys.T), axis=1)[:, :k]
        assert similarities == pytest.approx(best, abs=1e-6)
        own = np.einsum("ij,ikj->ik", queries, keys[indices])
        assert own == pytest.approx(best, abs=1e-6)

    def test_a_pickle_answers_alike(self):
        index, queries = self.make(unit_keys()), unit_keys(40, seed=1)
        again = pickle.loads(pickle.dumps(index))
        for one, other in zip(
            index.search(queries, K), again.search(queries, K), strict=True
        ):
            assert np.array_equal(one, other)


def labelled(n=1600, seed=0):
    """Make rows around centres, each of which has labels of its own."""
    rng = np.random.default_rng(seed)
    centre = rng.integers(30, size=n)
    X = np.abs(rng.standard_normal((30, 24)))[centre] + 0.2 * rng.random((n, 24))
    Y = np.zeros((n, 60), dtype=np.float32)
    Y[np.arange(n), centre] = Y[np.arange(n), 30 + centre] = 1
    return sp.csr_array(X.astype(np.float32)), sp.csr_array(Y)


@pytest.mark.usefixtures("few_exact")
@pytest.mark.parametrize("cls", [DECLAREClassifier, MultiHeadEncodingClassifier])
class TestModel:
    def fit(self, cls):
        X, Y = labelled()
        more = {"keys": "predicted"} if cls is DECLAREClassifier else {}
        model = cls(max_epochs=2, random_state=0, **more)
        return model.fit(X[:1500], Y[:1500]), X[1500:]

    def index_of(self, model):
        return model._index if hasattr(model, "_index") else model._votes.index

    def test_votes_hardly_change(self, cls, monkeypatch):
        model, X = self.fit(cls)
        assert self.index_of(model).kind == "clusters"
        found = model.predict_topk(X, k=2)[0]
        monkeypatch.setattr(KeyClusters, "hold", lambda *_: False)
        exact = model.predict_topk(X, k=2)[0]
        assert np.mean(np.sort(found) == np.sort(exact)) > 0.98

    @pytest.mark.parametrize("storage", [None, "int8"])
    def test_a_file_predicts_alike(self, cls, storage, tmp_path):
        model, X = self.fit(cls)
        model = model.compress(storage) if storage else model
        model.save(tmp_path / "a.skxmc")
        again = load(tmp_path / "a.skxmc")
        assert self.index_of(again).kind == "clusters"
        for one, other in zip(
            model.predict_topk(X, k=5), again.predict_topk(X, k=5), strict=True
        ):
            assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "change",
    [
        {"n_searched": 0},
        {"n_searched": N_CLUSTERS + 1},
        {"numbers": np.zeros(N_KEYS, dtype=np.int32)},
        {"numbers": np.arange(1, N_KEYS + 1, dtype=np.int32)},
        {"starts": np.zeros(N_CLUSTERS + 1, dtype=np.int32)},
    ],
)
def test_a_file_of_other_clusters_is_refused(parts, change):
    state = vars(parts[1]) | change
    with pytest.raises(ValueError, match="do not hold each key once"):
        _restore_clusters(KeyClusters, dict(state))


def nearest_others(keys, k):
    """Return the neighbours of each key, (n_keys, k), and the cosines."""
    indices = np.full((len(keys), k), -2)
    cosines = np.full((len(keys), k), np.nan, dtype=np.float32)

    def fill(members, neighbors, similarities):
        assert (indices[members] == -2).all()  # each key is met once
        indices[members], cosines[members] = neighbors, similarities

    map_nearest_others(fill, keys, k)
    return indices, cosines


def test_most_of_the_nearest_others_are_found():
    lengths = np.linspace(0.1, 9, N_KEYS, dtype=np.float32)
    keys = clustered(N_KEYS, 16, 0) * lengths[:, None]
    indices, cosines = nearest_others(keys, K)
    unit = normalize_rows(keys)
    products = unit @ unit.T
    np.testing.assert_allclose(
        cosines, np.take_along_axis(products, indices, axis=1), atol=1e-5
    )
    np.fill_diagonal(products, -np.inf)
    nearest = np.argsort(-products, axis=1)[:, :K]
    found = [len(np.intersect1d(*pair)) for pair in zip(indices, nearest, strict=True)]
    assert np.mean(found) > 0.9 * K
    assert (indices != np.arange(N_KEYS)[:, None]).all()


@pytest.mark.parametrize("n_keys", [1, 2, 5])
def test_few_keys_have_fewer_others_than_wanted(n_keys):
    indices, cosines = nearest_others(unit_keys(n_keys), 4)
    n_others = min(4, n_keys - 1)
    assert ((indices >= 0).sum(axis=1) == n_others).all()
    assert (np.isneginf(cosines) == (indices < 0)).all()
    for number, own in enumerate(indices):
        assert set(own[own >= 0]) <= {*range(n_keys)} - {number}


def test_keys_that_are_all_alike_or_zero_have_others_too():
    for keys in (np.zeros((30, 4)), np.ones((30, 4))):
        indices, _ = nearest_others(keys.astype(np.float32), 3)
        assert (indices >= 0).all()


def test_others_are_the_same_on_any_number_of_threads(monkeypatch):
    found = []
    for count in (1, 3):
        monkeypatch.setattr("skxmc._nn._threads.n_available", lambda count=count: count)
        found.append(nearest_others(unit_keys(), K))
    np.testing.assert_array_equal(*found)


def test_others_are_found_where_products_are_not_steady(monkeypatch):
    monkeypatch.setattr("skxmc._neighbors._clusters.products_are_steady", lambda: False)
    indices, _ = nearest_others(unit_keys(300), K)
    assert (indices >= 0).all()
