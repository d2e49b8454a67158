"""One support vector machine a label, against scikit-learn's own."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.svm import LinearSVC

from skxmc._mapped import MappedCSR
from skxmc._squared_hinge import fit_squared_hinge


def one_hot(y):
    ones, rows = np.ones(len(y), dtype=np.float32), np.arange(len(y))
    return sp.csr_array((ones, (rows, y)))


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = sp.random_array((300, 40), density=0.2, rng=rng, dtype=np.float32).tocsr()
    y = (X @ rng.normal(size=(40, 5))).argmax(axis=1)
    return X, y


def objective(f, w, bias, truth, alpha):
    margins = 1 - np.where(truth, 1, -1) * f
    return (np.maximum(margins, 0) ** 2).sum() + alpha * ((w**2).sum() + bias**2)


def assert_as_good_as_liblinear(X, y, alpha, tolerance):
    n_labels, scale = y.max() + 1, np.sqrt(X.shape[0] / X.power(2).sum())
    eye = np.eye(n_labels, dtype=np.float32)
    weight, bias, recall = fit_squared_hinge(X, one_hot(y), 6 * alpha, eye)
    f = 2 * (X @ weight + bias) - 1
    for label in range(n_labels):
        exact = LinearSVC(C=1 / (2 * alpha), tol=1e-6, dual=True, max_iter=10**5)
        exact.fit(X * scale, y == label)
        best = exact.decision_function(X * scale), exact.coef_[0], exact.intercept_[0]
        w, b = 2 * weight[:, label] / scale, 2 * bias[label] - 1
        found = objective(f[:, label], w, b, y == label, alpha)
        assert found <= (1 + tolerance) * objective(*best, y == label, alpha)
    assert recall == np.mean(f[np.arange(len(y)), y] > 0)


def test_minimises_the_objective_of_each_label(problem):
    assert_as_good_as_liblinear(*problem, 0.5, 0.01)


def test_rows_left_out_are_beyond_their_margin():
    """Of 4000 rows with 60 labels each label is given some first: those near it."""
    rng = np.random.default_rng(0)
    y = rng.integers(60, size=4000)
    words = rng.random((60, 400)) < 0.03
    X = sp.csr_array((words[y] | (rng.random((4000, 400)) < 0.02)).astype(np.float32))
    assert_as_good_as_liblinear(X, y, 0.5, 0.05)


def test_codes_are_those_of_the_labels(problem):
    X, y = problem
    projection = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    labels = np.eye(5, dtype=np.float32)
    weight, bias, _ = fit_squared_hinge(X, one_hot(y), 1.0, labels)
    codes = fit_squared_hinge(X, one_hot(y), 1.0, projection)
    np.testing.assert_allclose(codes[0], weight @ projection, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(codes[1], bias @ projection, rtol=1e-4, atol=1e-5)


def test_labels_of_every_row_and_of_none_are_constants(problem):
    X, y = problem
    Y = sp.csr_array(np.stack([np.ones(300), np.zeros(300), y == 0], axis=1))
    eye = np.eye(3, dtype=np.float32)
    weight, bias, _ = fit_squared_hinge(X, Y.astype(np.float32), 1.0, eye)
    assert not weight[:, :2].any()
    np.testing.assert_array_equal(bias[:2], [1, 0])


@pytest.mark.parametrize("shape", [(300, 40), (300, 3000), (2000, 100)])
def test_what_is_learned_is_the_same_on_any_number_of_threads(shape, monkeypatch):
    rng = np.random.default_rng(0)
    X = sp.random_array(shape, density=0.1, rng=rng, dtype=np.float32).tocsr()
    y = (X @ rng.normal(size=(shape[1], 40))).argmax(axis=1)
    eye = np.eye(40, dtype=np.float32)
    found = []
    for count in (1, 3):
        monkeypatch.setattr("skxmc._nn.n_available", lambda count=count: count)
        found.append(fit_squared_hinge(X, one_hot(y), 1.0, eye))
    for one, several in zip(*found, strict=True):
        np.testing.assert_array_equal(one, several)


def test_numpys_global_generator_is_left_alone(problem):
    before = np.random.get_state()[1:3]  # noqa: NPY002
    fit_squared_hinge(problem[0], one_hot(problem[1]), 1.0, np.eye(5))
    after = np.random.get_state()[1:3]  # noqa: NPY002
    np.testing.assert_equal(after, before)


def test_mapped_rows_are_refused(problem):
    X, y = problem
    with pytest.raises(ValueError, match=r"needs X and y in memory.*MappedCSR"):
        fit_squared_hinge(MappedCSR(X), one_hot(y), 1.0, np.eye(5))
