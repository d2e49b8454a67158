"""Ridge regression, against scikit-learn's on the dense problem."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import Ridge

from skxmc._ridge import fit_ridge

TIGHT = {"tol": 1e-6, "max_iter": 1000}


def problem(n_samples=80, n_features=30, n_targets=3):
    rng = np.random.default_rng(0)
    X = sp.random_array((n_samples, n_features), density=0.3, format="csr", rng=rng)
    W = rng.standard_normal((n_features, n_targets))
    Z = X @ W + 5 + 0.3 * rng.standard_normal((n_samples, n_targets))
    return X.astype(np.float32), Z.astype(np.float32)


def reference(X, Z, alpha):
    """Solve the documented problem in float64: weight and bias."""
    X = X.toarray().astype(np.float64)
    penalty = alpha * np.mean(np.sum(X**2, axis=1))
    ridge = Ridge(alpha=penalty, solver="svd").fit(X, Z)
    return ridge.coef_.reshape(Z.shape[1], -1).T, ridge.intercept_


def with_columns(X, *columns):
    columns = [np.full((X.shape[0], 1), value) for value in columns]
    return sp.hstack([X, *columns], format="csr", dtype=np.float32)


@pytest.mark.parametrize("alpha", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(
    ("n_samples", "n_features", "n_targets"),
    [(80, 30, 3), (30, 80, 3), (40, 10, 64), (40, 10, 65), (40, 10, 130), (1, 4, 2)],
)
def test_solution_is_scikit_learns(n_samples, n_features, n_targets, alpha):
    X, Z = problem(n_samples, n_features, n_targets)
    weight, bias = fit_ridge(X, Z, alpha, **TIGHT)
    expected_weight, expected_bias = reference(X, Z, alpha)
    np.testing.assert_allclose(weight, expected_weight, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(bias, expected_bias, rtol=1e-3, atol=1e-3)
    assert weight.dtype == bias.dtype == np.float32


def test_default_tolerance_is_close_in_predictions():
    X, Z = problem()
    weight, bias = fit_ridge(X, Z, 0.1)
    expected_weight, expected_bias = reference(X, Z, 0.1)
    error = (X @ weight + bias) - (X @ expected_weight + expected_bias)
    assert np.linalg.norm(error) < 0.02 * np.linalg.norm(Z - Z.mean(axis=0))


@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e6])
def test_predictions_do_not_depend_on_the_scale_of_X(factor):
    X, Z = problem()
    weight, bias = fit_ridge(X, Z, 0.1, **TIGHT)
    scaled = X * np.float32(factor)
    scaled_weight, scaled_bias = fit_ridge(scaled, Z, 0.1, **TIGHT)
    np.testing.assert_allclose(
        scaled @ scaled_weight + scaled_bias, X @ weight + bias, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("constant", [0.0, 1.0, -3.0])
def test_a_constant_column_has_no_weight(constant):
    X, Z = problem()
    X = with_columns(X, constant)
    weight, bias = fit_ridge(X, Z, 0.1, **TIGHT)
    expected_weight, expected_bias = reference(X, Z, 0.1)
    np.testing.assert_allclose(weight[-1], 0, atol=1e-3)
    np.testing.assert_allclose(weight, expected_weight, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(bias, expected_bias, rtol=1e-3, atol=1e-2)


def test_constant_targets_are_the_bias_beside_others():
    X, Z = problem()
    Z[:, 1] = 7
    weight, bias = fit_ridge(X, Z, 0.1, **TIGHT)
    assert np.abs(weight[:, 1]).max() < 1e-5
    assert bias[1] == pytest.approx(7)
    np.testing.assert_allclose(weight, reference(X, Z, 0.1)[0], rtol=1e-3, atol=1e-3)


def test_without_input_the_prediction_is_the_mean():
    _, Z = problem()
    weight, bias = fit_ridge(sp.csr_array((len(Z), 6), dtype=np.float32), Z, 0.1)
    assert not weight.any()
    np.testing.assert_allclose(bias, Z.mean(axis=0, dtype=np.float64), rtol=1e-5)


def test_arguments_are_unchanged():
    X, Z = problem()
    before = [part.tobytes() for part in (X.data, X.indices, X.indptr, Z)]
    fit_ridge(X, Z, 0.1)
    assert [part.tobytes() for part in (X.data, X.indices, X.indptr, Z)] == before
