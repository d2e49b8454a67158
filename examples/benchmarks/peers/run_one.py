"""Fit and time one contestant in a process of its own; `compare.py` starts it.

run_one.py NAME PARAMS FOLDER RESULT: the folder holds X_train.npz and so on; writes
RESULT.json and, for the best labels of the test rows, RESULT.npy.
"""

import json
import statistics
import sys
import tempfile
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from contestants import make
from process_memory import read, restart_peak

N_SINGLE_ROWS = 200
PACKAGES = {
    "pecos": "libpecos",
    "omikuji": "omikuji",
    "napkinxc": "napkinxc",
    "one_vs_rest": "scikit-learn",
    "knn": "scikit-learn",
    "popularity": "numpy",
}


def main(name, params, folder, result, n_threads):
    folder = Path(folder)
    X, Y, X_test = (
        sp.load_npz(folder / f"{part}.npz") for part in ("X_train", "Y_train", "X_test")
    )
    contestant = make(name, folder, n_threads, params)
    before = restart_peak()
    start = time.perf_counter()
    contestant.fit(X, Y)
    fit_seconds = time.perf_counter() - start
    peak = read("VmHWM") - before
    rows = [X_test[[row]] for row in range(min(N_SINGLE_ROWS, X_test.shape[0]))]
    contestant.predict(rows[0])  # what a first call sets up is not counted
    ranking, seconds = timed(contestant.predict, X_test)
    if seconds < 2:
        more = [timed(contestant.predict, X_test)[1] for _ in range(2)]
        seconds = statistics.median([seconds, *more])
    single = statistics.median(timed(contestant.predict, row)[1] for row in rows)
    with tempfile.TemporaryDirectory() as path:
        contestant.save(Path(path))
        size = sum(f.stat().st_size for f in Path(path).rglob("*") if f.is_file())
    np.save(f"{result}.npy", ranking)
    measured = {
        "version": package_version(PACKAGES.get(name, "skxmc")),
        "fit_seconds": fit_seconds,
        "rows_per_second": X_test.shape[0] / seconds,
        "one_row_ms": 1000 * single,
        "model_mib": size / 2**20,
        "peak_mib": peak / 2**20,
    }
    Path(f"{result}.json").write_text(json.dumps(measured))


def timed(call, *args):
    start = time.perf_counter()
    answer = call(*args)
    return answer, time.perf_counter() - start


def package_version(package):
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:5], n_threads=int(sys.argv[5]))
