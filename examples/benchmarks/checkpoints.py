"""What a checkpoint takes after each epoch: seconds beside the epoch's, and bytes."""

import argparse
import tempfile
import time

import numpy as np
from _data import load, print_header, print_row

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
from skxmc._checkpoint import Checkpoint

MODELS = [
    DECLAREClassifier(hidden_layer_sizes=(1024,)),
    MultiHeadEncodingClassifier(),
    MultiHeadEncodingClassifier(early_stopping=True),
    UniDECClassifier(),
]


class TimedWrites:
    """Take the time of each checkpoint, and its size."""

    def __init__(self):
        self.seconds, self.sizes, self.write = [], [], Checkpoint.write

    def __call__(self, checkpoint, state):
        start = time.perf_counter()
        self.write(checkpoint, state)
        self.seconds.append(time.perf_counter() - start)
        self.sizes.append(checkpoint.path.stat().st_size)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["bibtex", "debian-depends"])
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    print_header("data", "model", "s an epoch", "s a checkpoint", "share", "MiB")
    for name in arguments.names:
        X, Y, _, _ = load(name)
        for model in MODELS:
            measure(name, model.set_params(max_epochs=arguments.epochs), X, Y)


def measure(name, model, X, Y):
    writes = TimedWrites()
    Checkpoint.write = lambda checkpoint, state: writes(checkpoint, state)
    with tempfile.TemporaryDirectory() as folder:
        model.set_params(checkpoint=folder, random_state=0).fit(X, Y)
    Checkpoint.write = writes.write
    epoch, write = np.median(model.history_[:, "dur"]), np.median(writes.seconds)
    what = type(model).__name__ + " (early_stopping)" * model.early_stopping
    share, size = f"{write / epoch:.1%}", max(writes.sizes) / 2**20
    print_row(name, what, f"{epoch:.2f}", f"{write:.3f}", share, f"{size:.0f}")


if __name__ == "__main__":
    main()
