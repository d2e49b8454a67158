"""One training step on sparse input, and whether its short cut costs precision.

Times a step of a network with 200 000 inputs, 200 non-zeros a row, batches of 256 and
256 hidden units: a dense batch with torch's default Adam, against row-sparse gradients
with `RowSparseAdamW`. Whole steps, from cutting the batch to updated weights, the two
in turn; medians.

Then trains one network with either optimiser, at several learning rates, on two real
data sets (folder in ``SKXMC_DATA``), and compares precision on a held-out fifth of the
training rows.
"""

import argparse
import time

import numpy as np
import scipy.sparse as sp
import torch
from _data import evaluate, load, print_header, print_row
from torch import nn

from skxmc._nn._modules import SparseEncoder, seed_generators
from skxmc._nn._optim import RowSparseAdamW
from skxmc._nn._sparse import SparseRows


class DenseTable(nn.Module):
    """The input layer with an ordinary, dense gradient."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())

    def forward(self, x):
        return x.matmul(self.weight)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print_header("columns", "step", "median ms", "ratio")
    for columns in ("uniform", "zipf"):
        time_steps(columns, arguments.repeats)
    print()
    print_header("set", "optimiser", "lr", "P@1/3/5", "PSP@1/3/5")
    for name in ("bibtex", "delicious"):
        compare_precision(name)


def time_steps(columns, repeats, n_features=200_000, n_rows=256, width=256, n=200):
    rng = np.random.default_rng(0)
    shape = (n_rows, n_features)
    batches = [make_batch(columns, rng, shape, n) for _ in range(repeats + 1)]
    target = torch.randn(n_rows, width, generator=torch.Generator().manual_seed(0))
    steps = {
        "dense batch, Adam": dense_step(n_features, width, target),
        "row-sparse": sparse_step(n_features, width, target),
    }
    times = {name: [] for name in steps}
    for batch in batches:
        for name, step in steps.items():
            start = time.perf_counter()
            step(batch)
            times[name].append(time.perf_counter() - start)
    # The first step allocates the optimiser's state.
    medians = {name: np.median(seconds[1:]) for name, seconds in times.items()}
    for name, median in medians.items():
        ratio = medians["dense batch, Adam"] / median
        print_row(columns, name, f"{1000 * median:.1f}", f"{ratio:.1f}")


def make_batch(columns, rng, shape, n):
    size = shape[0] * n
    if columns == "uniform":
        indices = rng.integers(0, shape[1], size)
    else:
        drawn = rng.zipf(1.3, size * 3)
        indices = drawn[drawn <= shape[1]][:size] * 7919 % shape[1]
    values = rng.random(size, dtype=np.float32)
    return sp.csr_array((values, indices, np.arange(0, size + 1, n)), shape=shape)


def dense_step(n_features, width, target):
    layers = [nn.Linear(n_features, width), nn.ReLU(), nn.Linear(width, width)]
    module = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(module.parameters())
    return lambda X: take_step(module, optimizer, torch.from_numpy(X.toarray()), target)


def sparse_step(n_features, width, target):
    module = SparseEncoder(
        n_features, width, (width,), dropout=0, input_scale=1, linear=None, seed=0
    )
    optimizer = RowSparseAdamW(module.parameters())
    return lambda X: take_step(module, optimizer, SparseRows.from_csr(X), target)


def take_step(module, optimizer, x, target):
    optimizer.zero_grad()
    nn.functional.mse_loss(module(x), target).backward()
    optimizer.step()


def compare_precision(name):
    X, Y, X_test, Y_test = load(name, validation=True)
    for optimizer in ("dense Adam", "row-sparse"):
        for lr in (1e-3, 3e-3):
            torch.manual_seed(0)
            scores = train_one_vs_all(X, Y, X_test, optimizer, lr)
            print_row(name, optimizer, lr, *evaluate(Y, Y_test, scores))


def train_one_vs_all(X, Y, X_test, optimizer, lr, n_epochs=12, batch_size=128):
    """Train with a softmax over each row's labels; return scores of the test rows."""
    module = SparseEncoder(
        X.shape[1], Y.shape[1], (512,), dropout=0.5, input_scale=1, linear=None, seed=0
    )
    seed_generators(module, torch.Generator().manual_seed(0))
    if optimizer == "dense Adam":
        module.first = DenseTable(module.first.weight)
        optimizer = torch.optim.Adam(module.parameters(), lr=lr, fused=True)
    else:
        optimizer = RowSparseAdamW(module.parameters(), lr=lr)
    n_steps = n_epochs * -(-X.shape[0] // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=n_steps, pct_start=0.1
    )
    rng = np.random.default_rng(0)
    for _ in range(n_epochs):
        order = rng.permutation(X.shape[0])
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            labels = torch.from_numpy(Y[rows].toarray().astype(np.float32))
            labels /= labels.sum(1, keepdim=True).clamp(min=1)
            scores = module(SparseRows.from_csr(X[rows]))
            optimizer.zero_grad()
            nn.functional.cross_entropy(scores, labels).backward()
            optimizer.step()
            schedule.step()
    module.eval()
    with torch.no_grad():
        return module(SparseRows.from_csr(X_test)).numpy()


if __name__ == "__main__":
    main()
