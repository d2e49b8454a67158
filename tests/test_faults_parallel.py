"""Processes, threads and repetition: no hang, and the same results everywhere."""

import multiprocessing
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from _estimators import ESTIMATORS
from _faults import (
    N_LABELS,
    answers,
    arrays,
    contents,
    each_estimator,
    fitted,
    fresh,
    in_subprocess,
    problem,
)
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skxmc.datasets import make_xmc_classification


def bits(results):
    return [contents(result) for result in results]


def answers_and_warnings(model, X):
    """Predict, and return what was said and warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = bits(answers(model, X))
    messages = [(w.category, str(w.message)) for w in caught]
    return multiprocessing.current_process().pid, messages, result


def predict_after_fork(estimator):
    """Use OpenMP, then fork, then predict in the children."""
    X, Y = problem()
    torch.set_num_threads(2)
    torch.ones(2000, 2000) @ torch.ones(2000, 2000)
    model = fresh(estimator).fit(X, Y)
    expected = bits(answers(model, X))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        parts = [(model, X)] * 6
        results = pool.starmap(answers_and_warnings, parts, chunksize=1)
    by_process = {}
    for pid, messages, result in results:
        assert result == expected
        by_process.setdefault(pid, []).extend(messages)
    return list(by_process.values())


def fit_after_fork(estimator):
    """Use OpenMP, then fork, then fit and predict in the child."""
    torch.set_num_threads(2)
    torch.ones(2000, 2000) @ torch.ones(2000, 2000)
    answers(fitted(estimator), problem()[0])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        model = pool.apply(fit_quietly, [estimator])
        return pool.apply(answers, [model, problem()[0]])


def fit_quietly(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return fresh(estimator).fit(*problem())


@each_estimator
def test_c01_prediction_in_a_fork_after_openmp_does_not_hang(estimator):
    result = in_subprocess(predict_after_fork, estimator, timeout=60)
    assert result.returncode == 0
    for messages in result.value:
        [(category, text)] = messages  # one warning in each process, not in each call
        assert category is RuntimeWarning
        assert "forked after OpenMP use" in text
        assert "loky or spawn" in text


@each_estimator
def test_c01_fit_in_a_fork_after_openmp_does_not_hang(estimator):
    result = in_subprocess(fit_after_fork, estimator, timeout=60)
    assert result.returncode == 0
    expected = answers(fitted(estimator), problem()[0])
    assert_all_close(result.value, expected)


def assert_all_close(results, expected):
    for a, b in zip(results, expected, strict=True):
        a, b = (M.toarray() if sp.issparse(M) else M for M in (a, b))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def fit_and_answer(estimator, seed):
    X, Y = problem()
    model = fresh(estimator, random_state=seed).fit(X[:40], Y[:40, :5].toarray())
    return answers(model, X[40:])


@each_estimator
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_c02_joblib_gives_the_same_as_one_job(estimator, backend):
    with parallel_config(backend=backend):
        results = Parallel(n_jobs=2)(
            delayed(fit_and_answer)(estimator, seed) for seed in range(3)
        )
    for seed, result in enumerate(results):
        assert_all_close(result, fit_and_answer(estimator, seed))


@pytest.mark.slow
def test_c02_spawned_processes_give_the_same():
    # All estimators at once: it is the start of the processes that takes the time.
    jobs = [(estimator, 0) for estimator in ESTIMATORS]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.starmap(fit_and_answer, jobs)
    for job, result in zip(jobs, results, strict=True):
        assert_all_close(result, fit_and_answer(*job))


def count_threads(model, X, y):
    """Scorer that tells the number of threads of the process it runs in."""
    model.predict_topk(X, k=1)
    return torch.get_num_threads()


@each_estimator
def test_c03_workers_of_a_grid_search_stay_on_one_thread(estimator):
    grid = {"lr": [1e-3, 1e-2], "threshold": [0.2, 0.5]}
    X, Y = problem()
    search = GridSearchCV(fresh(estimator), grid, cv=2, n_jobs=2, scoring=count_threads)
    with warnings.catch_warnings():
        # Half of so few rows holds no row of some labels.
        warnings.filterwarnings("ignore", "Of 8 labels", UserWarning)
        search.fit(X, Y[:, Y.sum(axis=0) > 9])
    assert (search.cv_results_["mean_test_score"] == 1).all()
    assert (search.cv_results_["std_test_score"] == 0).all()


@pytest.mark.slow
@each_estimator
def test_c03_two_jobs_take_no_longer_than_one(estimator):
    X, Y = make_xmc_classification(3000, 5000, 200, n_nonzero=40, random_state=0)
    Y = Y[:, Y.sum(axis=0) > 20]
    grid = {"lr": [1e-3, 2e-3], "threshold": [0.2, 0.5]}
    seconds = {1: [], 2: []}
    for _ in range(2):
        for n_jobs in seconds:
            Parallel(n_jobs=n_jobs)(delayed(fitted)(estimator) for _ in range(4))
            model = clone(estimator).set_params(max_epochs=10)
            search = GridSearchCV(model, grid, cv=2, n_jobs=n_jobs)
            start = time.perf_counter()
            search.fit(X, Y)
            seconds[n_jobs].append(time.perf_counter() - start)
    assert min(seconds[2]) <= 1.5 * min(seconds[1])


@each_estimator
def test_c04_threads_predict_with_one_model_at_the_same_time(estimator):
    X = problem()[0]
    model, n_threads = fitted(estimator), torch.get_num_threads()
    expected = bits(answers(model, X))
    for _ in range(10):
        with ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(answers, model, X) for _ in range(4)]
        assert all(bits(call.result()) == expected for call in calls)
    assert torch.get_num_threads() == n_threads


@each_estimator
def test_c05_threads_fit_at_the_same_time(estimator):
    X, Y = problem()
    models = [fresh(estimator, random_state=seed) for seed in range(4)]
    expected = [bits(answers(clone(model).fit(X, Y), X)) for model in models]
    n_threads, generator = torch.get_num_threads(), torch.get_rng_state()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda model: model.fit(X, Y), models))
    assert [bits(answers(model, X)) for model in models] == expected
    assert torch.get_num_threads() == n_threads
    assert torch.equal(torch.get_rng_state(), generator)


@each_estimator
@pytest.mark.parametrize("early_stopping", [False, True])
def test_c06_same_seed_gives_the_same_weights(estimator, early_stopping):
    X, Y = problem()
    first, second, other = (
        fresh(estimator, random_state=seed, early_stopping=early_stopping).fit(X, Y)
        for seed in (7, 7, 8)
    )
    assert bits(arrays(first)) == bits(arrays(second))
    assert bits(answers(first, X)) == bits(answers(second, X))
    assert bits(arrays(first)) != bits(arrays(other))


def stack(parts):
    make = sp.vstack if sp.issparse(parts[0]) else np.concatenate
    return make(parts)


@each_estimator
def test_c08_a_row_gives_the_same_bits_alone_and_in_any_order(estimator):
    X = sp.vstack([problem()[0]] * 2, format="csr")[:90]  # in two blocks
    X.data *= np.random.default_rng(0).uniform(0.5, 2, X.nnz).astype(np.float32)
    model = fitted(estimator)
    together = answers(model, X)
    alone = [answers(model, X[[row]]) for row in range(X.shape[0])]
    order = np.random.default_rng(1).permutation(X.shape[0])
    permuted = answers(model, X[order])
    for i, result in enumerate(together):
        same = stack([row[i] for row in alone])
        back = permuted[i][np.argsort(order)]
        for other in (same, back):
            if sp.issparse(other):
                other.sort_indices()
                assert (result != other).nnz == 0
            else:
                assert np.array_equal(result, other)


@each_estimator
def test_c09_dense_and_sparse_x_give_the_same(estimator):
    X, Y = problem()
    model = fresh(estimator).fit(X.toarray(), Y)
    sparse = model.predict_topk(X, k=3)
    dense = model.predict_topk(X.toarray(), k=3)
    assert np.array_equal(sparse[0], dense[0])
    np.testing.assert_allclose(sparse[1], dense[1], rtol=1e-6)
    assert np.array_equal(sparse[0], fitted(estimator).predict_topk(X, k=3)[0])


@each_estimator
def test_c09_equal_scores_are_ranked_by_lowest_label(estimator):
    X, Y = problem()
    # A twin of every label: each has the score of the other.
    twins = sp.hstack([Y, Y], format="csr")
    model = fresh(estimator).fit(X, twins)
    indices, scores = model.predict_topk(X, k=2 * N_LABELS)
    # Labels of score 0 or 1 stand in order of preference: it is said in the docs.
    tied = (scores[:, :-1] == scores[:, 1:]) & (scores[:, 1:] > 0) & (scores[:, 1:] < 1)
    assert tied.any()
    assert (np.diff(indices, axis=1)[tied] > 0).all()


IMPORT_SCRIPT = """
import os, signal, sys, threading, warnings
import joblib, scipy.sparse, skorch, sklearn.model_selection, torch, tqdm
def state():
    return (
        dict(os.environ), torch.get_num_threads(), torch.get_num_interop_threads(),
        torch.get_default_dtype(), torch.get_rng_state().tolist(),
        list(warnings.filters), signal.getsignal(signal.SIGINT),
        threading.active_count(), os.getcwd(),
    )
before = state()
import skxmc, skxmc.metrics, skxmc.datasets
assert state() == before
assert "faiss" not in sys.modules
assert not torch.cuda.is_initialized()
"""


def test_c10_import_changes_nothing_and_loads_no_faiss():
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_SCRIPT],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
