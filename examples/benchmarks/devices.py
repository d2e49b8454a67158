"""The same fits and predictions on the CPU and on a GPU, side by side.

``SKXMC_DATA=folder python examples/benchmarks/devices.py`` prints, for each set and
estimator with its defaults, seconds to fit, precision on the test part and rows
predicted per second, on each device, and how many times as fast the second is. Medians
of `--repeats` fits; before the first, one small fit warms the device up.
"""

import argparse
import statistics
import time
import warnings

import torch
from _data import evaluate, load, print_header, print_row, without_votes

import skxmc

ESTIMATORS = "DECLAREClassifier", "MultiHeadEncodingClassifier", "UniDECClassifier"
SETS = "bibtex", "delicious", "debian-depends"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--devices", nargs=2, default=("cpu", "cuda"))
    parser.add_argument("--estimators", nargs="+", default=ESTIMATORS)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    print(describe(options.devices), "\n")
    print_header(
        "set", "estimator", "fit, s", "x", "rows/s", "x", "P@1/3/5", "PSP@1/3/5"
    )
    for name in options.sets:
        data = load(name)
        for estimator in options.estimators:
            compare(name, getattr(skxmc, estimator), data, options)


def describe(devices):
    names = [
        torch.cuda.get_device_name(d) if d.startswith("cuda") else d for d in devices
    ]
    return (
        f"{' and '.join(names)}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )


def compare(name, estimator, data, options):
    models = [estimator(device=d, random_state=0) for d in options.devices]
    runs = [measure(without_votes(m), data, options.repeats) for m in models]
    first = runs[0]
    for device, (fit, rate, figures) in zip(options.devices, runs, strict=True):
        print_row(
            name,
            f"{estimator.__name__}, {device}",
            f"{fit:.2f}",
            f"{first[0] / fit:.2f}",
            f"{rate:.0f}",
            f"{rate / first[1]:.2f}",
            *figures,
        )


def measure(model, data, repeats):
    """Return seconds to fit, rows predicted per second, and the figures of quality."""
    X, Y, X_test, Y_test = data
    model.fit(X[:200], Y[:200]).predict_topk(X_test[:10])
    fits, predictions = [], []
    for _ in range(repeats):
        fits.append(seconds_of(lambda: model.fit(X, Y)))
        predictions.append(seconds_of(lambda: model.predict_topk(X_test)))
    figures = evaluate(Y, Y_test, model.predict_topk(X_test))
    return (
        statistics.median(fits),
        X_test.shape[0] / statistics.median(predictions),
        figures,
    )


def seconds_of(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # not every label has a row
    main()
