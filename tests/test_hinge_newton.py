"""Squared hinge losses side by side, against a general minimiser of each alone."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize

from skxmc._hinge_newton import minimise, spans_side_by_side, stack_rows


def random_rows(n_rows, n_columns, seed):
    rng = np.random.default_rng(seed)
    shape = n_rows, n_columns
    return sp.random_array(shape, density=0.3, rng=rng, dtype=np.float32).tocsr()


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = random_rows(200, 30, 1)
    chosen = [np.sort(rng.permutation(200)[:size]) for size in (200, 60, 1, 25)]
    truth = [rng.random(len(rows)) < 0.3 for rows in chosen]
    return X, chosen, truth


def objective(w, A, t, alpha):
    margins = np.maximum(1 - t * (A @ w), 0)
    gradient = -2 * A.T @ (t * margins) + 2 * alpha * w
    return (margins**2).sum() + alpha * (w**2).sum(), gradient


def with_ones(A):
    return np.hstack([A.toarray().astype(float), np.ones((A.shape[0], 1))])


@pytest.mark.parametrize("most_marked", [0, 2**23])
def test_rows_are_stacked_with_their_columns(problem, most_marked, monkeypatch):
    monkeypatch.setattr("skxmc._hinge_newton.MOST_MARKED", most_marked)
    X, chosen, truth = problem
    stacked, columns = stack_rows(X, chosen, truth)
    blocks = []
    ends = np.cumsum(stacked.n_columns)[:-1]
    for rows, own in zip(chosen, np.split(columns, ends), strict=True):
        blocks.append(with_ones(X[rows])[:, own])
        left_out = np.setdiff1d(np.arange(X.shape[1]), own)
        assert own[-1] == X.shape[1]
        assert not X[rows][:, left_out].nnz
    expected = sp.block_diag(blocks).toarray()
    np.testing.assert_array_equal(stacked.rows.toarray(), expected.astype(np.float32))
    signs = np.where(np.concatenate(truth), 1, -1)
    np.testing.assert_array_equal(stacked.truth, signs)


@pytest.mark.parametrize("alpha", [0.1, 2.0])
def test_each_label_has_the_minimum_of_its_own_rows(problem, alpha):
    X, chosen, truth = problem
    stacked, columns = stack_rows(X, chosen, truth)
    w = np.zeros(stacked.rows.shape[1], dtype=np.float32)
    w, f = minimise(stacked, w, alpha, 1e-4)
    np.testing.assert_allclose(f, stacked.rows @ w, rtol=1e-4, atol=1e-5)
    ends = np.cumsum(stacked.n_columns)[:-1]
    parts = np.split(columns, ends), truth, np.split(w, ends)
    for rows, own, is_true, found in zip(chosen, *parts, strict=True):
        A, t = with_ones(X[rows])[:, own], np.where(is_true, 1.0, -1.0)
        best = minimize(
            objective, np.zeros(len(own)), (A, t, alpha), jac=True, tol=1e-10
        )
        assert objective(found, A, t, alpha)[0] <= 1.001 * best.fun + 1e-6
        np.testing.assert_allclose(found, best.x, atol=0.02 * abs(best.x).max())


def test_rows_without_values_have_the_bias_alone():
    X = sp.csr_array((4, 3), dtype=np.float32)
    stacked, columns = stack_rows(X, [np.arange(4)], [np.array([True] + 3 * [False])])
    w, f = minimise(stacked, np.zeros(1, dtype=np.float32), 1.0, 1e-4)
    # (1 - b)^2 + 3 (1 + b)^2 + b^2 is least where 10 b = -4
    np.testing.assert_allclose(w, [-0.4], rtol=1e-3)
    np.testing.assert_allclose(f, 4 * [-0.4], rtol=1e-3)
    assert [*columns] == [3]


def test_a_start_at_the_minimum_stays_there(problem):
    X, chosen, truth = problem
    stacked, _ = stack_rows(X, chosen, truth)
    zero = np.zeros(stacked.rows.shape[1], dtype=np.float32)
    best, _ = minimise(stacked, zero, 0.5, 1e-4)
    again, _ = minimise(stacked, best, 0.5, 1e-3)
    np.testing.assert_array_equal(again, best)


def test_labels_are_solved_for_alike_alone_and_beside_others(problem):
    """Labels that rest sooner leave the others' steps as they are."""
    X, chosen, truth = problem
    stacked, _ = stack_rows(X, chosen, truth)
    zero = np.zeros(stacked.rows.shape[1], dtype=np.float32)
    together, _ = minimise(stacked, zero, 0.5, 1e-3)
    ends = np.cumsum(stacked.n_columns)[:-1]
    parts = truth, np.split(together, ends)
    for rows, is_true, found in zip(chosen, *parts, strict=True):
        alone, _ = stack_rows(X, [rows], [is_true])
        w, _ = minimise(alone, np.zeros(len(found), dtype=np.float32), 0.5, 1e-3)
        np.testing.assert_allclose(found, w, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("size", [1, 500, 2**19])
def test_every_label_is_in_one_span(problem, size, monkeypatch):
    monkeypatch.setattr("skxmc._hinge_newton.N_STACKED", size)
    n_rows = np.array([200, 60, 1, 25, 30])
    spans = spans_side_by_side(problem[0], n_rows)
    assert [n for span in spans for n in range(5)[span]] == [*range(5)]
    if size == 1:
        assert len(spans) == 5
