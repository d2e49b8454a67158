"""Orders of labels: permutations, and clusters where there are any."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import normalize

from skxmc._centroids import keep_strongest, label_centroids
from skxmc._label_order import align_members, cluster_order, order_labels


def sparse(rng, shape, density=0.3):
    M = sp.random_array(shape, density=density, format="csr", rng=rng)
    return M.astype(np.float32)


def some_problem(n_labels=23):
    rng = np.random.default_rng(0)
    Y = sparse(rng, (40, n_labels))
    Y.data[:] = 1
    return sparse(rng, (40, 15)), Y


@pytest.mark.parametrize("kind", ["natural", "random", "frequency", "cluster"])
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("sizes", [(5, 5), (3, 2, 4), (23,), (1, 23), (23, 1)])
def test_every_order_is_a_permutation_and_repeatable(kind, align, sizes):
    X, Y = some_problem()
    first, second = (
        order_labels(
            kind, X, Y, sizes, align=align, random_state=np.random.RandomState(3)
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(np.sort(first), np.arange(23))
    np.testing.assert_array_equal(first, second)


def test_what_the_simple_orders_are():
    X, Y = some_problem()

    def order(kind):
        rng = np.random.RandomState(0)
        return order_labels(kind, X, Y, (5, 5), align=False, random_state=rng)

    np.testing.assert_array_equal(order("natural"), np.arange(23))
    counts = Y.sum(axis=0)[order("frequency")]
    assert (np.diff(counts) <= 0).all()
    assert not np.array_equal(order("random"), np.arange(23))
    np.testing.assert_array_equal(order(np.arange(23)[::-1]), np.arange(23)[::-1])


@pytest.mark.parametrize(
    "wrong", [np.arange(22), np.zeros(23, int), np.arange(1, 24), np.ones((23, 1))]
)
def test_an_array_that_is_no_permutation(wrong):
    X, Y = some_problem()
    with pytest.raises(ValueError, match=r"but y has 23 labels; pass each .* 0 to 22"):
        order_labels(wrong, X, Y, (5, 5), align=False, random_state=None)


def test_clusters_that_are_there_are_found():
    # 8 groups of 6 vectors around orthogonal centres, shuffled.
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(8), 6))
    vectors = np.eye(8)[group] + 0.05 * rng.random((48, 8))
    vectors = sp.csr_array(normalize(vectors).astype(np.float32))
    order = cluster_order(vectors, 6, np.random.RandomState(0))
    assert (np.ptp(group[order].reshape(8, 6), axis=1) == 0).sum() >= 6
    random = np.mean([len(set(rng.permutation(group)[:6])) for _ in range(50)])
    found = np.mean([len(set(block)) for block in group[order].reshape(8, 6)])
    assert found < random / 2


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 5))
@settings(deadline=None)
def test_cluster_order_is_a_permutation_whatever_the_vectors(n, group_size, seed):
    vectors = sparse(np.random.default_rng(seed), (n, 4), density=0.2)
    order = cluster_order(vectors, group_size, np.random.RandomState(seed))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


@pytest.mark.parametrize("n", [12, 14])  # full groups, and a last one that is not
def test_members_are_aligned_and_stay_in_their_groups(n):
    rng = np.random.default_rng(0)
    kind = np.concatenate([rng.permutation(4) for _ in range(3)] + [[2, 0]])[:n]
    vectors = np.eye(4)[kind].astype(np.float32)
    order = align_members(vectors, np.arange(n), 4)
    groups = [order[i : i + 4] // 4 for i in range(0, n, 4)]
    assert [set(g) for g in groups] == [{i} for i in range(len(groups))]
    # Where all groups are alike, each place has one kind.
    places = kind[order[:12]].reshape(3, 4)
    if n == 12:
        assert (places == places[0]).all()
    agreement = [(places[:, j] == places[0, j]).mean() for j in range(4)]
    assert np.mean(agreement) >= 0.75


@pytest.mark.parametrize("block", [1, 30, 10**6])
def test_centroids_are_normalised_sums_of_normalised_rows(block, monkeypatch):
    monkeypatch.setattr("skxmc._centroids._BLOCK_ENTRIES", block)
    X, Y = some_problem()
    Y = Y[:, np.arange(22)]
    Y.data[Y.indices == 3] = 0  # a label without a row
    Y.eliminate_zeros()
    before = X.copy()
    centroids = label_centroids(X, Y, n_strongest=15)
    expected = normalize(Y.toarray().T @ normalize(X.toarray()))
    np.testing.assert_allclose(centroids.toarray(), expected, atol=1e-6)
    assert (before != X).nnz == 0
    pruned = label_centroids(X, Y, n_strongest=4)
    assert np.diff(pruned.indptr).max() == 4
    for row, full in zip(pruned.toarray(), expected, strict=True):
        kept = np.flatnonzero(row)
        strongest = np.sort(np.abs(full))[::-1][:4]
        np.testing.assert_allclose(np.sort(full[kept])[::-1], strongest[: len(kept)])


def test_keep_strongest_looks_at_magnitude():
    A = sp.csr_array(np.array([[1.0, -5.0, 3.0, 0.0], [0, 0, 2.0, 0]]))
    expected = [[0, -5.0, 3.0, 0], [0, 0, 2.0, 0]]
    np.testing.assert_array_equal(keep_strongest(A, 2).toarray(), expected)
