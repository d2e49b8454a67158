"""Ranking metrics, against loops over rows and ranks."""

import itertools
import tracemalloc
from functools import partial
from math import log, log2

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from skxmc.metrics import (
    coverage_at_k,
    label_propensities,
    ndcg_at_k,
    precision_at_k,
    propensity_scored_ndcg_at_k,
    propensity_scored_precision_at_k,
    recall_at_k,
)

CONTAINERS = [
    np.asarray,
    np.ndarray.tolist,
    *(getattr(sp, f"{fmt}_array") for fmt in ("csr", "csc", "coo", "lil", "dia")),
    *(getattr(sp, f"{fmt}_matrix") for fmt in ("csr", "csc", "coo", "dok", "bsr")),
]


# The definitions. A truth is a list of sets of labels, a ranking a list of lists of
# labels, best first.


def mean(values):
    return sum(values) / len(values)


def precision(truth, ranking, k):
    return mean([len(y & set(r[:k])) / k for y, r in zip(truth, ranking, strict=True)])


def recall(truth, ranking, k):
    pairs = zip(truth, ranking, strict=True)
    return mean([len(y & set(r[:k])) / len(y) if y else 0.0 for y, r in pairs])


def coverage(truth, ranking, k):
    found = [y & set(r[:k]) for y, r in zip(truth, ranking, strict=True)]
    return len(set().union(*found)) / max(len(set().union(*truth)), 1)


def gain(y, r, k, weights, discounted):
    return sum(
        weights[label] / (log2(j + 2) if discounted else 1)
        for j, label in enumerate(r[:k])
        if label in y
    )


def best_gain(y, k, weights, discounted):
    """Try all rankings of the true labels."""
    rankings = itertools.permutations(y, min(k, len(y)))
    return max(gain(y, r, k, weights, discounted) for r in rankings)


def ndcg(truth, ranking, k):
    ones = [1] * 99
    pairs = zip(truth, ranking, strict=True)
    return mean(
        [
            gain(y, r, k, ones, True) / best_gain(y, k, ones, True) if y else 0.0
            for y, r in pairs
        ]
    )


def no_divisor(y, k):
    return 1


def ideal_dcg(y, k):
    return sum(1 / log2(j + 2) for j in range(min(k, len(y))))


def propensity_scored(truth, ranking, k, propensities, *, discounted, divisor):
    weights = [1 / p for p in propensities]
    pairs = [(y, r) for y, r in zip(truth, ranking, strict=True) if y]
    gains = [gain(y, r, k, weights, discounted) / divisor(y, k) for y, r in pairs]
    best = [best_gain(y, k, weights, discounted) / divisor(y, k) for y, _ in pairs]
    return sum(gains) / sum(best) if pairs else 0.0


PLAIN = {
    precision_at_k: precision,
    recall_at_k: recall,
    ndcg_at_k: ndcg,
    coverage_at_k: coverage,
}
XCLIB = partial(propensity_scored_ndcg_at_k, normalization="xclib")
WEIGHTED = {
    propensity_scored_precision_at_k: partial(
        propensity_scored, discounted=False, divisor=no_divisor
    ),
    propensity_scored_ndcg_at_k: partial(
        propensity_scored, discounted=True, divisor=no_divisor
    ),
    XCLIB: partial(propensity_scored, discounted=True, divisor=ideal_dcg),
}
ALL_METRICS = [*PLAIN, *(partial(m, propensities=[0.5, 1.0, 0.2]) for m in WEIGHTED)]


def indicator(truth, n_labels, container=np.asarray):
    Y = np.zeros((len(truth), n_labels), dtype=int)
    for i, labels in enumerate(truth):
        Y[i, list(labels)] = 1
    return container(Y)


def as_bytes(S):
    return [part.tobytes() for part in (S.data, S.indices, S.indptr)]


@st.composite
def problems(draw):
    """Draw a truth and, for each row, the stored scores as a dict."""
    n_labels, n_samples = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    labels = st.integers(0, n_labels - 1)
    score = st.sampled_from([-1.0, 0.0, 0.25, 0.5])
    # All labels stored, or only some: a dense array can only hold the former.
    rows = draw(
        st.sampled_from(
            [
                st.dictionaries(labels, score),
                st.fixed_dictionaries(dict.fromkeys(range(n_labels), score)),
            ]
        )
    )
    truth = draw(st.lists(st.sets(labels), min_size=n_samples, max_size=n_samples))
    scores = draw(st.lists(rows, min_size=n_samples, max_size=n_samples))
    return truth, scores, n_labels, draw(st.integers(1, n_labels))


def prediction_forms(scores, n_labels, ranking):
    """Write the same prediction in every form that can hold it."""
    cells = [(i, label, v) for i, row in enumerate(scores) for label, v in row.items()]
    rows, columns, values = zip(*cells, strict=True) if cells else ((), (), ())
    S = sp.coo_array((np.array(values), (rows, columns)), (len(scores), n_labels))
    yield from (S, S.tocsr(), sp.csr_matrix(S), S.tocsc())
    if len(cells) == len(scores) * n_labels:
        yield S.toarray()
        yield S.toarray().astype(np.float32)
    # One more column than there are labels, lest the array be read as scores.
    padded = [r + [-1] * (n_labels + 1 - len(r)) for r in ranking]
    yield np.array(padded)
    yield (np.array(padded, dtype=np.int32), None)


@settings(deadline=None, max_examples=60)
@given(problem=problems(), container=st.sampled_from(CONTAINERS), data=st.data())
def test_metrics_match_their_definition_in_every_form(problem, container, data):
    truth, scores, n_labels, k = problem
    y_true = indicator(truth, n_labels, container)
    ranking = [sorted(row, key=lambda j: (-row[j], j)) for row in scores]
    propensity = st.sampled_from([0.1, 0.3, 0.5, 1.0])
    propensities = data.draw(st.lists(propensity, min_size=n_labels, max_size=n_labels))
    for y_score in prediction_forms(scores, n_labels, ranking):
        for metric, expected in PLAIN.items():
            value = metric(y_true, y_score, k=k)
            assert type(value) is float
            assert value == pytest.approx(expected(truth, ranking, k))
        for metric, expected in WEIGHTED.items():
            value = metric(y_true, y_score, k=k, propensities=propensities)
            assert type(value) is float
            assert value <= 1
            assert value == pytest.approx(expected(truth, ranking, k, propensities))


@pytest.mark.parametrize("k", [1, 3, 8])
def test_ndcg_is_that_of_scikit_learn(k):
    rng = np.random.default_rng(0)
    Y = (rng.random((50, 8)) < 0.3).astype(int)
    Y[0] = 0
    scores = rng.random(Y.shape)
    expected = ndcg_score(Y, scores, k=k, ignore_ties=True)
    assert ndcg_at_k(Y, scores, k=k) == pytest.approx(expected)


def test_hand_worked_example():
    Y = [[1, 0, 1, 1], [0, 0, 0, 0]]
    ranking = np.array([[0, 1, 2], [3, 2, 1]])
    dcg, ideal = 1 + 1 / 2, 1 + 1 / log2(3) + 1 / 2
    assert precision_at_k(Y, ranking, k=3) == pytest.approx(2 / 3 / 2)
    assert recall_at_k(Y, ranking, k=3) == pytest.approx(2 / 3 / 2)
    assert ndcg_at_k(Y, ranking, k=3) == pytest.approx(dcg / ideal / 2)
    assert coverage_at_k(Y, ranking, k=3) == pytest.approx(2 / 3)
    p = [1.0, 1.0, 0.5, 0.25]  # weights 1, 1, 2, 4
    psp = propensity_scored_precision_at_k(Y, ranking, k=3, propensities=p)
    assert psp == pytest.approx((1 + 2) / (4 + 2 + 1))
    psndcg = propensity_scored_ndcg_at_k(Y, ranking, k=3, propensities=p)
    assert psndcg == pytest.approx((1 + 2 / 2) / (4 + 2 / log2(3) + 1 / 2))


def test_psndcg_normalizations_differ_once_a_row_has_fewer_than_k_true_labels():
    Y = [[1, 0], [1, 1]]
    ranking = (np.array([[1, 0], [0, 1]]), None)
    p, d = [0.5, 1.0], 1 / log2(3)  # weights 2, 1
    matlab = propensity_scored_ndcg_at_k(Y, ranking, k=2, propensities=p)
    assert matlab == pytest.approx((2 * d + 2 + d) / (2 + 2 + d))
    xclib = XCLIB(Y, ranking, k=2, propensities=p)
    ideal = 1 + d
    assert xclib == pytest.approx((2 * d + (2 + d) / ideal) / (2 + (2 + d) / ideal))


@pytest.mark.parametrize("dtype", [int, bool])
def test_array_of_scores_need_not_be_float(dtype):
    scores = np.array([[0, 1, 0]], dtype=dtype)
    assert precision_at_k([[0, 1, 0]], scores, k=1) == 1


def test_integer_array_as_wide_as_y_true_is_scores_but_a_tuple_is_a_ranking():
    Y, array = [[1, 0]], np.array([[0, 1]])
    assert precision_at_k(Y, array, k=1) == 0
    assert precision_at_k(Y, (array, None), k=1) == 1


def test_rounding_does_not_lift_a_perfect_ranking_above_1():
    # The sums behind these come out one unit in the last place above the ideal ones
    # (the first depends on the BLAS).
    assert 1 - 1e-12 < ndcg_at_k(np.ones((1, 35)), np.ones((1, 35)), k=35) <= 1
    ranking, p = (np.array([[0, 2, 1]]), None), [0.1, 0.1, 0.3]
    psp = propensity_scored_precision_at_k([[1, 1, 1]], ranking, k=3, propensities=p)
    assert psp == 1


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_no_true_labels_or_no_predictions_score_0(metric):
    nothing = sp.csr_array((4, 3))
    assert metric(nothing, np.ones((4, 3)), k=2) == 0
    assert metric(np.ones((4, 3)), nothing, k=2) == 0


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_inputs_are_left_as_they_are(metric):
    # Unsorted, with an explicit zero in the truth and duplicate scores.
    Y = sp.csr_matrix(([1.0, 0.0, 1.0], [2, 1, 0], [0, 2, 3]), shape=(2, 3))
    S = sp.csr_array(([0.1, 0.2, 0.3, 0.3], [2, 0, 1, 1], [0, 2, 4]), shape=(2, 3))
    before = as_bytes(Y) + as_bytes(S)
    metric(Y, S, k=2)
    assert as_bytes(Y) + as_bytes(S) == before


@pytest.mark.parametrize("metric", [*PLAIN, *WEIGHTED])
def test_sparse_input_is_never_made_dense(metric):
    n_samples, n_labels = 2000, 3_000_000  # 6 GB even as bool
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_labels, size=(n_samples, 1))
    indptr = np.arange(n_samples + 1)
    Y = sp.csr_array(
        (np.ones(n_samples), labels.ravel(), indptr), (n_samples, n_labels)
    )
    weighted = {"propensities": np.full(n_labels, 0.5)} if metric in WEIGHTED else {}
    tracemalloc.start()
    value = metric(Y, Y * 0.5, k=1, **weighted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert value == 1
    assert peak < 60e6  # two float64 per label, for the weights, are 48 MB


@pytest.mark.parametrize("metric", ALL_METRICS)
@pytest.mark.parametrize(
    ("y_true", "y_score", "k", "error", "message"),
    [
        ([[0, 1, 0]], [[0.1, 0.2, 0.3]], 4, ValueError, "k=4 .* number of labels 3"),
        ([[0, 1, 0]], [[0.1, 0.2, 0.3]], 1.0, TypeError, "k=1.0 is of type float"),
        (
            [[0, 2, 0]],
            [[0.1, 0.2, 0.3]],
            1,
            ValueError,
            "y_true must contain only 0 and 1; found 2",
        ),
        ([[0, np.nan, 0]], [[0.1, 0.2, 0.3]], 1, ValueError, "y_true .* found nan"),
        ([0, 1, 0], [[0.1, 0.2, 0.3]], 1, ValueError, r"y_true has shape \(3,\)"),
        (np.ones((0, 3)), np.ones((0, 3)), 1, ValueError, r"y_true .* \(0, 3\)"),
        ([[0, 1, 0]], [[0.1, 0.2]], 1, ValueError, r"\(1, 2\), but .* \(1, 3\)"),
        (
            [[0, 1, 0]],
            sp.csr_array((2, 3)),
            1,
            ValueError,
            r"\(2, 3\), but .* \(1, 3\)",
        ),
        ([[0, 1, 0]], [[0.1, np.nan, 0.3]], 1, ValueError, "y_score holds NaN"),
        ([[0, 1, 0]], sp.csr_array([[np.nan, 0, 0]]), 1, ValueError, "y_score .* NaN"),
        ([[0, 1, 0]], [[3, 1]], 1, ValueError, "ranks label 3 in row 0, .* 3 labels"),
        ([[0, 1, 0]], [[-2, 1]], 1, ValueError, "ranks label -2 in row 0"),
        ([[0, 1, 0]], [[1, 1]], 2, ValueError, "label 1 more than once .* row 0"),
        (
            [[0, 1, 0]],
            [[1, 2]],
            3,
            ValueError,
            r"shape \(1, 2\), but .* \(1, 3\) .* k=3",
        ),
        ([[0, 1, 0]], [[1], [2]], 1, ValueError, r"shape \(2, 1\), but .* \(1, 3\)"),
        ([[0, 1, 0]], np.array([1]), 1, ValueError, r"shape \(1,\), but .* \(1, 3\)"),
        ([[0, 1, 0]], ([[0.5]], None), 1, TypeError, "dtype float64"),
    ],
)
def test_metrics_reject(metric, y_true, y_score, k, error, message):
    with pytest.raises(error, match=message):
        metric(y_true, y_score, k=k)


def test_labels_beyond_the_first_k_are_not_looked_at():
    assert precision_at_k([[0, 1, 0]], (np.array([[1, 1, 9]]), None), k=1) == 1


@pytest.mark.parametrize("metric", WEIGHTED)
@pytest.mark.parametrize(
    ("propensities", "message"),
    [
        ([0.5, 0.5], r"shape \(2,\), but y_true has 3 labels"),
        ([0.5, 0.0, 1.0], "the value 0.0"),
        ([0.5, 4.0, 1.0], "the value 4.0; .* not inverse propensities"),
        ([0.5, np.nan, 1.0], "the value nan"),
    ],
)
def test_propensities_are_checked(metric, propensities, message):
    with pytest.raises(ValueError, match=message):
        metric([[0, 1, 0]], [[0.1, 0.2, 0.3]], k=1, propensities=propensities)


def test_psndcg_rejects_unknown_normalization():
    with pytest.raises(ValueError, match=r"normalization='pyxclib' is unknown"):
        propensity_scored_ndcg_at_k(
            [[1]], [[1.0]], propensities=[1], normalization="pyxclib"
        )


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(("a", "b"), [(0.55, 1.5), (0.5, 0.4), (0.6, 2.6)])
def test_label_propensities_follow_the_formula(container, a, b):
    truth = [{0}, {0, 1}, {0, 1}, {0}, set(), {0}]  # label 2 never occurs
    propensities = label_propensities(indicator(truth, 3, container), a=a, b=b)
    c = (log(6) - 1) * (b + 1) ** a
    expected = [1 / (1 + c * (count + b) ** -a) for count in (5, 2, 0)]
    np.testing.assert_allclose(propensities, expected)


@pytest.mark.parametrize("n_samples", [1, 2])
def test_label_propensities_stay_within_1_for_tiny_data(n_samples):
    Y = np.tile([1, 0], (n_samples, 1))
    np.testing.assert_array_equal(label_propensities(Y), [1.0, 1.0])


@pytest.mark.parametrize("parameters", [{"a": 0.0}, {"b": -1.5}])
def test_label_propensities_reject(parameters):
    (value,) = parameters.values()
    with pytest.raises(ValueError, match=f"{value}.* pass positive values"):
        label_propensities([[1, 0]], **parameters)
    with pytest.raises(ValueError, match="Y_train must contain only 0 and 1; found 3"):
        label_propensities([[1, 3]])


def test_tuples_are_pairs():
    with pytest.raises(ValueError, match="y_score is a tuple of 0"):
        precision_at_k([[0, 1]], (), k=1)
