"""Peak memory of `fit` with a million labels.

Makes a synthetic set, fits in this process and reports the peak of the resident memory
against the size of the data and of the model. Works where `resource` does (not on
Windows).
"""

import argparse
import resource
import sys
import time

from skxmc import DECLAREClassifier
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
    warm_up(classifier)
    X, Y = make_xmc_classification(
        arguments.samples, arguments.features, arguments.labels, random_state=0
    )
    data = n_bytes(X) + n_bytes(Y)
    before = peak()
    start = time.perf_counter()
    classifier.fit(X, Y)
    seconds = time.perf_counter() - start
    grown = peak() - before
    model = classifier.model_size()["total"]
    print(f"X and Y              {data / 2**20:8.0f} MiB")
    print(f"dense Y would take   {Y.shape[0] * Y.shape[1] * 4 / 2**20:8.0f} MiB")
    print(f"fitted model         {model / 2**20:8.0f} MiB")
    print(f"peak growth in fit   {grown / 2**20:8.0f} MiB, {seconds:.0f} s")
    print(f"above the model      {(grown - model) / data:8.1f} times X and Y")


def warm_up(classifier):
    """Let torch and the others allocate what they allocate once."""
    X, Y = make_xmc_classification(1000, 100, 50, random_state=0)
    DECLAREClassifier(max_epochs=1).fit(X, Y)


def n_bytes(A):
    return A.data.nbytes + A.indices.nbytes + A.indptr.nbytes


def peak():
    """Peak resident memory so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")  # many of the million labels have no row
    main()
