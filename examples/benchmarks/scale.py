"""One epoch with millions of labels: time, peak of the memory, and its estimate.

``python examples/benchmarks/scale.py`` fits each estimator, narrowed so that its model
fits into 24 GiB, to 1 000 000 rows with 3 000 000 labels, ranks five labels of 10 000
rows, and prints the peak beside what `estimate_memory` said before. Each runs in a
process of its own. ``--wide`` leaves them as wide as their defaults are, for smaller
problems. Works on Linux only.
"""

import argparse
import subprocess
import sys
import time
import warnings

from _data import print_header, print_row
from memory import n_bytes, warm_up
from peers.process_memory import read, restart_peak

import skxmc
from skxmc.datasets import make_xmc_classification

NARROW = {"n_components": 64, "hidden_layer_sizes": (128,)}
SETTINGS = {
    "DECLAREClassifier": {"n_components": 64},
    "MultiHeadEncodingClassifier": NARROW,
    "UniDECClassifier": NARROW | {"embedding_size": 64},
}
N_RANKED_ROWS = 10_000


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("estimators", nargs="*", default=[*SETTINGS])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=3_000_000)
    parser.add_argument("--features", type=int, default=500_000)
    parser.add_argument("--wide", action="store_true", help="not narrowed")
    parser.add_argument("--alone", action="store_true", help="run in this process")
    args = parser.parse_args()
    if args.alone:
        name = args.estimators[0]
        settings = {} if args.wide else SETTINGS[name]
        model = getattr(skxmc, name)(random_state=0, **settings)
        if name != "DECLAREClassifier":
            model.set_params(max_epochs=1)
        measure(model, args.samples, args.features, args.labels)
        return
    print_header(
        *("estimator", "X and Y MiB", "model MiB", "peak MiB", "estimated MiB"),
        *("fit s", "rows / s"),
    )
    sys.stdout.flush()
    for name in args.estimators:
        command = [sys.executable, __file__, name, "--alone"]
        command += ["--wide"] * args.wide
        for option in ("samples", "labels", "features"):
            command += [f"--{option}", str(getattr(args, option))]
        subprocess.run(command, check=True)


def measure(model, n_samples, n_features, n_labels):
    warnings.simplefilter("ignore")  # many of the labels have no row
    warm_up()
    X, Y = make_xmc_classification(n_samples, n_features, n_labels, random_state=0)
    sizes = model.estimate_memory(
        *(n_samples, n_features, n_labels),
        n_nonzero=X.nnz / n_samples,
        n_labels_per_sample=Y.nnz / n_samples,
    )
    before = restart_peak()
    start = time.perf_counter()
    model.fit(X, Y)
    seconds = time.perf_counter() - start
    peak, held = read("VmHWM") - before, read("VmRSS") - before
    start = time.perf_counter()
    ranked = X[:N_RANKED_ROWS]
    model.predict_topk(ranked, k=5)
    rate = ranked.shape[0] / (time.perf_counter() - start)
    shown = n_bytes(X) + n_bytes(Y), held, peak, sizes["peak"]
    mib = (f"{size / 2**20:.0f}" for size in shown)
    print_row(type(model).__name__, *mib, f"{seconds:.0f}", f"{rate:.0f}")


if __name__ == "__main__":
    main()
