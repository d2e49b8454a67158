"""Predictions and searches by several processes, of joblib and of Dask."""

import os

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV

from skxmc import DECLAREClassifier, XMCTextClassifier
from skxmc.datasets import make_xmc_classification
from skxmc.distributed import open_model, predict_topk

X, Y = make_xmc_classification(200, 40, 10, random_state=0)
BLOCKS = [X[:30], X[30:31], X[31:150], X[150:]]


@pytest.fixture(scope="module")
def model():
    return DECLAREClassifier(n_components=8, max_epochs=1, random_state=0).fit(X, Y)


@pytest.fixture
def path(model, tmp_path):
    model.save(tmp_path / "model.skxmc")
    return tmp_path / "model.skxmc"


@pytest.fixture(scope="module")
def dask_client():
    """A local cluster of two processes."""
    distributed = pytest.importorskip("dask.distributed")
    with distributed.Client(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as client:
        yield client


def assert_ranked(parts, model, X, k):
    indices, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
    expected = model.predict_topk(X, k=k)
    np.testing.assert_array_equal(indices, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


def process_of(path):
    return os.getpid(), id(open_model(path))


@pytest.mark.parametrize(
    "backend",
    ["sequential", "threading", pytest.param("loky", marks=pytest.mark.slow)],
)
def test_blocks_are_ranked_as_all_rows_at_once(backend, model, path):
    blocks = (block for block in BLOCKS)
    with parallel_config(backend=backend, n_jobs=2):
        assert_ranked(predict_topk(path, blocks, k=3), model, X, 3)


def test_texts_and_relative_paths(tmp_path, monkeypatch):
    texts = ["red wine", "white wine", "red apple", "green apple"] * 10
    tags = [["drink", "red"], ["drink"], ["fruit", "red"], ["fruit"]] * 10
    model = XMCTextClassifier(DECLAREClassifier(random_state=0)).fit(texts, tags)
    monkeypatch.chdir(tmp_path)
    model.save("model.skxmc")
    parts = predict_topk("model.skxmc", [texts[:3], texts[3:]], k=2)
    assert_ranked(parts, model, texts, 2)


def test_a_file_is_opened_once_and_anew_when_replaced(model, path):
    first = open_model(path)
    assert open_model(str(path)) is first
    other = DECLAREClassifier(n_components=4, max_epochs=1, random_state=0).fit(X, Y)
    other.save(path)
    assert open_model(path).n_components_ == 4
    assert first.n_components_ == 8
    assert_ranked([first.predict_topk(X, k=2)], model, X, 2)


def test_errors_arrive(path, tmp_path):
    with pytest.raises(FileNotFoundError):
        next(predict_topk(tmp_path / "nothing.skxmc", [X]))
    with pytest.raises(ValueError, match="k=11 is larger than the number of labels"):
        list(predict_topk(path, BLOCKS, k=11))


def test_no_blocks(path):
    assert list(predict_topk(path, [])) == []


def test_dask_ranks_blocks(model, path, dask_client):
    with parallel_config(backend="dask"):
        assert_ranked(predict_topk(path, iter(BLOCKS), k=3), model, X, 3)


def test_dask_workers_keep_the_model_open(path, dask_client):
    calls = [
        dask_client.submit(process_of, path, workers=[worker], pure=False)
        for worker in dask_client.scheduler_info()["workers"]
        for _ in range(3)
    ]
    seen = dask_client.gather(calls)
    assert len({pid for pid, _ in seen}) == 2
    assert len(set(seen)) == 2  # one model a process, not one a call


def test_dask_bag_ranks_its_partitions(model, path, dask_client):
    bag = pytest.importorskip("dask.bag")
    rows = bag.from_sequence(range(X.shape[0]), npartitions=4)

    def rank(numbers):
        return [open_model(path).predict_topk(X[list(numbers)], k=3)]

    assert_ranked(rows.map_partitions(rank).compute(), model, X, 3)


def test_dask_searches_as_one_process_does(dask_client):
    grid = {"n_components": [4, 8], "sharpening": [1, 24]}
    estimator = DECLAREClassifier(max_epochs=1, random_state=0)
    answers = []
    for backend, n_jobs in (("sequential", 1), ("dask", 2)):
        with parallel_config(backend=backend, n_jobs=n_jobs):
            search = GridSearchCV(estimator, grid, cv=2).fit(X, Y)
        ranking = search.best_estimator_.predict_topk(X, k=5)
        answers.append([*ranking, search.cv_results_["mean_test_score"]])
    for ours, theirs in zip(*answers, strict=True):
        np.testing.assert_array_equal(ours, theirs)
