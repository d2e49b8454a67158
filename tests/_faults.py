"""What the fault tests share: a small problem, models, and what a refusal leaves alone.

Ids such as X05 in test names are the cases of the project's acceptance matrix.
"""

import gc
import multiprocessing
import pickle
import re
import time
from functools import cache
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import scipy.sparse as sp
import torch
from _estimators import ESTIMATORS
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from skxmc.datasets import make_xmc_classification

each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
# The first of each class, and the first of it that is solved, not trained. The others
# are slow: what these are for takes processes of its own, seconds an estimator.
_KINDS = [(type(e), bool(e.hidden_layer_sizes)) for e in ESTIMATORS]
each_class = pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(e, marks=[pytest.mark.slow] if kind in _KINDS[:i] else [])
        for i, (e, kind) in enumerate(zip(ESTIMATORS, _KINDS, strict=True))
    ],
)

N_SAMPLES, N_FEATURES, N_LABELS = 60, 20, 8


def problem():
    """Make X and Y, both csr_array, small enough to fit in milliseconds."""
    return make_xmc_classification(
        N_SAMPLES,
        N_FEATURES,
        N_LABELS,
        n_nonzero=6,
        n_labels_per_sample=2,
        random_state=0,
    )


def fresh(estimator, **params):
    """Clone an estimator, with few epochs: these tests are not about quality."""
    return clone(estimator).set_params(max_epochs=3, device="cpu").set_params(**params)


def fitted(estimator, **params):
    """Give a model of one's own, fitted on the problem."""
    return pickle.loads(_fitted(estimator, tuple(params.items())))


@cache
def _fitted(estimator, params):
    return pickle.dumps(fresh(estimator, **dict(params)).fit(*problem()))


def answers(model, X):
    """Return all that a model says about X."""
    return [*model.predict_topk(X, k=3), model.predict(X), model.predict_proba(X)]


def assert_same_answers(model, other, X, other_X=None):
    """Assert that two models, or two forms of X, give the same bits."""
    other_X = X if other_X is None else other_X
    for a, b in zip(answers(model, X), answers(other, other_X), strict=True):
        assert contents(a) == contents(b)


def contents(M):
    """Return all of an input or result that careless code could change."""
    if sp.issparse(M):
        parts = ("data", "indices", "indptr", "coords", "offsets", "rows")
        stored = [contents(getattr(M, name, None)) for name in parts]
        items = sorted(M.items()) if M.format == "dok" else None
        return type(M), M.shape, stored, items
    if isinstance(M, np.ndarray):
        flags = M.dtype, M.shape, M.strides, M.flags.writeable
        return flags, repr(M.tolist()) if M.dtype == object else M.tobytes()
    if hasattr(M, "to_numpy"):
        return list(M.columns), contents(M.to_numpy())
    return repr(M)


def assert_fit_refuses(estimator, X, y, error, message, **params):
    """Assert that `fit` raises exactly `error` and leaves everything as it was.

    Both an unfitted and a fitted estimator are tried; `message` is a regular
    expression.
    """
    before = contents(X), contents(y)
    for model in (fresh(estimator), fitted(estimator)):
        old = pickle.dumps(model)
        state = dict(vars(model))
        model.set_params(**params)
        with pytest.raises(error, match=message) as caught:
            model.fit(X, y)
        assert type(caught.value) is error
        assert (contents(X), contents(y)) == before
        assert all(vars(model)[name] is value for name, value in params.items())
        model.set_params(**{name: state[name] for name in params})
        assert_untouched(model, state, old)


def assert_predict_refuses(estimator, X, error, message):
    """Assert that all predictions raise exactly `error` and change nothing."""
    model, before = fitted(estimator), contents(X)
    old, state = pickle.dumps(model), dict(vars(model))
    methods = [model.predict, model.predict_proba, model.predict_topk]
    for method in [*methods, lambda X: model.score(X, problem()[1])]:
        with pytest.raises(error, match=message) as caught:
            method(X)
        assert type(caught.value) is error
    assert contents(X) == before
    assert_untouched(model, state, old)


def assert_untouched(model, state, old):
    """Assert that a model has the attributes `state` and predicts as `old` does.

    `old` is the pickle of it: whatever has the same bytes needs no prediction.
    """
    assert vars(model).keys() == state.keys()
    assert all(vars(model)[name] is value for name, value in state.items())
    X = problem()[0]
    if "n_features_in_" not in state:
        with pytest.raises(NotFittedError):
            model.predict(X)
    elif pickle.dumps(model) != old:
        assert_same_answers(model, pickle.loads(old), X)


def literal(text):
    """Escape a text for `match`."""
    return re.escape(text)


class ArrayPickler(pickle.Pickler):
    """Collect the arrays that an object holds, by pickling it."""

    def __init__(self, file):
        super().__init__(file)
        self.arrays, self.tensors = [], []

    def reducer_override(self, obj):
        if isinstance(obj, torch.Tensor):
            self.tensors.append(obj.detach())
            # As a list of its own: what a tensor holds is not to be counted twice.
            return list, ()
        if isinstance(obj, np.ndarray):
            self.arrays.append(obj)
        return NotImplemented


class Sink:
    """A file that throws everything away."""

    def write(self, data):
        return len(data)


def arrays(model):
    """Return all ndarrays and tensors (as ndarrays) that a model keeps."""
    pickler = ArrayPickler(Sink())
    pickler.dump(model)
    return pickler.arrays + [tensor.numpy() for tensor in pickler.tensors]


def n_bytes(model):
    """Return the bytes of all arrays that a model keeps."""
    return sum(array.nbytes for array in arrays(model))


def n_live_tensors():
    """Count the torch tensors alive in this process."""
    gc.collect()
    return sum(issubclass(type(obj), torch.Tensor) for obj in gc.get_objects())


class OnBatch(Callback):
    """Call `action(net)` after one training batch, by default the first."""

    def __init__(self, action, epoch=1, batch=1):
        self.action, self.epoch, self.batch = action, epoch, batch

    def on_batch_end(self, net, training=False, **kwargs):
        at = len(net.history), len(net.history[-1, "batches"])
        if training and at == (self.epoch, self.batch):
            self.action(net)


@cache
def trains(estimator):
    """Return whether `fit` trains a network, so that callbacks run."""
    calls = []
    fresh(estimator, callbacks=[OnBatch(lambda net: calls.append(net))]).fit(*problem())
    return len(calls) == 1


#: What takes long to import; skxmc itself imports its estimators when they are used.
PRELOADED = [
    *("pytest", "pandas", "hypothesis", "joblib", "psutil", "skorch"),
    *("sklearn.model_selection", "sklearn.pipeline", "sklearn.feature_extraction.text"),
    *("skxmc._declare", "skxmc._mhe", "skxmc._unidec", "skxmc._text_classifier"),
    *("skxmc.metrics", "skxmc.datasets", "skxmc.model_selection"),
]


def in_subprocess(function, *args, timeout=60):
    """Run a function in a process that has not computed anything yet.

    Returns
    -------
    namespace
        `value` that it returned (None if it did not get there), `returncode` (None if
        it was killed after `timeout` seconds) and `seconds`.
    """
    # Its server imports once what takes seconds, and forks: no OpenMP ran in it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED])
    receiver, sender = context.Pipe(duplex=False)
    start = time.monotonic()
    process = context.Process(target=_send_result, args=(sender, function, args))
    process.start()
    sender.close()
    try:
        value = receiver.recv() if receiver.poll(timeout) else None
    except EOFError:
        value = None
    process.join(max(0, start + timeout - time.monotonic()))
    returncode, seconds = process.exitcode, time.monotonic() - start
    if returncode is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.join()
    return SimpleNamespace(value=value, returncode=returncode, seconds=seconds)


def _send_result(sender, function, args):
    sender.send(function(*args))
    sender.close()


def outcome(function, *args):
    """Return the text "Class: message" of what a call raises, or None."""
    try:
        function(*args)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def corrupted(M, fault):
    """Return a copy of a sparse matrix whose index arrays are wrong in one way."""
    kind, fault = fault.split(" ", 1)
    M = M.copy().asformat(kind, copy=True)
    far = 99
    if fault == "far index":
        if kind == "lil":
            M.rows[0], M.data[0] = [far], [1]
        elif kind == "coo":
            M.coords[1][0] = far
        elif kind == "dok":
            M._dict[(0, far)] = 1
        else:
            M.indices[0] = far
    elif fault == "negative index":
        M.indices[0] = -1
    elif fault == "decreasing indptr":
        M.indptr[3] = M.indptr[-1]
    elif fault == "indptr beyond the end":
        M.indptr[-1] += far
    elif fault == "short indptr":
        M.indptr = M.indptr[:-1]
    elif fault == "short data":
        M.data = M.data[:-1]
    return M


#: Every fault, and what the error has to say about it.
CORRUPTIONS = {
    "csr far index": "column index 99 but only {n_columns} columns",
    "csr negative index": "column index -1 but only {n_columns} columns",
    "csc far index": "row index 99 but only {n_rows} rows",
    "csc negative index": "row index -1 but only {n_rows} rows",
    "bsr far index": "column index 99 but only {n_columns} columns",
    "coo far index": "column index 99 but only {n_columns} columns",
    "lil far index": "column index 99 but only {n_columns} columns",
    "dok far index": "index 99",
    "csr decreasing indptr": "inconsistent indptr",
    "csr indptr beyond the end": "inconsistent indptr",
    "csr short indptr": "inconsistent indptr",
    "csr short data": "indices but",
    "csc decreasing indptr": "inconsistent indptr",
}
