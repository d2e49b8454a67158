"""Labels picked for a batch, against sets written out."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from skxmc._picks import draw_negatives, draw_positives, fill_pool, find_in_pool

indicators = st.lists(
    st.sets(st.integers(0, 11), max_size=8), min_size=1, max_size=10
).map(
    lambda rows: sp.csr_array(
        [[float(j in row) for j in range(12)] for row in rows], dtype=np.float32
    )
)


@given(Y=indicators, n_positives=st.integers(1, 9), seed=st.integers(0, 99))
def test_positives_are_labels_of_the_rows_and_no_more_than_asked(Y, n_positives, seed):
    drawn = draw_positives(Y, n_positives, np.random.default_rng(seed))
    lengths = np.minimum(np.diff(Y.indptr), n_positives)
    assert len(drawn) == lengths.sum()
    # In the order of the rows, each with different labels of its own.
    for row, part in enumerate(np.split(drawn, np.cumsum(lengths)[:-1])):
        assert len(set(part)) == len(part)
        assert set(part) <= set(Y[[row]].indices)


def test_each_positive_of_a_row_is_drawn_as_often():
    Y = sp.csr_array(np.ones((3000, 5), dtype=np.float32))
    drawn = draw_positives(Y, 2, np.random.default_rng(0))
    shares = np.bincount(drawn, minlength=5) / 3000
    np.testing.assert_allclose(shares, 2 / 5, atol=0.04)


def test_negatives_are_drawn_from_the_rows_own_without_gaps():
    known = np.array([[3, 1, 4, -1], [5, -1, -1, -1], [-1, -1, -1, -1]])
    for seed in range(20):
        drawn = draw_negatives(known, 2, np.random.default_rng(seed))
        # Two of the first row, the only one of the second, none of the third.
        assert len(drawn) == 3
        assert len(set(drawn[:2])) == 2
        assert set(drawn[:2]) <= {3, 1, 4}
        assert drawn[2] == 5


def test_all_negatives_are_taken_where_no_more_are_known():
    known = np.array([[3, 1], [2, -1]])
    drawn = draw_negatives(known, 2, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(drawn), [1, 2, 3])


@pytest.mark.parametrize(
    ("max_pool_size", "expected"),
    [
        (10, [1, 2, 3, 7, 8, 9]),
        (5, [1, 2, 3, 8, 9]),  # 9 and 8 are the more frequent negatives
        (3, [1, 2, 3]),
        (2, [2, 3]),  # of the positives, 1 is the rarest
    ],
)
def test_pool_keeps_positives_first_and_frequent_ones_first(max_pool_size, expected):
    positives = np.array([3, 3, 2, 2, 1])
    negatives = np.array([9, 9, 8, 8, 7, 3])
    pool = fill_pool(positives, negatives, max_pool_size)
    np.testing.assert_array_equal(pool, expected)


@given(Y=indicators, pool=st.sets(st.integers(0, 11)))
def test_every_positive_in_the_pool_is_found(Y, pool):
    pool = np.array(sorted(pool), dtype=np.int64)
    rows, places = find_in_pool(Y, pool)
    truth = np.zeros((Y.shape[0], len(pool)))
    truth[rows, places] = 1
    np.testing.assert_array_equal(truth, Y.toarray()[:, pool])
    assert len(rows) == truth.sum()


def test_arrays_are_as_long_as_the_batch_not_as_the_labels():
    # A million million labels: anything with an entry for each would not fit.
    n_labels = 10**12
    Y = sp.csr_array(
        (np.ones(2, np.float32), np.array([5, 10**11]), np.array([0, 1, 2])),
        shape=(2, n_labels),
    )
    rng = np.random.default_rng(0)
    pool = fill_pool(draw_positives(Y, 3, rng), np.array([7]), 100)
    np.testing.assert_array_equal(pool, [5, 7, 10**11])
    rows, places = find_in_pool(Y, pool)
    np.testing.assert_array_equal(rows, [0, 1])
    np.testing.assert_array_equal(places, [0, 2])
