"""How close a step of training is to the least time that the machine allows.

``python examples/benchmarks/step_floor.py`` trains each estimator on synthetic rows and
prints the median step beside its floor: the larger of its arithmetic over the rate of
matrix products, and of the bytes that it has to read and write over the bandwidth of
main memory, both measured here on as many threads.

Arithmetic is three products (forward, gradient of the input, gradient of the weights)
of two operations a multiply-add. Of a table of which a batch touches some rows, each
entry of the batch moves a row twice (forward, gradient), and each distinct row twice
more (read and written by the optimiser).
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
from _data import print_header, print_row
from skorch.callbacks import Callback

import skxmc
from skxmc.datasets import make_xmc_classification

N_SAMPLES, N_FEATURES, N_LABELS = 20_000, 20_000, 20_000
FLOAT = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    rate, bandwidth = matrix_rate(), memory_bandwidth()
    print(f"{torch.get_num_threads()} threads, {rate / 1e9:.0f} GFLOP/s in products, ")
    print(f"{bandwidth / 1e9:.1f} GB/s of memory\n")
    X, Y = make_xmc_classification(
        N_SAMPLES, N_FEATURES, N_LABELS, n_nonzero=60, random_state=0
    )
    print_header("estimator", "ms a step", "GFLOP", "MB", "floor ms", "ratio")
    for name, params in {
        "DECLAREClassifier": {"hidden_layer_sizes": (256,)},
        "MultiHeadEncodingClassifier": {},
        "UniDECClassifier": {},
    }.items():
        clock = StepClock()
        model = getattr(skxmc, name)(
            max_epochs=2, callbacks=[clock], random_state=0, **params
        )
        model.fit(X, Y)
        seconds = statistics.median(clock.seconds)
        work, moved = cost_of(model, X, Y, clock)
        floor = max(work / rate, moved / bandwidth)
        shown = 1000 * seconds, work / 1e9, moved / 1e6, 1000 * floor, seconds / floor
        print_row(name, *(f"{value:.2f}" for value in shown))


class StepClock(Callback):
    """Take down how long steps take, and how many labels the pools hold."""

    def __init__(self):
        self.seconds, self.pools, self.label_entries = [], [], []

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        self.start = time.perf_counter()
        if training and hasattr(batch[0], "pool"):
            self.pools.append(len(batch[0].pool))
            self.label_entries.append(len(batch[0].label_rows.indices))

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.seconds.append(time.perf_counter() - self.start)


def cost_of(model, X, Y, clock):
    """Return the operations of a step, and the bytes that it moves."""
    batch, width = model.batch_size, model.hidden_layer_sizes[-1]
    entries = batch * X.nnz / X.shape[0]
    rows = np.unique(X[:batch].indices).size
    table = table_traffic(entries, rows, width)
    if isinstance(model, skxmc.DECLAREClassifier):
        return 6 * batch * width * model.n_components, table
    linear = min(model.n_components, N_LABELS)
    table += FLOAT * entries * linear  # forward only
    length = width + linear + 1
    if isinstance(model, skxmc.MultiHeadEncodingClassifier):
        root = model.head_sizes_[0]
        pairs = count_pairs(model, Y)
        labels = min(pairs, N_LABELS)
        return (
            6 * batch * root * length + 6 * pairs * length,
            table + table_traffic(pairs, labels, length),
        )
    pool = statistics.mean(clock.pools)
    label_entries = statistics.mean(clock.label_entries)
    size = model.embedding_size
    encoded = table_traffic(entries + label_entries, 2 * rows, width + size)
    scores = 6 * batch * pool * (length + size)
    heads = 6 * (batch + pool) * (length - 1) * size
    return scores + heads, encoded + table_traffic(0, pool, length)


def table_traffic(n_entries, n_rows, width):
    return FLOAT * width * (2 * n_entries + 2 * n_rows)


def count_pairs(model, Y):
    """Return how many labels a step scores, in all of its rows."""
    head = model._encoder.module.head
    size = head.head_sizes[-1]
    true = Y[: model.batch_size].sum(axis=1).mean()
    return model.batch_size * size * (head.n_trained + true)


def matrix_rate(n=1536):
    """Return operations a second of a product of large matrices."""
    A, B = torch.randn(n, n), torch.randn(n, n)
    return 2 * n**3 / fastest(lambda: A @ B)


def memory_bandwidth(n=2**26):
    """Return bytes a second of a copy of what no cache holds, read and written."""
    A, B = torch.ones(n), torch.empty(n)
    return 2 * FLOAT * n / fastest(lambda: B.copy_(A))


def fastest(call, n_times=7):
    def timed():
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return min(timed() for _ in range(n_times))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # not every label has a row
    main()
