"""What votes of the nearest training rows are worth, on rows held out.

    SKXMC_DATA=folder python examples/benchmarks/neighbor_votes.py
    SKXMC_DATA=folder python examples/benchmarks/neighbor_votes.py --multi-head

Of the training rows of each set a fifth is held out: at random, or in blocks of rows
that stand side by side, which in stdlib are of one module and in debian-depends of
packages with like names. The weight is set after the fit: one fit a table.
"""

import argparse
import time

import numpy as np
import scipy.sparse as sp
from _data import evaluate, held_out_rows, load, print_header, print_row
from sklearn.base import clone
from sklearn.metrics import f1_score, log_loss

from skxmc import MultiHeadEncodingClassifier, UniDECClassifier

# The default of before there were votes, whatever it becomes with them.
UNIDEC = UniDECClassifier(encoder_weight=0.2, random_state=0)
MULTI_HEAD = MultiHeadEncodingClassifier(random_state=0)
BLOCKS = {"stdlib": 400, "debian-depends": 100}
SETS = ["bibtex", "delicious", "rcv1sub1", "clinc150", *BLOCKS]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--weights", nargs="+", type=float, default=[0, 1, 2.5, 4])
    parser.add_argument("--multi-head", action="store_true", help="not UniDEC")
    args = parser.parse_args()
    estimator = MULTI_HEAD if args.multi_head else UNIDEC
    titles = "P@1/3/5", "PSP@1/3/5", "log loss of 5", "F1", "rows / s"
    print_header("set", "rows held out", "neighbor_weight", *titles)
    for name in args.sets:
        for size in [1, *([BLOCKS[name]] if name in BLOCKS else [])]:
            try_weights(estimator, name, size, args.weights)


def try_weights(estimator, name, size, weights):
    X, Y, *_ = load(name)
    X, Y = sp.csr_array(X), sp.csr_array(Y)
    held = np.isin(np.arange(X.shape[0]), held_out_rows(X.shape[0], size))
    model = clone(estimator).fit(X[~held], Y[~held])
    X_held, Y_held = X[held], Y[held]
    for weight in weights:
        model.set_params(neighbor_weight=weight)
        model.predict_topk(X_held[:1], k=5)  # calibrates
        start = time.perf_counter()
        ranking, chances = model.predict_topk(X_held, k=5)
        seconds = time.perf_counter() - start
        rows = np.arange(len(ranking))[:, None]
        is_true = sp.csr_array(Y_held)[rows, ranking].toarray() > 0
        f1 = f1_score(Y_held, model.predict(X_held), average="micro", zero_division=0)
        print_row(
            *(name, "at random" if size == 1 else f"blocks of {size}", weight),
            *evaluate(Y[~held], Y_held, ranking),
            f"{log_loss(is_true.ravel(), chances.ravel(), labels=[False, True]):.3f}",
            f"{100 * f1:.1f}",
            f"{len(ranking) / seconds:.0f}",
        )


if __name__ == "__main__":
    main()
