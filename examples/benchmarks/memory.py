"""Peak memory of `fit` with a million labels.

Makes a synthetic set, fits in this process and reports the peak of the resident memory
against the size of the data and of the model. Works on Linux only.
"""

import argparse
import time
import warnings

from peers.process_memory import read, restart_peak

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
from skxmc.datasets import make_xmc_classification


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=100_000)
    parser.add_argument("--components", type=int, default=None)
    parser.add_argument("--epochs", type=int, default=1)
    arguments = parser.parse_args()
    classifier = DECLAREClassifier(max_epochs=arguments.epochs, random_state=0)
    if arguments.components:
        classifier.set_params(n_components=arguments.components)
    warm_up()
    X, Y = make_xmc_classification(
        arguments.samples, arguments.features, arguments.labels, random_state=0
    )
    data = n_bytes(X) + n_bytes(Y)
    before = restart_peak()
    start = time.perf_counter()
    classifier.fit(X, Y)
    seconds = time.perf_counter() - start
    grown = read("VmHWM") - before
    model = classifier.model_size()["total"]
    print(f"X and Y              {data / 2**20:8.0f} MiB")
    print(f"dense Y would take   {Y.shape[0] * Y.shape[1] * 4 / 2**20:8.0f} MiB")
    print(f"fitted model         {model / 2**20:8.0f} MiB")
    print(f"peak growth in fit   {grown / 2**20:8.0f} MiB, {seconds:.0f} s")
    print(f"above the model      {(grown - model) / data:8.1f} times X and Y")


def warm_up():
    """Let torch and the others allocate what they allocate once."""
    X, Y = make_xmc_classification(1000, 100, 50, random_state=0)
    for kind in (DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier):
        kind(max_epochs=1).fit(X, Y)


def n_bytes(A):
    return A.data.nbytes + A.indices.nbytes + A.indptr.nbytes


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # many of the million labels have no row
    main()
