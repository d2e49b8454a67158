"""Nearest neighbours, against Python's sort over all keys."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from skxmc._neighbors import (
    NeighborIndex,
    SparseNeighborIndex,
    _dense,
    _exact,
    _faiss,
    _sparse,
    normalize_rows,
    search_exact,
)

FAISS = ["ivf", "hnsw"]
N_NEIGHBORS = 10


def whole_vectors(n, size=3, seed=0):
    """Draw vectors of small whole numbers: exact inner products, and many ties."""
    rng = np.random.default_rng(seed)
    return rng.integers(-2, 3, size=(n, size)).astype(np.float32)


def clustered(n=2500, size=8, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((30, size))
    noise = 0.5 * rng.standard_normal((n, size))
    return (centres[rng.integers(30, size=n)] + noise).astype(np.float32)


def sorted_neighbors(similarities, k):
    """Rank the keys of each row: best first, ties by lowest index."""
    return [
        sorted(range(len(row)), key=lambda j, row=row: (-row[j], j))[:k]
        for row in similarities.tolist()
    ]


def make(keys, kind, similarity="dot"):
    return NeighborIndex(
        keys, similarity=similarity, kind=kind, n_neighbors=N_NEIGHBORS
    )


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a, b)
        assert a.dtype == b.dtype


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("block_keys", [1, 7, 30, 10_000])
@pytest.mark.parametrize(("n_keys", "k"), [(1, 1), (30, 30), (31, 8), (400, 12)])
def test_exact_search_sorts_all_keys(n_keys, k, block_keys, monkeypatch):
    monkeypatch.setattr(_exact, "_BLOCK_KEYS", block_keys)
    monkeypatch.setattr(_exact, "_BLOCK_SCORES", 1)
    queries, keys = whole_vectors(9, seed=1), whole_vectors(n_keys)
    indices, scores = search_exact(queries, keys, k)
    products = queries @ keys.T
    expected = sorted_neighbors(products, k)
    assert indices.tolist() == expected
    np.testing.assert_array_equal(scores, np.take_along_axis(products, indices, axis=1))


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("block_keys", [7, 10_000])
@pytest.mark.parametrize("n_queries", [1, 9])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("storage", [None, "int4"])
def test_what_is_added_to_products_counts(
    n_queries, density, block_keys, storage, monkeypatch
):
    monkeypatch.setattr(_exact, "_BLOCK_KEYS", block_keys)
    monkeypatch.setattr(_exact, "_BLOCK_SCORES", 1)
    rng = np.random.default_rng(2)
    queries, index = whole_vectors(n_queries, seed=1), make(whole_vectors(31), "exact")
    if storage is not None:
        index = index.compressed(storage)
    added = rng.integers(1, 9, size=(n_queries, 31)).astype(np.float32)
    added *= rng.random((n_queries, 31)) < density
    every, products = index.search(queries, 31)
    total = added + np.take_along_axis(products, np.argsort(every, axis=1), axis=1)
    for k in (1, 8, 31):
        indices, scores = index.search(queries, k, added=sp.csr_array(added))
        assert indices.tolist() == sorted_neighbors(total, k)
        expected = np.take_along_axis(total, indices, axis=1)
        np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("kind", FAISS)
def test_approximate_search_counts_what_is_added(kind):
    keys, added = clustered(), np.zeros((20, 2500), dtype=np.float32)
    added[np.arange(20), np.arange(20)] = 1000  # whatever their products
    added[:, 30] = 500
    index, queries = make(keys, kind), clustered(seed=1)[:20]
    indices, scores = index.search(queries, 5, added=sp.csr_array(added))
    assert indices[:, :2].tolist() == [[row, 30] for row in range(20)]
    expected = np.take_along_axis(queries @ keys.T + added, indices, axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    np.testing.assert_array_equal(indices[:, 2:], index.search(queries, 3)[0])


def test_what_an_approximate_search_does_not_find_is_no_key():
    keys = np.array([[0], [1], [2], [3]], dtype=np.float32)
    added = sp.csr_array(np.array([[0, 0, 2, 0]], dtype=np.float32))
    indices = np.array([[1, -1, -1]])
    scores = np.array([[1, -np.inf, -np.inf]], dtype=np.float32)
    found = _exact.raise_pairs((indices, scores), keys[[1]], keys, added)
    np.testing.assert_array_equal(found[0], [[2, 1, -1]])
    np.testing.assert_array_equal(found[1], [[4, 1, -np.inf]])


def test_a_flag_that_the_product_raises_is_no_warning():
    # OpenBLAS raises it at times, and nothing but infinity does so each time.
    query = np.array([[np.inf, 1.0]], dtype=np.float32)
    keys = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    np.testing.assert_array_equal(_exact._multiply(query, keys), [[np.nan, np.inf]])


@pytest.fixture(params=["as found", "none is steady"])
def either_way(request, monkeypatch):
    """Search by products that round alike, if there are any, and without."""
    if request.param == "none is steady":
        monkeypatch.setattr(_exact, "products_are_steady", lambda: False)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("n_copies", [1, 3, 40])  # with copies, all similarities tie
def test_a_query_finds_the_same_whatever_it_is_searched_with(n_copies, monkeypatch):
    monkeypatch.setattr(_exact, "_BLOCK_KEYS", 17)
    monkeypatch.setattr(_exact, "_BLOCK_SCORES", 30)  # one query sees 30 keys at once
    rng = np.random.default_rng(0)
    keys = np.tile(rng.standard_normal((25, 40)).astype(np.float32), (n_copies, 1))
    queries = rng.standard_normal((64, 40)).astype(np.float32)
    together = indices, scores = search_exact(queries, keys, 10)
    tied = np.diff(scores) == 0
    assert tied.any() == (n_copies > 1)
    assert (np.diff(indices)[tied] > 0).all()
    alone = [search_exact(queries[[i]], keys, 10) for i in range(64)]
    assert_same(together, [np.vstack(parts) for parts in zip(*alone, strict=True)])
    order = rng.permutation(64)
    assert_same(search_exact(queries[order], keys, 10), [p[order] for p in together])


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("n_keys", [1, 50])
def test_one_key_is_scored_as_in_a_search(n_keys):
    rng = np.random.default_rng(0)
    keys = rng.standard_normal((n_keys, 40)).astype(np.float32)
    queries = rng.standard_normal((70, 40)).astype(np.float32)
    indices, scores = search_exact(queries, keys, n_keys)
    found = make(keys, "exact").score(queries, n_keys - 1)
    assert np.array_equal(found, scores[indices == n_keys - 1])


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("storage", [None, "int8", "float16"])
@pytest.mark.parametrize("few", [0, 8192])
def test_pairs_are_scored_alike_in_every_batch(few, storage, monkeypatch):
    monkeypatch.setattr(_exact, "_FEW_KEYS", few)
    queries, keys = clustered(600), clustered(50, seed=1)
    index = make(keys, "exact")
    index = index if storage is None else index.compressed(storage)
    rows, numbers = np.array([0, 3, 3, 599]), np.array([49, 0, 7, 7], dtype=np.int32)
    scores = index.score_pairs(queries, rows, numbers)
    products = queries.astype(np.float64) @ keys.T
    error = 0.02 * np.abs(products).max() if storage == "int8" else 2e-3
    np.testing.assert_allclose(scores, products[rows, numbers], atol=error)
    alone = [
        index.score_pairs(queries[[i]], np.array([0]), numbers[rows == i][:1])
        for i in (0, 3, 599)
    ]
    assert np.array_equal(np.concatenate(alone), scores[[0, 1, 3]])
    assert index.score_pairs(queries, rows[:0], numbers[:0]).shape == (0,)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_index_ranks_by_its_similarity_and_zero_vectors_have_none(similarity):
    queries, keys = whole_vectors(9, seed=1), whole_vectors(40)
    keys[[3, 17]] = queries[4] = 0
    products = queries.astype(np.float64) @ keys.T
    if similarity == "cosine":
        norms = [np.linalg.norm(A, axis=1) for A in (queries, keys)]
        products /= np.maximum(np.outer(*norms), 1e-9)
    indices, scores = make(keys, "exact", similarity).search(queries, 40)
    expected = -np.sort(-products, axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    ranked = np.take_along_axis(products, indices, axis=1)
    np.testing.assert_allclose(ranked, expected, atol=1e-6)
    assert np.array_equal(np.sort(indices), np.tile(np.arange(40), (9, 1)))
    assert scores[4].tolist() == [0] * 40


def test_normalize_rows_gives_unit_length_to_all_but_zero_rows():
    A = whole_vectors(50)
    A[5] = 0
    before = A.copy()
    norms = np.linalg.norm(normalize_rows(A), axis=1)
    np.testing.assert_allclose(norms, np.any(A, axis=1), rtol=1e-6)
    assert np.array_equal(A, before)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("kind", FAISS)
def test_approximate_search_finds_the_share_that_it_reports(kind, similarity):
    keys, queries = clustered(), clustered(n=200, seed=1)
    index = make(keys, kind, similarity)
    assert 0.95 <= index.recall_ <= 1  # so few keys: within reach of both kinds

    def recall(queries):
        found, scores = index.search(queries, N_NEIGHBORS)
        a, b = queries, keys
        if similarity == "cosine":
            a, b = (A / np.linalg.norm(A, axis=1, keepdims=True) for A in (a, b))
        products = a @ b.T
        truth = np.argsort(-products, axis=1)[:, :N_NEIGHBORS]
        np.testing.assert_allclose(
            scores, np.take_along_axis(products, found, axis=1), rtol=1e-4, atol=1e-5
        )
        return np.mean([len({*t} & {*f}) for t, f in zip(truth, found, strict=True)])

    # Of about 250 draws of 10 neighbours, the shares agree within a few percent.
    assert recall(keys) / N_NEIGHBORS == pytest.approx(index.recall_, abs=0.03)
    assert recall(queries) / N_NEIGHBORS > index.recall_ - 0.1


def test_search_effort_grows_until_the_goal_is_met(monkeypatch):
    keys = np.random.default_rng(0).standard_normal((4000, 24)).astype(np.float32)
    recalls, efforts = [], []
    for goal in (0.3, 0.95, 1.0):  # without clusters, eight lists are too few
        monkeypatch.setattr(_faiss, "_RECALL_GOAL", goal)
        index = make(keys, "ivf")
        recalls.append(index.recall_)
        efforts.append(index.index.nprobe)
        assert index.recall_ >= goal
    assert efforts == sorted(set(efforts))
    assert recalls == sorted(set(recalls))


@pytest.mark.parametrize("kind", FAISS)
@pytest.mark.parametrize("n_keys", [1, 5, 50])
def test_few_keys_are_all_found_once_and_then_none(kind, n_keys):
    keys = clustered(n_keys)
    indices, similarities = make(keys, kind).search(keys[:3], n_keys + 2)
    for row, scores in zip(indices, similarities, strict=True):
        assert sorted(row[:n_keys]) == list(range(n_keys))
        assert row[n_keys:].tolist() == [-1, -1]
        assert scores[n_keys:].tolist() == [-np.inf, -np.inf]
    assert indices.dtype == np.intp
    assert similarities.dtype == np.float32


@pytest.mark.parametrize("kind", ["exact", *FAISS])
def test_the_same_queries_find_the_same_also_after_pickling(kind):
    keys, queries = clustered(), clustered(n=64, seed=1)
    index = make(keys, kind, "cosine")
    before = index.search(queries, N_NEIGHBORS)
    assert_same(index.search(queries, N_NEIGHBORS), before)
    restored = pickle.loads(pickle.dumps(index))
    assert_same(restored.search(queries, N_NEIGHBORS), before)
    assert restored.recall_ == index.recall_
    assert_same(index.search(queries, N_NEIGHBORS), before)  # pickling left it alone


@pytest.mark.parametrize(("limit", "kind"), [(200, "exact"), (199, "ivf")])
def test_auto_is_exact_up_to_a_limit(limit, kind, monkeypatch):
    monkeypatch.setattr(_dense, "_MAX_EXACT_KEYS", limit)
    index = make(clustered(200), "auto")
    assert index.kind == kind
    assert (index.index is None) == (kind == "exact")
    assert index.n_bytes == 200 * 8 * 4


def test_exact_recall_is_one_and_queries_are_unchanged():
    queries = whole_vectors(30)
    before = queries.copy()
    index = make(whole_vectors(30), "exact", "cosine")
    index.search(queries, 3)
    assert index.recall_ == 1
    assert np.array_equal(queries, before)


def sparse_rows(n, seed, n_columns=50):
    """Draw sparse rows, the first of them empty."""
    rng = np.random.default_rng(seed)
    dense = rng.standard_normal((n, n_columns)) * (rng.random((n, n_columns)) < 0.1)
    dense[0] = 0
    return sp.csr_array(dense.astype(np.float32))


@pytest.mark.parametrize("shard_keys", [1, 60, 10_000])
@pytest.mark.parametrize("k", [1, 20, 150])
def test_sparse_search_finds_the_largest_cosines(shard_keys, k, monkeypatch):
    monkeypatch.setattr(_sparse, "_SHARD_KEYS", shard_keys)
    keys, queries = sparse_rows(150, seed=0), sparse_rows(70, seed=1)
    before = keys.data.copy(), queries.data.copy()
    indices, similarities = SparseNeighborIndex(keys).search(queries, k)
    cosines = normalize_rows(queries.toarray()) @ normalize_rows(keys.toarray()).T
    best = -np.sort(-cosines, axis=1)[:, :k]
    np.testing.assert_allclose(similarities, best, atol=1e-6)
    found = np.take_along_axis(cosines, indices, axis=1)
    np.testing.assert_allclose(found, similarities, atol=1e-6)
    assert all(len(set(row)) == k for row in indices.tolist())
    assert np.array_equal(keys.data, before[0])
    assert np.array_equal(queries.data, before[1])


def test_sparse_search_ranks_ties_by_the_order_of_the_keys():
    keys = sp.csr_array(np.array([[0, 1], [1, 0], [0, 2], [0, 3]], dtype=np.float32))
    query = sp.csr_array(np.array([[0, 5], [0, 0]], dtype=np.float32))
    indices, similarities = SparseNeighborIndex(keys).search(query, 4)
    assert indices.tolist() == [[0, 2, 3, 1], [0, 1, 2, 3]]
    assert similarities.tolist() == [[1, 1, 1, 0], [0, 0, 0, 0]]


def test_sparse_search_answers_a_row_alike_in_every_batch():
    keys, queries = sparse_rows(300, seed=0), sparse_rows(90, seed=1)
    index = SparseNeighborIndex(keys)
    together = index.search(queries, 10)
    for row in range(90):
        alone = index.search(queries[[row]], 10)
        assert_same(alone, [part[[row]] for part in together])


@pytest.mark.parametrize(
    ("storage", "error"), [("float16", 1e-3), ("int8", 1e-2), ("int4", 1e-2)]
)
def test_compressed_sparse_keys_have_nearly_the_same_cosines(storage, error):
    keys, queries = sparse_rows(200, seed=0), sparse_rows(30, seed=1)
    index = SparseNeighborIndex(keys)
    small = index.compressed(storage)
    assert small.n_bytes < 0.62 * index.n_bytes
    cosines = normalize_rows(queries.toarray()) @ normalize_rows(keys.toarray()).T
    indices, similarities = small.search(queries, 200)
    found = np.take_along_axis(cosines, indices, axis=1)
    np.testing.assert_allclose(similarities, found, atol=error)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("n_keys", [50, 5000])
def test_a_compressed_index_searches_the_rounded_keys_exactly(similarity, n_keys):
    index = make(clustered(n_keys), "exact", similarity).compressed("int8")
    queries = clustered(20, seed=1)
    indices, scores = index.search(queries, 7)
    if similarity == "cosine":
        queries = normalize_rows(queries)
    steps = np.abs(queries).max(axis=1, keepdims=True) / 127  # they are rounded as well
    products = steps * np.rint(queries / steps) @ index.keys[:].T
    best = -np.sort(-products, axis=1)[:, :7]
    np.testing.assert_allclose(scores, best, rtol=1e-5)
    found = np.take_along_axis(products, indices, axis=1)
    np.testing.assert_allclose(found, best, rtol=1e-5)
