"""Memory: bounded by the arrays that are kept and read, whatever n x d or n x L is.

Peaks are the high-water mark of resident memory that Linux keeps for a process.
"""

import ctypes
import gc
import io
import pickle
import tracemalloc
import warnings
from pathlib import Path

import psutil
import pytest
import scipy.sparse as sp
import torch
from _estimators import ESTIMATORS
from _faults import (
    ArrayPickler,
    Sink,
    answers,
    each_class,
    each_estimator,
    fitted,
    fresh,
    in_subprocess,
    n_bytes,
    problem,
)

from skxmc._targets import encode_targets
from skxmc.datasets import make_xmc_classification

needs_linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="reads Linux's /proc"
)
MB = 2**20

#: Small sizes of what the model learns; those an estimator does not have are left out.
SMALL = {
    "n_components": 16,
    "embedding_size": 16,
    "hidden_layer_sizes": (16,),
    "max_epochs": 1,
    "n_candidate_groups": 4,
    "n_sampled_groups": 1,
}


def sized(estimator, **params):
    sizes = {**SMALL, **params}
    return fresh(estimator).set_params(
        **{name: sizes[name] for name in sizes.keys() & estimator.get_params().keys()}
    )


def csr_bytes(M):
    return M.data.nbytes + M.indices.nbytes + M.indptr.nbytes


# Large arrays go back to the system when they are freed, and not by chance into holes
# that a small one has cut in two.
_M_MMAP_THRESHOLD = -3


def peak_above_now(function, *args):
    """Return (result, bytes by which resident memory rose above what it was)."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # else what was freed hides what is allocated
        libc.mallopt(_M_MMAP_THRESHOLD, 2**20)
        libc.malloc_trim(0)
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # start the high-water mark anew
    result = function(*args)
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    return result, peak - before


def warm_up(estimator):
    """Take the memory that libraries keep from their first use on."""
    sized(estimator).fit(*problem()).predict_topk(problem()[0])


def measure_fit(estimator, params, shape):
    warm_up(estimator)
    warnings.filterwarnings("ignore", "Of .* labels", UserWarning)
    X, Y = make_xmc_classification(**shape, random_state=0)
    model, peak = peak_above_now(sized(estimator, **params).fit, X, Y)
    return peak, n_bytes(model), csr_bytes(X) + csr_bytes(Y), csr_bytes(Y)


def measure_prediction(estimator, params, shape, n_queries):
    warm_up(estimator)
    warnings.filterwarnings("ignore", "Of .* labels", UserWarning)
    X, Y = make_xmc_classification(**shape, random_state=0)
    model = sized(estimator, **params).fit(X, Y)
    queries = X[:n_queries]
    ranking, peak = peak_above_now(model.predict_topk, queries, 5)
    return peak, ranking[0].shape


def run(function, *args, timeout=120):
    result = in_subprocess(function, *args, timeout=timeout)
    assert result.returncode == 0
    return result.value


@needs_linux
@each_estimator
def test_m1_fit_makes_no_dense_batch(estimator):
    batch_size, n_features = 1000, 200_000
    shape = {"n_samples": 1200, "n_features": n_features, "n_labels": 100}
    params = {"batch_size": batch_size}
    peak, _, _, _ = run(measure_fit, estimator, params, {**shape, "n_nonzero": 200})
    # Measured below 200 MB: X itself, a few arrays of (n_features, 16).
    assert peak < batch_size * n_features * 4 / 2


@needs_linux
@pytest.mark.slow
@each_estimator
def test_m1_fit_takes_three_times_the_model(estimator):
    shape = {"n_samples": 5000, "n_features": 200_000, "n_labels": 2000}
    params = {"hidden_layer_sizes": (256,), "n_components": 512, "batch_size": 256}
    peak, model, data, _ = run(
        measure_fit, estimator, params, {**shape, "n_nonzero": 200}, timeout=280
    )
    assert peak < 3 * model + data


def test_m2_targets_are_encoded_without_dense_arrays():
    Y = make_xmc_classification(
        100_000, 10, 1_000_000, n_labels_per_sample=10, n_nonzero=1, random_state=0
    )[1]
    assert Y.shape == (100_000, 1_000_000)
    tracemalloc.start()
    try:
        encode_targets(Y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * csr_bytes(Y)


@needs_linux
@each_class
def test_m2_fit_makes_no_dense_targets(estimator):
    n_samples, n_labels = 8000, 100_000
    shape = {"n_samples": n_samples, "n_features": 500, "n_labels": n_labels}
    peak, _, _, _ = run(
        measure_fit, estimator, {"batch_size": 1024}, {**shape, "n_nonzero": 5}
    )
    # Measured around 40 MB; Y alone, dense, took 800 MB with a byte an entry.
    assert peak < 200 * MB


@needs_linux
@pytest.mark.slow
@each_estimator
def test_m2_fit_takes_little_more_than_model_and_targets(estimator):
    shape = {"n_samples": 100_000, "n_features": 5000, "n_labels": 1_000_000}
    shape |= {"n_labels_per_sample": 5, "n_nonzero": 5}
    peak, model, data, targets = run(
        measure_fit, estimator, {"batch_size": 1024}, shape, timeout=280
    )
    assert peak < 3 * model + data + 5 * targets


@needs_linux
@each_class
def test_m3_ranking_makes_no_dense_scores(estimator):
    shape = {"n_samples": 4000, "n_features": 500, "n_labels": 50_000}
    shape |= {"n_labels_per_sample": 5, "n_nonzero": 5, "label_skew": 0.3}
    peak, ranking = run(measure_prediction, estimator, {}, shape, 1500)
    assert ranking == (1500, 5)
    # Measured below 20 MB; the scores took 300 MB.
    assert peak < 100 * MB


@needs_linux
@pytest.mark.slow
@each_estimator
def test_m3_ranking_half_a_million_labels_takes_half_a_gigabyte(estimator):
    shape = {"n_samples": 100_000, "n_features": 5000, "n_labels": 500_000}
    shape |= {"n_labels_per_sample": 5, "n_nonzero": 5, "label_skew": 0.3}
    params = {"batch_size": 1024}
    peak, ranking = run(
        measure_prediction, estimator, params, shape, 10_000, timeout=280
    )
    assert ranking == (10_000, 5)
    assert peak < 500 * 10**6


@each_estimator
@pytest.mark.parametrize("early_stopping", [False, True])
def test_m4_pickle_holds_weights_and_nothing_of_the_training(estimator, early_stopping):
    model = fresh(estimator, early_stopping=early_stopping)
    # Many features: the weights outweigh the constant parts.
    X, Y = make_xmc_classification(60, 5000, 8, n_nonzero=6, random_state=0)
    model.fit(X, Y[:, Y.sum(axis=0) > 0])
    # Optimiser state and kept weights are tensors, but no parameters.
    pickler = ArrayPickler(Sink())
    pickler.dump(model)
    assert all(tensor.numel() for tensor in pickler.tensors)
    file = io.BytesIO()
    pickle.dump(model, file)
    assert file.tell() <= 1.05 * n_bytes(model) + 20_000
    weights = sum(t.numel() * t.element_size() for t in modules_weights(model))
    assert sum(t.numel() * t.element_size() for t in pickler.tensors) == weights


def modules_weights(model):
    """Return the parameters of all torch modules that a model keeps."""
    found = []

    class Finder(pickle.Pickler):
        def reducer_override(self, obj):
            if isinstance(obj, torch.nn.Module) and not any(
                obj in list(module.modules()) for module in found
            ):
                found.append(obj)
            return NotImplemented

    Finder(Sink()).dump(model)
    return [parameter for module in found for parameter in module.parameters()]


def growth_of_memory(estimator, n_warm_up, n_cycles):
    """Return resident bytes before and after so many fits and predictions."""
    X, Y = problem()
    sizes = []
    for n in (n_warm_up, n_cycles):
        for _ in range(n):
            answers(fresh(estimator).fit(X, Y), X)
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss)
    return sizes


# All estimators, longer, and with files: test_soak.py.
@pytest.mark.parametrize("estimator", ESTIMATORS[::3])
def test_m5_cycles_of_fit_and_predict_keep_no_memory(estimator):
    before, after = run(growth_of_memory, estimator, 5, 50)
    assert after < 1.05 * before


@each_estimator
def test_m4_pickle_does_not_grow_with_the_epochs(estimator):
    X, Y = problem()
    short = fitted(estimator)
    long = fresh(estimator, max_epochs=30).fit(X, Y)
    assert n_bytes(long) == n_bytes(short)
    assert sp.issparse(long.predict(X))
