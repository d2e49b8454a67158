"""The same grid search over joblib's backends: equal results, and what they take.

``python examples/benchmarks/grid_backends.py`` runs 8 fits on synthetic data with two
workers of each backend that is installed (Dask is in the extra ``skxmc[scale]``), makes
sure that all scores are those of loky bit for bit, and prints the times. The workers
have started, and fitted once, before the clock does.
"""

import argparse
import time
import warnings
from contextlib import ExitStack, contextmanager, nullcontext
from importlib.util import find_spec

import numpy as np
from _data import print_header, print_row
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV

from skxmc import DECLAREClassifier
from skxmc.datasets import make_xmc_classification

GRID = {"n_components": [64, 128], "sharpening": [12, 24]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", nargs="+", default=["loky", "dask", "ray"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--labels", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    X, Y = make_xmc_classification(
        options.samples, 5000, options.labels, random_state=0
    )
    print_header("backend", "8 fits, s", "times loky", "scores")
    expected = base = None
    for backend in options.backends:
        if backend != "loky" and find_spec(backend) is None:
            print_row(backend, "not installed", "", "")
            continue
        with ExitStack() as stack:
            stack.enter_context(workers(backend, options.workers))
            search(X[:500], Y[:500])
            runs = [timed_search(X, Y) for _ in range(options.repeats)]
        seconds, scores = min(run[0] for run in runs), runs[0][1]
        expected = scores if expected is None else expected
        base = seconds if base is None else base
        np.testing.assert_array_equal(scores, expected)
        row = f"{seconds:.1f}", f"{seconds / base:.2f}", "equal"
        print_row(backend, *row)


@contextmanager
def workers(backend, n_workers):
    """Let joblib use `n_workers` processes of a backend within the block."""
    cluster = nullcontext()
    if backend == "dask":
        from dask.distributed import Client

        cluster = Client(
            n_workers=n_workers, threads_per_worker=1, dashboard_address=None
        )
    elif backend == "ray":
        import ray
        from ray.util.joblib import register_ray

        register_ray()
        cluster = ray.init(num_cpus=n_workers, log_to_driver=False)
    with cluster, parallel_config(backend=backend, n_jobs=n_workers):
        yield


def search(X, Y):
    estimator = DECLAREClassifier(
        hidden_layer_sizes=(64,), max_epochs=2, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels without a row in a fold
        return GridSearchCV(estimator, GRID, cv=2, refit=False).fit(X, Y)


def timed_search(X, Y):
    start = time.perf_counter()
    results = search(X, Y).cv_results_
    names = [name for name in results if name.endswith("_test_score")]
    return time.perf_counter() - start, [results[name] for name in names]


if __name__ == "__main__":
    main()
