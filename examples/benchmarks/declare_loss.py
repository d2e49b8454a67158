"""Squared error against squared hinge in DECLARE, where a row has one of few labels.

``SKXMC_DATA=folder python examples/benchmarks/declare_loss.py`` prints accuracies on a
fifth of the training rows: of clinc150, of the rows of other sets that have one label,
of scikit-learn's small sets and of classes with several clusters each.
"""

import numpy as np
import scipy.sparse as sp
from _data import load, print_header, print_row
from sklearn import datasets
from sklearn.model_selection import ShuffleSplit, cross_val_score

from skxmc import DECLAREClassifier

NAMES = "clinc150", "bibtex", "rcv1sub1", "stdlib", "debian-depends"
LOSSES = "squared_error", "squared_hinge", "auto"
# Classes with fewer rows are left out, and of the others all but the largest.
MIN_ROWS, MAX_CLASSES = 5, 250


def single_label(name):
    """Return the rows that have one label, and these labels."""
    X, Y, *_ = load(name)
    X, Y = sp.csr_array(X), sp.csr_array(Y)
    rows = np.flatnonzero(np.diff(Y.indptr) == 1)
    y = Y[rows].indices
    counts = np.bincount(y)
    largest = np.argsort(-counts, kind="stable")[:MAX_CLASSES]
    kept = np.isin(y, largest[counts[largest] >= MIN_ROWS])
    return X[rows[kept]], y[kept]


def problems():
    """Yield (name, X, y)."""
    for name in NAMES:
        yield name, *single_label(name)
    for read in (datasets.load_digits, datasets.load_breast_cancer):
        yield read.__name__, *read(return_X_y=True)
    X, y = datasets.make_blobs(3000, 10, centers=60, cluster_std=3, random_state=0)
    yield "60 clusters", X, y
    X, y = datasets.make_classification(
        3000, 50, n_informative=20, n_classes=20, random_state=0
    )
    yield "20 classes of 2 clusters", X, y


def main():
    print_header("set", "rows", "classes", *LOSSES)
    split = ShuffleSplit(3, test_size=0.2, random_state=0)
    for name, X, y in problems():
        means = [
            cross_val_score(
                DECLAREClassifier(loss=loss, random_state=0), X, y, cv=split
            ).mean()
            for loss in LOSSES
        ]
        sizes = X.shape[0], len(np.unique(y))
        print_row(name, *sizes, *(f"{100 * mean:.1f}" for mean in means))


if __name__ == "__main__":
    main()
