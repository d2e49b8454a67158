"""Reliability of probabilities: by construction, by loops, and beside scikit-learn."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from skxmc.metrics import expected_calibration_error, reliability_curve


def problem(seed, n=40, n_labels=12):
    rng = np.random.default_rng(seed)
    P = rng.random((n, n_labels)).round(3)
    return (rng.random(P.shape) < P).astype(int), P


def test_curve_over_all_labels_is_that_of_scikit_learn():
    Y, P = problem(0, n=50, n_labels=8)
    P = np.random.default_rng(1).permutation(P.size).reshape(P.shape) / P.size
    found = reliability_curve(Y, P, k=8, n_bins=10)
    expected = calibration_curve(Y.ravel(), P.ravel(), n_bins=10, strategy="quantile")
    np.testing.assert_allclose(found[:2], expected)
    assert found[2].tolist() == [40] * 10


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 30))
def test_bins_are_those_of_a_loop(seed, k, n_bins):
    Y, P = problem(seed, n=9)
    P = P.round(1)  # many are equal
    pairs = [
        (P[i, j], Y[i, j])
        for i in range(len(P))
        for j in sorted(range(12), key=lambda j, i=i: -P[i, j])[:k]
    ]
    ordered = sorted(p for p, _ in pairs)
    starts = sorted({ordered[b * len(ordered) // n_bins] for b in range(n_bins)})
    ends = [*starts[1:], 2]
    bins = [
        [(p, y) for p, y in pairs if low <= p < high]
        for low, high in zip(starts, ends, strict=True)
    ]
    prob_true, prob_pred, n_pairs = reliability_curve(Y, P, k=k, n_bins=n_bins)
    assert n_pairs.tolist() == [len(b) for b in bins]
    np.testing.assert_allclose(prob_pred, [np.mean([p for p, _ in b]) for b in bins])
    np.testing.assert_allclose(prob_true, [np.mean([y for _, y in b]) for b in bins])
    gaps = [abs(sum(p - y for p, y in b)) for b in bins]
    error = expected_calibration_error(Y, P, k=k, n_bins=n_bins)
    assert error == pytest.approx(sum(gaps) / len(pairs))


@pytest.mark.parametrize("k", [1, 5])
def test_forms_of_the_prediction_agree(k):
    Y, P = problem(3)
    order = np.argsort(-P, axis=1, kind="stable")
    ranking = order, np.take_along_axis(P, order, axis=1)
    expected = reliability_curve(Y, P, k=k)
    for y_true, y_prob in (
        (Y, ranking),
        (sp.csr_array(Y), sp.csr_array(P)),
        (sp.coo_matrix(Y), sp.csc_matrix(P)),
    ):
        found = reliability_curve(y_true, y_prob, k=k)
        np.testing.assert_array_equal(np.stack(found), np.stack(expected))


def test_absent_labels_are_no_pairs():
    P = sp.csr_array(([0.5], ([0], [1])), shape=(3, 4))
    Y = [[0, 1, 0, 0]] * 3
    assert reliability_curve(Y, P, k=2)[2].tolist() == [1]
    ranking = np.array([[1, -1]] * 3), np.array([[0.5, -np.inf]] * 3)
    assert reliability_curve(Y, ranking, k=2)[2].tolist() == [3]


def test_error_is_small_for_the_truth_and_known_for_a_constant():
    Y, P = problem(5, n=5000, n_labels=10)
    assert expected_calibration_error(Y, P, k=10) < 0.02
    constant = np.full(P.shape, 0.9)
    error = expected_calibration_error(Y, constant, k=10)
    assert error == pytest.approx(0.9 - Y.mean())


@pytest.mark.parametrize(
    ("y_prob", "arguments", "error", "message"),
    [
        ([[0.5, 1.5]], {}, ValueError, "holds 1.5, which is no probability"),
        ([[2.0, 0.5]], {}, ValueError, "holds 2.0"),
        (([[1, 0]], [[np.nan, 0.5]]), {}, ValueError, "holds nan"),
        ((np.array([[1, 0]]), None), {}, ValueError, "ranking without scores"),
        ((np.array([[1, 0]]), [[0.5]]), {}, ValueError, "have shape .1, 1."),
        (sp.csr_array((1, 2)), {}, ValueError, "ranks no label in any of 1 rows"),
        ([[0.5, 0.2]], {"n_bins": 0}, ValueError, "n_bins=0 is smaller than 1"),
        ([[0.5, 0.2]], {"n_bins": 2.0}, TypeError, "n_bins=2.0 is of type float"),
        ([[0.5, 0.2]], {"k": 3}, ValueError, "k=3 is larger"),
    ],
)
def test_wrong_arguments_are_named(y_prob, arguments, error, message):
    with pytest.raises(error, match=message):
        reliability_curve([[1, 0]], y_prob, **{"k": 2, **arguments})
