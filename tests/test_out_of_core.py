"""Fits of data three times as large as the memory that the kernel grants them."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from _faults import in_subprocess
from sklearn.base import clone
from threadpoolctl import threadpool_limits

import skxmc._centroids
import skxmc._mapped
from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
from skxmc.datasets import load_mapped, make_xmc_classification, write_mapped

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="limits memory as Linux does"
)
LIMIT = 20 * 2**20
SMALL = {"n_components": 4, "hidden_layer_sizes": (4,), "batch_size": 64}
MODELS = [
    MultiHeadEncodingClassifier(n_heads=2, max_epochs=1, random_state=0, **SMALL),
    UniDECClassifier(
        embedding_size=4, max_epochs=2, refresh_every=1, random_state=0, **SMALL
    ),
    # Without the rows of X, which the model otherwise holds.
    DECLAREClassifier(input_weight=0.0, max_epochs=1, random_state=0, **SMALL),
]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write long rows, of which an epoch takes little time, again and again."""
    home = tmp_path_factory.mktemp("large")
    X, Y = make_xmc_classification(300, 5000, 20, n_nonzero=1500, random_state=0)
    n_times = 1 + int(3 * LIMIT / (8 * X.nnz))
    write_mapped(home / "X", (X for _ in range(n_times)))
    write_mapped(home / "Y", (Y for _ in range(n_times)))
    return home


def fit_limited(model, folder, is_mapped):
    """Fit with `LIMIT` bytes beside what is there; return the sizes, or the error."""
    import resource

    # As small, beside the limit, as they are beside gigabytes.
    skxmc._mapped._BLOCK_ENTRIES = 2**16
    skxmc._centroids._MOST_ENTRIES = 2**18
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # labels without a row
    with threadpool_limits(1):
        warm_up = make_xmc_classification(100, 50, 10, random_state=0)
        clone(model).fit(*warm_up)  # what libraries take once
        X, Y = load_mapped(folder / "X"), load_mapped(folder / "Y")
        if not is_mapped:
            X, Y = X[: X.shape[0]], Y[: Y.shape[0]]
        status = Path("/proc/self/status").read_text()
        most = 1024 * int(status.split("VmData:")[1].split()[0]) + LIMIT
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        try:
            model.fit(X, Y)
        except (MemoryError, RuntimeError) as error:
            return f"{type(error).__name__}: {error}"
    return X.nnz * 8, model.predict_topk(X[:10], 3)[1]


@each_model
def test_a_fit_from_disk_needs_a_third_of_the_data(model, folder):
    result = in_subprocess(fit_limited, model, folder, True)
    assert result.returncode == 0
    assert not isinstance(result.value, str), result.value
    size, scores = result.value
    assert size >= 3 * LIMIT
    assert np.isfinite(scores).all()


def test_the_limit_is_one_for_rows_in_memory(folder):
    result = in_subprocess(fit_limited, MODELS[0], folder, False)
    assert "Error" in result.value
    assert "alloc" in result.value
