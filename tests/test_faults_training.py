"""Faults in training: an interrupt or error leaves no half-made model behind."""

import contextlib
import gc
import os
import pickle
import random
import signal
import threading
import time
import warnings
import weakref
from functools import partial

import faiss
import numpy as np
import psutil
import pytest
import torch
from _estimators import ESTIMATORS
from _faults import (
    OnBatch,
    answers,
    arrays,
    assert_same_answers,
    assert_untouched,
    contents,
    each_class,
    each_estimator,
    fitted,
    fresh,
    in_subprocess,
    problem,
    trains,
)
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

import skxmc
from skxmc import DECLAREClassifier
from skxmc.datasets import make_xmc_classification
from skxmc.exceptions import TrainingDivergedError

N_BATCH_ROWS = 20  # three batches in an epoch


def long_problem():
    """Make data that no estimator is through with in a second.

    Epochs can be as many as one likes, but a fit in closed form has none.
    """
    return make_xmc_classification(40_000, 50_000, 600, n_nonzero=60, random_state=0)


@contextlib.contextmanager
def interrupted_after(seconds):
    """Send this process SIGINT, as Ctrl-C does, while the block runs."""
    sent = []

    def send():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(seconds, send)
    timer.start()
    try:
        yield sent
    finally:
        timer.cancel()
        timer.join()


def fit_interrupted(model, X, Y, seconds):
    """Return the seconds that `fit` took to stop, or None if nothing stopped it."""
    with interrupted_after(seconds) as sent:
        try:
            model.fit(X, Y)
        except KeyboardInterrupt:
            return time.monotonic() - sent[0]
    return None


def send_sigint(net):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)  # the handler runs here, in the middle of a batch


def interrupt_by_timer(estimator, is_fitted):
    """Interrupt a long fit; return the seconds to its end and what it changed."""
    X, Y = long_problem()
    model = fitted(estimator) if is_fitted else fresh(estimator)
    old = pickle.dumps(model)
    model.set_params(max_epochs=10**6)
    state, before = dict(vars(model)), surroundings()
    seconds = fit_interrupted(model, X, Y, 0.7)
    assert_untouched(model, state, old)
    return seconds, changes(before)


def interrupt_in_batch(estimator, is_fitted):
    """Interrupt a fit in a batch; return whether it stopped and what it changed.

    If it is fitted, it goes on from the weights that it predicts with.
    """
    model = fitted(estimator) if is_fitted else fresh(estimator)
    old = pickle.dumps(model)
    model.set_params(callbacks=[OnBatch(send_sigint, epoch=2)], warm_start=is_fitted)
    state, before = dict(vars(model)), surroundings()
    try:
        model.fit(*problem())
    except KeyboardInterrupt:
        assert_untouched(model, state, old)
        return True, changes(before)
    return False, changes(before)


def surroundings():
    """Return what the process shares: threads, modes, filters, generators."""
    return {
        "torch threads": torch.get_num_threads(),
        "torch interop threads": torch.get_num_interop_threads(),
        "faiss threads": faiss.omp_get_max_threads(),
        "default dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warning filters": list(warnings.filters),
        "numpy errors": np.geterr(),
        "environment": dict(os.environ),
        "SIGINT handler": signal.getsignal(signal.SIGINT),
        "folder": os.getcwd(),
        "torch generator": torch.get_rng_state().tolist(),
        "cuda generators": [s.tolist() for s in cuda_states()],
        "numpy generator": str(pickle.dumps(np.random.get_state())),  # noqa: NPY002
        "random generator": random.getstate(),
    }


def changes(before):
    """Return which of the surroundings are no longer as they were."""
    after = surroundings()
    return [name for name in before if after[name] != before[name]]


def cuda_states():
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def assert_stops(estimator, is_fitted):
    result = in_subprocess(interrupt_by_timer, estimator, is_fitted)
    assert result.returncode == 0
    seconds, changed = result.value
    assert seconds is not None, "the fit ended before the signal came"
    assert seconds < 5
    assert changed == []


@each_class
def test_f01_interrupt_leaves_an_unfitted_estimator_unfitted(estimator):
    assert_stops(estimator, is_fitted=False)


@each_class
def test_f02_interrupt_leaves_a_fitted_estimator_as_it_was(estimator):
    assert_stops(estimator, is_fitted=True)


def assert_stops_in_batch(estimator, is_fitted):
    result = in_subprocess(interrupt_in_batch, estimator, is_fitted)
    assert result.returncode == 0
    # Without a network to train there is no batch, and no one sends the signal.
    assert result.value == (trains(estimator), [])


@each_class
def test_f01_interrupt_in_the_middle_of_a_batch(estimator):
    assert_stops_in_batch(estimator, is_fitted=False)


@each_class
def test_f02_interrupt_of_a_warm_start_keeps_the_old_weights(estimator):
    assert_stops_in_batch(estimator, is_fitted=True)


def search_interrupted(estimator, n_jobs, path):
    """Interrupt a grid search, and end like any script that does not catch it."""
    X, Y = long_problem()
    if n_jobs > 1:  # start the workers, and let them import what they need
        Parallel(n_jobs=n_jobs)(delayed(fitted)(estimator) for _ in range(n_jobs))
    endless = fresh(estimator, max_epochs=10**6)
    grid = {"threshold": [0.1, 0.2, 0.3, 0.4]}
    search = GridSearchCV(endless, grid, cv=3, n_jobs=n_jobs)
    with interrupted_after(1.0) as sent:
        try:
            search.fit(X, Y)
        finally:
            path.write_text(str(sent[0]))


# Workers take seconds to start: with more than one job, one estimator will do daily.
@pytest.mark.parametrize(
    ("estimator", "n_jobs"),
    [(estimator, 1) for estimator in ESTIMATORS[::3]]
    + [(ESTIMATORS[0], 2)]
    + [pytest.param(e, 2, marks=pytest.mark.slow) for e in ESTIMATORS[1:]],
)
def test_f03_interrupt_ends_a_grid_search(estimator, n_jobs, tmp_path):
    path = tmp_path / "time of the signal"
    result = in_subprocess(search_interrupted, estimator, n_jobs, path, timeout=60)
    end = time.monotonic()
    # multiprocessing makes this code of the exception that its child ends with.
    assert result.returncode == 1
    assert result.value is None
    assert end - float(path.read_text()) < 10


class BoomError(Exception):
    pass


class FailingCallback(Callback):
    """Raise in one method, or never if that is None."""

    def __init__(self, method):
        self.method = method

    def _called(self, method, net):
        if method == self.method:
            raise BoomError(f"in {method}") from ZeroDivisionError("cause")

    def on_train_begin(self, net, **kwargs):
        self._called("on_train_begin", net)

    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 2:
            self._called("on_batch_end", net)

    def on_epoch_end(self, net, **kwargs):
        self._called("on_epoch_end", net)

    def on_train_end(self, net, **kwargs):
        self._called("on_train_end", net)


@each_estimator
@pytest.mark.parametrize(
    "method", ["on_train_begin", "on_batch_end", "on_epoch_end", "on_train_end"]
)
@pytest.mark.parametrize(
    "params",
    [{}, {"warm_start": True}, {"early_stopping": True, "verbose": 2}],
    ids=["plain", "warm_start", "early_stopping"],
)
def test_f04_error_in_a_callback_comes_through(estimator, method, params):
    X, Y = problem()
    for model in (fresh(estimator), fitted(estimator)):
        old, before = pickle.dumps(model), surroundings()
        model.set_params(callbacks=[FailingCallback(method)], **params)
        state = dict(vars(model))
        if not trains(estimator):  # nothing is trained, so nothing calls it
            assert model.fit(X, Y) is model
            continue
        with pytest.raises(BoomError, match=f"in {method}") as caught:
            model.fit(X, Y)
        assert type(caught.value.__cause__) is ZeroDivisionError
        assert changes(before) == []
        assert_untouched(model, state, old)


@each_estimator
def test_f04_fit_works_after_an_error(estimator):
    X, Y = problem()
    model = fresh(estimator, callbacks=[FailingCallback("on_batch_end")])
    with contextlib.suppress(BoomError):
        model.fit(X, Y)
    model.set_params(callbacks=None).fit(X, Y)
    for ours, theirs in zip(arrays(model), arrays(fitted(estimator)), strict=True):
        assert contents(ours) == contents(theirs)


def fill_weights(value, net):
    with torch.no_grad():
        for parameter in net.module_.parameters():
            parameter.fill_(value)


def poison(value):
    """Return an action that breaks all weights."""
    return partial(fill_weights, value)


def assert_diverges(estimator, message, **params):
    X, Y = problem()
    for model in (fresh(estimator), fitted(estimator)):
        old = pickle.dumps(model)
        model.set_params(**params)
        state = dict(vars(model))
        with pytest.raises(TrainingDivergedError, match=message) as caught:
            model.fit(X, Y)
        assert isinstance(caught.value, ArithmeticError)
        assert_untouched(model, state, old)


each_stopping = pytest.mark.parametrize("early_stopping", [False, True])


@each_estimator
@each_stopping
@pytest.mark.parametrize(("value", "loss"), [(np.nan, "nan"), (1e30, "(inf|nan)")])
def test_f05_loss_that_is_not_finite(estimator, value, loss, early_stopping):
    params = {
        "callbacks": [OnBatch(poison(value), epoch=2, batch=1)],
        "batch_size": N_BATCH_ROWS,
        "early_stopping": early_stopping,
    }
    if not trains(estimator):
        model = fresh(estimator, **params).fit(*problem())
        assert all(np.isfinite(array).all() for array in arrays(model))
        return
    # A network that scales its features may take a batch more to overflow.
    is_scaled = not isinstance(estimator, DECLAREClassifier)
    batch = "[23]" if is_scaled and not np.isnan(value) else "2"
    message = f"loss became {loss} in epoch 2, batch {batch}, at lr={estimator.lr}"
    assert_diverges(estimator, message, **params)


@each_estimator
@each_stopping
def test_f05_weights_that_break_in_the_last_batch(estimator, early_stopping):
    # No later loss tells, and the model would be kept.
    last = -(-(54 if early_stopping else 60) // N_BATCH_ROWS)
    params = {
        "callbacks": [OnBatch(poison(np.nan), epoch=3, batch=last)],
        "batch_size": N_BATCH_ROWS,
        "early_stopping": early_stopping,
    }
    if not trains(estimator):
        model = fresh(estimator, **params).fit(*problem())
        assert all(np.isfinite(array).all() for array in arrays(model))
        return
    assert_diverges(estimator, f"lr={estimator.lr}", **params)


@each_estimator
@pytest.mark.parametrize("batch_size", [N_BATCH_ROWS, 1000])
@pytest.mark.parametrize("lr", [1e20, 1e38])
def test_f05_absurd_learning_rate_gives_no_broken_model(estimator, lr, batch_size):
    # One step or several: what is kept, if anything, is finite.
    model = fresh(estimator, lr=lr, batch_size=batch_size, max_epochs=1)
    old, state = pickle.dumps(model), dict(vars(model))
    error = None
    try:
        model.fit(*problem())
    except TrainingDivergedError as caught:
        error = caught
    if error is not None:
        assert f"lr={lr}" in str(error)
        assert_untouched(model, state, old)
    else:
        assert all(np.isfinite(array).all() for array in arrays(model))
        assert np.isfinite(model.predict_topk(problem()[0])[1]).all()


@each_estimator
@pytest.mark.parametrize("scale", [1e-30, 1e15, 1e25, 1e37])
def test_f05_extreme_scale_of_x_gives_no_broken_model(estimator, scale):
    X, Y = problem()
    X = (X * scale).astype(np.float32)
    assert np.isfinite(X.data).all()
    model = fresh(estimator)
    old, state = pickle.dumps(model), dict(vars(model))
    with warnings.catch_warnings():
        # numpy tells of overflows by the way: what counts is the end.
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            model.fit(X, Y)
        except (TrainingDivergedError, ValueError):
            assert_untouched(model, state, old)
        else:
            assert all(np.isfinite(array).all() for array in arrays(model))
            assert np.isfinite(model.predict_topk(X)[1]).all()


class TakeMemory(Callback):
    """Ask for more than any machine has, in the second epoch, or fail as CUDA does."""

    def __init__(self, is_cuda):
        self.is_cuda, self.weights = is_cuda, None

    def on_batch_end(self, net, **kwargs):
        if len(net.history) < 2:
            return
        self.weights = weakref.ref(next(net.module_.parameters()))
        if self.is_cuda:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        torch.empty(2**60, dtype=torch.uint8)


@each_class
def test_f06_out_of_memory_says_what_to_do(estimator):
    if not trains(estimator):
        pytest.skip("nothing is trained in this setting")
    X, Y = problem()
    sizes = {False: f"allocate {2**60} bytes", True: "9 GiB"}
    for model, is_cuda in ((fresh(estimator), False), (fitted(estimator), True)):
        old, callback = pickle.dumps(model), TakeMemory(is_cuda)
        model.set_params(callbacks=[callback], batch_size=30)
        state = dict(vars(model))
        message = f"(?s)batch_size=30: .*{sizes[is_cuda]}"
        with pytest.raises(MemoryError, match=message) as caught:
            model.fit(X, Y)
        assert isinstance(caught.value.__cause__, RuntimeError)
        # Though the error is alive, what it stopped no longer takes memory.
        gc.collect()
        assert callback.weights() is None
        callback.weights = None
        assert_untouched(model, state, old)
        model.set_params(callbacks=None, batch_size=20).fit(X, Y)
        assert_same_answers(model, fitted(estimator, batch_size=20), X)


def test_f06_arrays_that_numpy_has_no_room_for(monkeypatch):
    [*_, estimator] = (e for e in ESTIMATORS if not trains(e))
    model = fresh(estimator)
    monkeypatch.setattr(model, "_fit_model", lambda *_: np.empty(2**60, np.uint8))
    with pytest.raises(MemoryError, match=r"batch_size=.*Unable to allocate 1\.00 EiB"):
        model.fit(*problem())


@each_estimator
def test_f09_what_was_saved_goes_on_as_if_it_had_not_stopped(estimator, tmp_path):
    # Fits keep no checkpoints; steps of training that follow each other may stop
    # between any two of them.
    X, Y = problem()

    def go_on(model):
        return getattr(model, "partial_fit", model.fit)(X, Y)

    steady = fitted(estimator, warm_start=True, early_stopping=True)
    stopped = pickle.loads(pickle.dumps(steady))
    for _ in range(2):
        go_on(steady)
        go_on(stopped).save(tmp_path / "model.skxmc")
        stopped = skxmc.load(tmp_path / "model.skxmc")
    assert_same_answers(stopped, steady, X)


@each_estimator
def test_f10_training_starts_no_workers_that_could_die(estimator):
    n_children = []
    process = psutil.Process()
    before = process.children(recursive=True)
    count = OnBatch(
        lambda net: n_children.append(process.children(recursive=True)), epoch=2
    )
    fresh(estimator, callbacks=[count], early_stopping=True).fit(*problem())
    assert n_children == [before] * trains(estimator)


def everything(model):
    """Fit, predict in all ways, copy."""
    X, Y = problem()
    model.fit(X, Y)
    answers(model, X)
    model.score(X, Y)
    answers(pickle.loads(pickle.dumps(model)), X)


each_setting = pytest.mark.parametrize(
    "params",
    [{}, {"early_stopping": True}, {"verbose": 2}, {"batch_size": 7}],
    ids=["plain", "early_stopping", "verbose", "small_batches"],
)


@each_estimator
@each_setting
def test_f11_global_generators_are_not_used(estimator, params):
    before = surroundings()
    everything(fresh(estimator, **params))
    assert not [name for name in changes(before) if "generator" in name]


@each_estimator
def test_f11_global_generators_have_no_influence(estimator):
    X = problem()[0]
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        model = fresh(estimator, early_stopping=True).fit(*problem())
        results.append([contents(a) for a in (*arrays(model), *answers(model, X))])
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])
    assert results[0] == results[1]


@each_estimator
@each_setting
@pytest.mark.parametrize("n_threads", [1, 2])
def test_f12_process_settings_are_put_back(estimator, params, n_threads):
    was = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        before = surroundings()
        assert before["torch threads"] == n_threads
        everything(fresh(estimator, **params))
        model = fresh(estimator, callbacks=[FailingCallback("on_batch_end")], **params)
        with contextlib.suppress(BoomError):
            model.fit(*problem())
        with contextlib.suppress(ValueError):
            fresh(estimator).fit(problem()[0], None)
        assert changes(before) == []
    finally:
        torch.set_num_threads(was)


def test_the_estimators_include_one_that_trains():
    # Else the cases above that need training would all be the other branch.
    assert any(map(trains, ESTIMATORS))
