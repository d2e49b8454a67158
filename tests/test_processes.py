"""Tests of trainings that several processes share (skxmc._nn._processes, _divided)."""

import multiprocessing
import os
import pickle
import socket

import numpy as np
import pytest
import torch

from skxmc import (
    DECLAREClassifier,
    MultiHeadEncodingClassifier,
    UniDECClassifier,
)
from skxmc.datasets import make_xmc_classification

N_PROCESSES = 2
# With batches of 64, the last one has a single row: some processes have none of it.
X, Y = make_xmc_classification(321, 150, 90, random_state=0)
Y = Y[:, np.bincount(Y.indices, minlength=90) > 1]
OPTIONS = {"max_epochs": 2, "batch_size": 64, "random_state": 0, "distributed": True}
HEADS = {"hidden_layer_sizes": (32,), "n_components": 16, **OPTIONS}
CASES = {
    "one head": (MultiHeadEncodingClassifier, HEADS),
    "cascade": (MultiHeadEncodingClassifier, HEADS | {"n_heads": 2}),
    "three levels": (
        MultiHeadEncodingClassifier,
        HEADS
        | {"head_sizes": (5, 5, 4), "n_candidate_groups": 3, "early_stopping": True},
    ),
    "product": (
        MultiHeadEncodingClassifier,
        HEADS | {"variant": "product", "n_heads": 2, "average_weights": True},
    ),
    "sampling": (
        MultiHeadEncodingClassifier,
        HEADS | {"variant": "sampling", "early_stopping": True},
    ),
    "declare": (
        DECLAREClassifier,
        OPTIONS | {"hidden_layer_sizes": (32,), "n_components": 16},
    ),
    "unidec": (
        UniDECClassifier,
        HEADS | {"early_stopping": True, "refresh_every": 1, "weight_decay": 0.01},
    ),
}


def fit(name):
    """Fit a case; return its loss curve and rankings."""
    kind, options = CASES[name]
    model = kind(**options).fit(X, Y)
    copied = pickle.loads(pickle.dumps(model))
    return np.array(model.loss_curve_), *copied.predict_topk(X, k=5)


def error_of(function):
    """Return the error that a call ends in, as text."""
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def work(rank, port, outcomes):
    """Do all fits as one of the processes, and tell of an error at once."""
    try:
        outcomes.put((rank, all_fits(rank, port)))
    except Exception as error:
        outcomes.put((rank, error))
        raise


def all_fits(rank, port):
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(N_PROCESSES),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    outcome = {name: fit(name) for name in CASES}
    model = MultiHeadEncodingClassifier(**HEADS)
    outcome["more"] = model.fit(X, Y).set_params(warm_start=True).fit(X, Y).loss_curve_
    unseeded = MultiHeadEncodingClassifier(**HEADS | {"random_state": None})
    outcome["unseeded"] = unseeded.fit(X, Y).predict_topk(X, k=3)
    alone = MultiHeadEncodingClassifier(**HEADS | {"distributed": False})
    outcome["alone"] = alone.fit(X[rank:], Y[rank:]).loss_curve_
    kept = MultiHeadEncodingClassifier(checkpoint="folder", **HEADS)
    outcome["checkpoint"] = error_of(lambda: kept.fit(X, Y))
    outcome["other rows"] = error_of(lambda: model.fit(X[rank:], Y[rank:]))
    diverging = MultiHeadEncodingClassifier(**HEADS | {"lr": 1e20})
    outcome["divergence"] = error_of(lambda: diverging.fit(X, Y))
    return outcome


@pytest.fixture(scope="module")
def outcomes():
    """What each of the processes makes of all cases."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [
        context.Process(target=work, args=(rank, port, queue))
        for rank in range(N_PROCESSES)
    ]
    for process in processes:
        process.start()
    try:
        found = dict(queue.get(timeout=300) for _ in processes)
    finally:
        for process in processes:
            process.join(timeout=30)
            process.kill()
    for outcome in found.values():
        if isinstance(outcome, Exception):
            raise outcome
    return [found[rank] for rank in range(N_PROCESSES)]


# Not a test for each case: pytest-xdist would spread them, and fit all in each worker.
def test_processes_train_what_one_would(outcomes):
    for name in CASES:
        losses, indices, scores = fit(name)
        assert len(losses) == 2
        for outcome in outcomes:
            found = outcome[name]
            np.testing.assert_allclose(found[0], losses, rtol=1e-4, err_msg=name)
            np.testing.assert_allclose(found[2], scores, atol=1e-2, err_msg=name)
            assert (found[1] == indices).mean() > 0.99, name


def test_all_processes_have_the_same_model(outcomes):
    for name in CASES:
        first, second = (outcome[name] for outcome in outcomes)
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_a_shared_model_is_trained_further(outcomes):
    model = MultiHeadEncodingClassifier(**HEADS).fit(X, Y).set_params(warm_start=True)
    expected = model.fit(X, Y).loss_curve_
    for outcome in outcomes:
        np.testing.assert_allclose(outcome["more"], expected, rtol=1e-4)


def test_processes_agree_on_a_seed(outcomes):
    first, second = (outcome["unseeded"] for outcome in outcomes)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_nothing_is_shared_unless_asked(outcomes):
    for rank, outcome in enumerate(outcomes):
        model = MultiHeadEncodingClassifier(**HEADS | {"distributed": False})
        expected = model.fit(X[rank:], Y[rank:]).loss_curve_
        np.testing.assert_allclose(outcome["alone"], expected, rtol=1e-6)


def test_what_cannot_be_shared_is_refused_by_all(outcomes):
    for outcome in outcomes:
        assert outcome["checkpoint"].startswith("ValueError: checkpoint='folder' keeps")
        assert "RuntimeError: The processes" in outcome["other rows"]
        assert "(321, " in outcome["other rows"]
        assert "(320, " in outcome["other rows"]
        assert outcome["divergence"].startswith("TrainingDivergedError")


def test_a_process_by_itself_is_not_changed():
    kind, options = CASES["cascade"]
    one, other = (
        kind(**options | {"distributed": value}).fit(X, Y) for value in (True, False)
    )
    np.testing.assert_array_equal(
        one.predict_proba(X).data, other.predict_proba(X).data
    )
