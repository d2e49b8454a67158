"""Fits from disk under a limit of memory: peak, and time a row beside fits in memory.

``python examples/benchmarks/out_of_core.py`` writes a synthetic set of so many GB as
CSR to a temporary folder (see ``--folder``), then fits each estimator to it in a
process of its own that the kernel allows ``--limit`` MiB beyond what the imports took
(RLIMIT_DATA: what is mapped from files does not count). A part of the rows, which
fits in memory, is fitted both ways for the time a row. One epoch, narrow networks; the
rows are shuffled copies of 20 000 with other values. Works on Linux only.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from _data import print_header, print_row
from peers.process_memory import read

import skxmc
from skxmc.datasets import load_mapped, make_xmc_classification, write_mapped

NARROW = {"n_components": 32, "hidden_layer_sizes": (64,), "max_epochs": 1}
NARROW |= {"neighbor_weight": 0}  # mapped rows have no votes
SETTINGS = {
    # Otherwise the model holds the rows of X, and faiss a copy of the codes.
    "DECLAREClassifier": {"n_components": 32, "input_weight": 0.0, "index": "exact"},
    "MultiHeadEncodingClassifier": NARROW,
    "UniDECClassifier": NARROW | {"embedding_size": 64},
}
N_FEATURES, N_LABELS, N_NONZERO = 50_000, 2000, 250
N_DRAWN = 20_000
MIB = 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("estimators", nargs="*", default=[*SETTINGS])
    parser.add_argument("--gb", type=float, default=10.0, help="of X and Y as CSR")
    parser.add_argument("--limit", type=int, default=4096, help="MiB")
    parser.add_argument("--part", type=int, default=100_000, help="rows in memory")
    parser.add_argument("--folder", help="where to write, instead of /tmp")
    parser.add_argument("--alone", metavar="JSON", help="fit in this process")
    args = parser.parse_args()
    if args.alone:
        measure(**json.loads(args.alone))
        return
    print_header(
        *("estimator", "rows", "CSR MiB", "read", "limit MiB", "peak MiB", "s"),
        "us / row",
    )
    with tempfile.TemporaryDirectory(dir=args.folder) as home:
        n_rows = write(Path(home, "all"), n_bytes=args.gb * 1e9)
        write(Path(home, "part"), n_rows=args.part)
        for name in args.estimators:
            run(name=name, folder=f"{home}/part", limit=None, is_mapped=False)
            run(name=name, folder=f"{home}/part", limit=args.limit, is_mapped=True)
            if n_rows > args.part:
                run(name=name, folder=f"{home}/all", limit=args.limit, is_mapped=True)


def run(**options):
    sys.stdout.flush()
    command = [sys.executable, __file__, "--alone", json.dumps(options)]
    subprocess.run(command, check=True)


def write(folder, *, n_rows=None, n_bytes=None):
    """Write X and Y of so many rows or bytes; return the number of rows."""
    X, Y = make_xmc_classification(
        N_DRAWN, N_FEATURES, N_LABELS, n_nonzero=N_NONZERO, random_state=0
    )
    if n_rows is None:
        n_rows = int(n_bytes / csr_bytes(X, Y) * N_DRAWN)
    folder.mkdir()

    def blocks(M, noise):
        for start in range(0, n_rows, N_DRAWN):
            rng = np.random.default_rng(start)
            block = M[rng.permutation(N_DRAWN)[: n_rows - start]]
            if noise:
                block.data *= rng.uniform(0.8, 1.2, block.nnz).astype(np.float32)
            yield block

    write_mapped(folder / "X", blocks(X, noise=True))
    write_mapped(folder / "Y", blocks(Y, noise=False))
    return n_rows


def csr_bytes(*matrices):
    return sum(part.nbytes for M in matrices for part in (M.data, M.indices, M.indptr))


def measure(name, folder, limit, is_mapped):
    """Fit and print a row of the table."""
    warnings.simplefilter("ignore")  # labels without a row
    model = getattr(skxmc, name)(random_state=0, **SETTINGS[name])
    model.fit(*make_xmc_classification(2000, 1000, 200, random_state=0))  # warm up
    X, Y = load_mapped(f"{folder}/X"), load_mapped(f"{folder}/Y")
    size = csr_bytes(X, Y)
    if not is_mapped:
        X, Y = X[: X.shape[0]], Y[: Y.shape[0]]
    if limit is not None:
        most = read("VmData") + limit * MIB
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    with AnonymousPeak() as peak:
        start = time.perf_counter()
        model.fit(X, Y)
        seconds = time.perf_counter() - start
    print_row(
        *(name, X.shape[0], size // MIB, "mapped" if is_mapped else "in memory"),
        *(limit or "none", round(peak.risen / MIB), round(seconds)),
        round(1e6 * seconds / X.shape[0]),
    )


class AnonymousPeak:
    """Watches by how much the memory rises that is no file's: `risen`, in bytes."""

    def __enter__(self):
        self.before = self.most = read("RssAnon")
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self):
        while not self.done.wait(0.01):
            self.most = max(self.most, read("RssAnon"))

    def __exit__(self, *error):
        self.done.set()
        self.thread.join()
        self.risen = self.most - self.before


if __name__ == "__main__":
    main()
