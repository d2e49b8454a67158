"""Rankings, against Python's sort."""

import tracemalloc
from unittest import mock

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from skxmc import _topk
from skxmc._topk import check_k, ranking_to_csr, topk_csr, topk_dense

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=7)
# Few distinct values: ties are the rule, also at the cut.
SCORES = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5])
BLOCK_SIZES = st.sampled_from([1, 10, 2**18])


def ranked(scores, k):
    """Rank a dict of label to score: best first, ties by lowest label."""
    labels = sorted(scores, key=lambda label: (-scores[label], label))[:k]
    n_missing = k - len(labels)
    return (
        labels + [-1] * n_missing,
        [scores[label] for label in labels] + [-np.inf] * n_missing,
    )


def assert_ranking(ranking, expected):
    indices, scores = ranking
    assert indices.dtype == np.intp
    np.testing.assert_array_equal(indices, [labels for labels, _ in expected])
    np.testing.assert_array_equal(scores, [values for _, values in expected])


def as_bytes(S):
    return [part.tobytes() for part in (S.data, S.indices, S.indptr)]


@st.composite
def csr_with_rows(draw):
    """Draw a CSR of any kind with unsorted indices, and its rows as dicts."""
    n_labels = draw(st.integers(1, 7))
    # A dict keeps the order in which its labels were drawn.
    row = st.dictionaries(st.integers(0, n_labels - 1), SCORES)
    rows = draw(st.lists(row, min_size=1, max_size=6))
    index_dtype = draw(st.sampled_from([np.int32, np.int64]))
    make_csr = draw(st.sampled_from([sp.csr_array, sp.csr_matrix]))
    S = make_csr(
        (len(rows), n_labels), dtype=draw(st.sampled_from([np.float32, np.float64]))
    )
    S.data = np.array([v for row in rows for v in row.values()], dtype=S.dtype)
    S.indices = np.array([label for row in rows for label in row], dtype=index_dtype)
    S.indptr = np.append(0, np.cumsum([len(r) for r in rows])).astype(index_dtype)
    return S, rows


@settings(deadline=None)
@given(
    scores=hnp.arrays(hnp.floating_dtypes(endianness="="), SHAPES, elements=SCORES),
    block_size=BLOCK_SIZES,
    data=st.data(),
)
def test_topk_dense_sorts_each_row(scores, block_size, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    before = scores.tobytes()
    with mock.patch.object(_topk, "_BLOCK_SIZE", block_size):
        ranking = topk_dense(scores, k)
    assert_ranking(ranking, [ranked(dict(enumerate(row)), k) for row in scores])
    assert ranking[1].dtype == scores.dtype
    assert scores.tobytes() == before


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n_values", [2, 50, 50_000])
@pytest.mark.parametrize("k", [1, 5, 80])
def test_topk_dense_ranks_wide_rows_as_a_stable_sort_does(dtype, n_values, k):
    scores = np.random.RandomState(0).randint(n_values, size=(7, 3001)).astype(dtype)
    scores[0] = -np.inf
    scores[1, :2990] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    indices, top_scores = topk_dense(scores, k)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(
        top_scores, np.take_along_axis(scores, expected, axis=1)
    )


@settings(deadline=None)
@given(csr_with_rows(), st.integers(1, 9), BLOCK_SIZES)
def test_topk_csr_sorts_the_stored_entries_of_each_row(S_and_rows, k, block_size):
    S, rows = S_and_rows
    before = as_bytes(S)
    with mock.patch.object(_topk, "_BLOCK_SIZE", block_size):
        ranking = topk_csr(S, k)
    assert_ranking(ranking, [ranked(row, k) for row in rows])
    assert ranking[1].dtype == S.dtype
    assert as_bytes(S) == before


def test_topk_csr_sums_duplicates_on_a_copy():
    S = sp.csr_array(([0.4, 0.5, 0.3], [2, 1, 2], [0, 3]), shape=(1, 3))
    before = as_bytes(S)
    assert_ranking(topk_csr(S, 2), [([2, 1], [0.7, 0.5])])
    assert as_bytes(S) == before


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64])
def test_topk_csr_pads_scores_that_are_not_float(dtype):
    S = sp.csr_array(np.array([[0, 1, 0]], dtype=dtype))
    assert_ranking(topk_csr(S, 2), [([1, -1], [1, -np.inf])])


def test_topk_csr_needs_no_memory_for_absent_labels_or_short_rows():
    n_labels = 3_000_000
    lengths = np.append(np.full(2000, 3), 100_000)  # padded alike: 1.6 GB a copy
    indices = np.concatenate([np.arange(length) for length in lengths])
    indptr = np.append(0, np.cumsum(lengths))
    S = sp.csr_array((-indices / 2, indices, indptr), shape=(2001, n_labels))
    tracemalloc.start()
    top, _ = topk_csr(S, 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(top, [[0, 1]] * 2001)
    assert peak < 20e6


@settings(deadline=None)
@given(csr_with_rows(), st.sampled_from(["array", "matrix"]))
def test_ranking_to_csr_restores_the_ranked_matrix(S_and_rows, kind):
    S, rows = S_and_rows
    restored = ranking_to_csr(*topk_csr(S, k=9), n_labels=S.shape[1], kind=kind)
    assert isinstance(restored, sp.csr_array if kind == "array" else sp.csr_matrix)
    assert restored.indices.dtype == restored.indptr.dtype == np.int32
    assert restored.shape == S.shape
    assert restored.dtype == S.dtype
    for i, row in enumerate(rows):
        stored = slice(restored.indptr[i], restored.indptr[i + 1])
        assert restored.indices[stored].tolist() == sorted(row)
        assert restored.data[stored].tolist() == [row[label] for label in sorted(row)]


@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_ranking_to_csr_widens_indices_only_where_needed(kind):
    indices, scores = np.array([[2**31, 5]]), np.array([[0.5, 0.25]])
    S = ranking_to_csr(indices, scores, n_labels=2**31 + 1, kind=kind)
    assert S.indices.dtype == np.int64
    assert S.indices.tolist() == [5, 2**31]


@pytest.mark.parametrize("k", [1, 5, np.int32(5)])
def test_check_k_accepts_integers_up_to_the_number_of_labels(k):
    check_k(k, 5)


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (10, ValueError, "k=10 is larger than the number of labels 5; pass at most"),
        (0, ValueError, "k=0 is smaller than 1"),
        (2.0, TypeError, "k=2.0 is of type float"),
        (True, TypeError, "k=True is of type bool"),
        (None, TypeError, "k=None is of type NoneType"),
    ],
)
def test_check_k_rejects(k, error, message):
    with pytest.raises(error, match=message):
        check_k(k, 5)
