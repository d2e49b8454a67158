"""Milliseconds that a training step takes on a device.

``SKXMC_DATA=folder python examples/benchmarks/device_steps.py --device cuda`` prints
the median over the steps of one epoch on rows of debian-depends, for several heads and
batch sizes, with matrix products in float32, in TF32 and, by torch's autocast, in
bfloat16, and precision@1 on these rows after it. Preparations are not counted.
"""

import argparse
import statistics
import time
import warnings

import torch
from _data import load, print_header, print_row
from skorch.callbacks import Callback

from skxmc import MultiHeadEncodingClassifier, UniDECClassifier
from skxmc.metrics import precision_at_k

N_STEPS = 60
# Neither a regression nor an order of the labels is computed before the steps.
QUICK = {"ridge_alpha": None, "label_order": "frequency"}
CASES = (
    ("cascade", MultiHeadEncodingClassifier, QUICK, (128, 1024)),
    ("one-vs-all", MultiHeadEncodingClassifier, QUICK | {"variant": "full"}, (512,)),
    ("product", MultiHeadEncodingClassifier, QUICK | {"variant": "product"}, (512,)),
    ("sampling", MultiHeadEncodingClassifier, QUICK | {"variant": "sampling"}, (512,)),
    ("UniDEC", UniDECClassifier, {}, (256, 1024)),
)
PRECISIONS = {"float32": "highest", "TF32": "high", "bfloat16": "highest"}


class Clock(Callback):
    """Note when each step has ended, on the device too."""

    def __init__(self):
        self.times = []

    def on_batch_end(self, net, **kwargs):
        """Note the time."""
        if net.device.startswith("cuda"):
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=N_STEPS)
    options = parser.parse_args()
    X, Y, *_ = load("debian-depends")
    titles = (f"{name}: ms, P@1" for name in PRECISIONS)
    print_header("head", "rows a step", *titles)
    for name, estimator, parameters, sizes in CASES:
        for size in sizes:
            model = estimator(
                device=options.device, batch_size=size, max_epochs=1, random_state=0
            ).set_params(**parameters)
            some = X[: options.steps * size], Y[: options.steps * size]
            print_row(name, size, *(measure(model, *some, p) for p in PRECISIONS))


def measure(model, X, Y, precision):
    """Return the median milliseconds of a step, after a fit that warms up."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[precision])
    kind = torch.device(model.device).type
    half = torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16")
    clock = Clock()
    try:
        with half:
            model.fit(X, Y)
            model.set_params(callbacks=[clock]).fit(X, Y)
    except (RuntimeError, TypeError) as error:
        return str(error).splitlines()[0]
    finally:
        torch.set_float32_matmul_precision(before)
        model.set_params(callbacks=None)
    steps = [b - a for a, b in zip(clock.times, clock.times[1:], strict=False)]
    ranking = model.predict_topk(X[:2000], 1)
    score = 100 * precision_at_k(Y[:2000], ranking, k=1)
    return f"{1000 * statistics.median(steps):.2f}, {score:.1f}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # not every label has a row
    main()
