"""Scores by label frequency, against counting pair by pair."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from skxmc.metrics import precision_at_k, scores_by_frequency


def bin_by_loop(count, base):
    """Return the bounds of the bin of one label."""
    if count == 0:
        return 0, 0
    low = 1
    while low * base <= count:
        low *= base
    return low, low * base - 1


def table_by_loops(Y, ranking, counts, base):
    """Return (low, high, labels, true, predicted, hits) of each bin."""
    bins = [bin_by_loop(count, base) for count in counts]
    rows = []
    for bounds in sorted(set(bins)):
        inside = {label for label, b in enumerate(bins) if b == bounds}
        true = [(i, j) for i, j in np.argwhere(Y).tolist() if j in inside]
        found = [(i, j) for i, row in enumerate(ranking) for j in row if j in inside]
        hits = set(true) & set(found)
        rows.append((*bounds, len(inside), len(true), len(found), len(hits)))
    return rows


@st.composite
def problems(draw):
    n, n_labels = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k = draw(st.integers(1, n_labels))
    Y = rng.random((n, n_labels)) < 0.4
    ranking = np.array([rng.permutation(n_labels)[:k] for _ in range(n)])
    ranking[rng.random(ranking.shape) < 0.2] = -1
    counts = rng.integers(0, draw(st.sampled_from([1, 5, 300])), n_labels)
    return Y.astype(int), ranking, counts, k, draw(st.integers(2, 10))


@settings(max_examples=60, deadline=None)
@given(problems(), st.sampled_from([np.asarray, sp.csr_array, sp.coo_matrix]))
def test_table_is_that_of_loops(problem, container):
    Y, ranking, counts, k, base = problem
    table = scores_by_frequency(
        container(Y), (ranking, None), label_counts=counts, k=k, base=base
    )
    expected = table_by_loops(Y, ranking, counts.tolist(), base)
    names = ("low", "high", "n_labels", "n_true", "n_predicted", "n_hits")
    rows = zip(*(table[name].tolist() for name in names), strict=True)
    assert list(rows) == expected
    for score, whole in (("precision", 4), ("recall", 3)):
        shares = [row[5] / row[whole] if row[whole] else np.nan for row in expected]
        np.testing.assert_array_equal(table[score], shares)


def test_hits_of_all_bins_give_precision():
    rng = np.random.default_rng(0)
    Y, scores = rng.random((50, 30)) < 0.2, rng.random((50, 30))
    table = scores_by_frequency(Y, scores, label_counts=np.arange(30), k=5, base=2)
    assert table["n_hits"].sum() / (50 * 5) == precision_at_k(Y, scores, k=5)
    assert table["n_labels"].sum() == 30


def test_millions_of_labels_are_never_made_dense():
    Y = sp.csr_array(([1.0, 1.0], ([0, 1], [3, 2_999_999])), shape=(1000, 3_000_000))
    counts = np.ones(3_000_000, dtype=int)
    table = scores_by_frequency(Y, Y, label_counts=counts, k=1)
    assert table["recall"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"label_counts": [1]}, ValueError, "has shape .1,., but y_true has 2 labels"),
        ({"label_counts": [1, -1]}, ValueError, "label_counts holds -1"),
        ({"label_counts": [1, 0.5]}, ValueError, "label_counts holds 0.5"),
        ({"label_counts": [1, np.nan]}, ValueError, "label_counts holds nan"),
        ({"base": 1}, ValueError, "base=1 is smaller than 2"),
        ({"base": 2.5}, TypeError, "base=2.5 is of type float"),
        ({"k": 3}, ValueError, "k=3 is larger than the number of labels 2"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    arguments = {"label_counts": [1, 2], "k": 1, **arguments}
    with pytest.raises(error, match=message):
        scores_by_frequency([[1, 0]], [[0.5, 0.2]], **arguments)
