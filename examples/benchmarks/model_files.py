"""Storing and opening a large model: seconds, and memory of the process that opens it.

``python examples/benchmarks/model_files.py`` fits `UniDECClassifier` for a moment on
synthetic rows with very many labels (by default a model of 1.9 GB), saves it, opens it
in fresh processes, read whole and mapped. All read from the cache of the disk, as the
file has just been written.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from _data import print_header, print_row

from skxmc import UniDECClassifier
from skxmc.datasets import make_xmc_classification

_OPEN = """
import json, sys, time
from pathlib import Path
import skxmc, skxmc._load
from skxmc.datasets import make_xmc_classification
X = make_xmc_classification(64, 1000, 2, random_state=0)[0]
def own_memory():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])
before = own_memory()
start = time.perf_counter()
model = skxmc.load(sys.argv[1], mmap=sys.argv[2] == "mapped")
opened = time.perf_counter() - start
model.predict_topk(X[:1], k=5)
first = time.perf_counter() - start
own = own_memory() - before
print(json.dumps([opened, first, own]))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=450_000)
    options = parser.parse_args()
    model = fit(options.labels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skxmc"
        start = time.perf_counter()
        model.save(path)
        seconds, size = time.perf_counter() - start, path.stat().st_size
        del model
        print(f"{size / 1e9:.2f} GB, saved in {seconds:.1f} s\n")
        print_header("opened", "ms", "ms to the first prediction", "own memory, MB")
        for how in ("whole", "mapped", "mapped"):
            command = [sys.executable, "-c", _OPEN, str(path), how]
            output = subprocess.run(command, check=True, capture_output=True).stdout
            opened, first, own = json.loads(output)
            print_row(
                how, *(f"{x:.0f}" for x in (1e3 * opened, 1e3 * first, own / 1e6))
            )


def fit(n_labels):
    X, Y = make_xmc_classification(
        20_000, 1000, n_labels, n_labels_per_sample=20, n_nonzero=10, random_state=0
    )
    model = UniDECClassifier(max_epochs=1, n_centroid_features=5, random_state=0)
    return model.fit(X, Y)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # not every label has a row
    main()
