"""From neighbours to labels, against loops over neighbours."""

import pickle
from collections import Counter
from unittest import mock

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from skxmc import _pairs
from skxmc._neighbors import search_exact
from skxmc._recovery import (
    LabelStore,
    blend_linear,
    cap_multiplicities,
    mix_chances,
    neighbor_weights,
    rank_votes,
    unique_label_rows,
    vote,
)

SIMILARITIES = st.sampled_from([-np.inf, -0.5, 0.0, 0.25, 0.5, 2.0])


@st.composite
def indicators(draw):
    """Draw a canonical CSR indicator and its rows as lists of labels."""
    n_labels = draw(st.integers(1, 5))
    label_set = st.sets(st.integers(0, n_labels - 1))
    rows = [sorted(row) for row in draw(st.lists(label_set, min_size=1, max_size=8))]
    dense = np.zeros((len(rows), n_labels), dtype=np.float32)
    for i, row in enumerate(rows):
        dense[i, row] = 1
    return sp.csr_array(dense), rows


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=SIMILARITIES
    ),
    st.sampled_from([0, 1, 2.5, 1e6]),
    st.data(),
)
def test_weights_are_the_formula_and_sum_to_one(similarities, sharpening, data):
    counts = data.draw(hnp.arrays(int, similarities.shape, elements=st.integers(1, 4)))
    weights = neighbor_weights(similarities, sharpening, counts)
    assert weights.dtype == np.float32
    for s, c, w in zip(similarities.tolist(), counts.tolist(), weights, strict=True):
        best = max(*s, 0)
        raw = [
            0
            if s_j == -np.inf
            else c_j * (max(s_j, 0) / best) ** sharpening
            if best > 0
            else c_j
            for s_j, c_j in zip(s, c, strict=True)
        ]
        if not any(np.isfinite(s)):
            assert not w.any()
        else:
            np.testing.assert_allclose(w, np.array(raw) / sum(raw), rtol=1e-5)
            assert w.sum() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_extreme_sharpening_leaves_the_nearest_alone(scale):
    similarities = np.array([[3, 2.9, -1], [2, 2, 1]], dtype=np.float32)
    similarities *= np.float32(scale)
    weights = neighbor_weights(similarities, 1e9, np.ones((2, 3), int))
    np.testing.assert_array_equal(weights, [[1, 0, 0], [0.5, 0.5, 0]])


@settings(deadline=None)
@given(
    hnp.arrays(
        int, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.integers(1, 5)
    ),
    st.integers(0, 12),
)
def test_multiplicities_are_cut_where_enough_rows_are_taken(counts, n_neighbors):
    expected = []
    for row in counts.tolist():
        left, taken = n_neighbors, []
        for count in row:
            taken.append(min(count, left))
            left -= taken[-1]
        expected.append(taken)
    np.testing.assert_array_equal(cap_multiplicities(counts, n_neighbors), expected)


@st.composite
def neighborhoods(draw):
    """Draw label rows, neighbours with -1 for none, and weights."""
    Y, rows = draw(indicators())
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 5)))
    neighbors = draw(hnp.arrays(int, shape, elements=st.integers(-1, len(rows) - 1)))
    quarters = hnp.arrays(np.float32, shape, elements=st.integers(0, 4))
    return Y, rows, neighbors, np.where(neighbors < 0, 0, draw(quarters) / 4)


@settings(deadline=None)
@given(neighborhoods())
def test_votes_are_the_weights_added_up_by_label(problem):
    Y, rows, neighbors, weights = problem
    votes = vote(Y, neighbors, weights)
    assert votes.shape == (len(neighbors), Y.shape[1])
    assert votes.has_sorted_indices
    for i, (near, w) in enumerate(zip(neighbors, weights, strict=True)):
        expected = np.zeros(Y.shape[1])
        for j, w_j in zip(near, w, strict=True):
            for label in rows[j] if j >= 0 else ():
                expected[label] += w_j
        np.testing.assert_array_equal(votes[[i]].toarray()[0], expected)


def test_a_neighbor_without_weight_has_no_vote_not_one_of_zero():
    Y = sp.csr_array(np.eye(3, dtype=np.float32))
    votes = vote(Y, np.array([[2, 1, -1]]), np.array([[1, 0, 0]], dtype=np.float32))
    assert votes.indices.tolist() == [2]


@settings(deadline=None)
@given(neighborhoods(), st.sampled_from([0.0, 0.25, 1.0]), st.integers(1, 5))
def test_blend_mixes_in_the_clipped_linear_score_of_each_vote(problem, share, block):
    Y, _, neighbors, weights = problem
    votes = vote(Y, neighbors, weights)
    before = votes.copy()
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((len(neighbors), 3)).astype(np.float32)
    decoder = rng.standard_normal((Y.shape[1], 3)).astype(np.float32)
    with mock.patch.object(_pairs, "_BLOCK_PAIRS", block):
        scores = blend_linear(
            votes, lambda i, j: _pairs.pair_products(codes, i, decoder, j), share
        )
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores.indices, before.indices)
    np.testing.assert_array_equal(scores.indptr, before.indptr)
    linear = np.clip(codes.astype(float) @ decoder.T, 0, 1)
    expected = (1 - share) * before.toarray() + share * linear
    rows = np.repeat(np.arange(len(codes)), np.diff(before.indptr))
    np.testing.assert_allclose(
        scores.data, expected[rows, before.indices], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(votes.data, before.data)


@settings(deadline=None)
@given(indicators(), st.data())
def test_rankings_are_filled_from_the_fallback_without_duplicates(Y_and_rows, data):
    Y, rows = Y_and_rows
    n_labels = Y.shape[1]
    k = data.draw(st.integers(1, n_labels))
    fallback = data.draw(st.permutations(range(n_labels)))
    values = data.draw(
        st.lists(st.sampled_from([0.25, 0.5]), min_size=Y.nnz, max_size=Y.nnz)
    )
    Y.data[:] = values
    indices, scores = rank_votes(Y, k, np.array(fallback))
    dense = Y.toarray()
    for i, row in enumerate(rows):
        ranked = sorted(row, key=lambda label: (-dense[i, label], label))
        expected = (ranked + [label for label in fallback if label not in row])[:k]
        assert indices[i].tolist() == expected
        assert scores[i].tolist() == dense[i, expected].tolist()


@settings(deadline=None)
@given(indicators())
def test_equal_label_rows_are_stored_once(Y_and_rows):
    Y, rows = Y_and_rows
    first, label_row = unique_label_rows(Y)
    distinct = list(dict.fromkeys(map(tuple, rows)))
    assert [tuple(rows[i]) for i in first] == distinct
    assert [distinct[j] for j in label_row] == list(map(tuple, rows))
    assert all(
        rows.index(list(row)) == i for i, row in zip(first, distinct, strict=True)
    )
    counts = Counter(map(tuple, rows))
    assert np.bincount(label_row).tolist() == [counts[row] for row in distinct]


@pytest.mark.parametrize("n_neighbors", [1, 7, 40, 200])
@pytest.mark.parametrize("sharpening", [0, 3])
def test_unique_rows_with_multiplicities_vote_like_all_rows(n_neighbors, sharpening):
    rng = np.random.default_rng(0)
    label_sets = (rng.random((15, 9)) < 0.3).astype(np.float32)
    rows = np.append(np.arange(15), rng.integers(15, size=185))
    Y = sp.csr_array(label_sets[rows])
    first, label_row = unique_label_rows(Y)
    # The code of a row depends on its labels only, and no two sets tie.
    codes = rng.standard_normal((len(first), 4)).astype(np.float32)
    queries = rng.standard_normal((11, 4)).astype(np.float32)

    near, similarities = search_exact(queries, codes[label_row], n_neighbors)
    weights = neighbor_weights(similarities, sharpening, np.ones_like(near))
    expected = vote(Y, near, weights)

    keys, similarities = search_exact(queries, codes, min(n_neighbors, len(first)))
    taken = cap_multiplicities(np.bincount(label_row)[keys], n_neighbors)
    weights = neighbor_weights(similarities, sharpening, taken)
    votes = vote(Y[first], keys, weights)
    np.testing.assert_allclose(votes.toarray(), expected.toarray(), atol=1e-6)


@pytest.mark.parametrize("key_per_set", [True, False])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_a_store_takes_no_more_memory_than_it_needs(key_per_set, index_dtype):
    Y = sp.csr_array(
        np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0]], dtype=float)
    )
    parts = Y.data, Y.indices.astype(index_dtype), Y.indptr.astype(index_dtype)
    store = LabelStore(sp.csr_array(parts, shape=Y.shape), key_per_set=key_per_set)
    assert store.sets.indices.dtype == store.sets.indptr.dtype == np.int32
    assert (store.key_rows is store.rows) == (not key_per_set)
    assert np.array_equal(
        store.sets.toarray()[store.set_of_key], Y.toarray()[store.key_rows]
    )


@pytest.mark.parametrize("key_per_set", [True, False])
@pytest.mark.parametrize(
    ("shape", "share"), [((1, 1), 1), ((400, 7000), 0.6), ((400, 70_000), 1)]
)
def test_a_pickled_store_comes_back_as_it_was(shape, share, key_per_set):
    Y = sp.random_array(shape, density=min(1, 5 / shape[1]), rng=0, format="csr")
    Y.data[:] = 1
    store = LabelStore(Y, key_per_set=key_per_set)
    pickled = pickle.dumps(store)
    back = pickle.loads(pickled)
    assert vars(back).keys() == vars(store).keys()
    assert (back.key_rows is back.rows) == (store.key_rows is store.rows)
    for name, numbers in vars(store).items():
        if name != "sets":
            assert getattr(back, name).dtype == np.int32
            assert np.array_equal(getattr(back, name), numbers)
    for name in ("data", "indices", "indptr"):
        part, expected = getattr(back.sets, name), getattr(store.sets, name)
        assert part.dtype == expected.dtype
        assert np.array_equal(part, expected)
    assert back.sets.shape == store.sets.shape
    assert len(pickled) < 1200 + share * store.n_bytes


def test_chances_are_mixed_in_as_geometric_means():
    scores = np.array([0.5, 0.5, 0.5, 0.0], dtype=np.float32)
    f = np.array([1.0, 0.0, -3.0, 1.0], dtype=np.float32)
    found = mix_chances(scores, f, np.float64(0.25))
    expected = [0.5**0.75, 0.5**0.75 * 0.5**0.25, 0.5**0.75 * 0.01**0.25, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(mix_chances(scores, f, 0), scores)
