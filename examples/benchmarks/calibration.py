"""Expected calibration error before and after, and what folds do to rare labels.

One row in five is held out of the training part; the maps are fitted on the others.
"""

import sys
import time

import numpy as np
import scipy.sparse as sp
from _data import load, print_header, print_row
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier
from skxmc.calibration import TopKCalibratedClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.metrics import precision_at_k
from skxmc.model_selection import IterativeStratifiedKFold

K, N_BINS, N_ROWS = 5, 15, 6000
ESTIMATORS = {
    "DECLARE": DECLAREClassifier(random_state=0),
    "multi-head": MultiHeadEncodingClassifier(
        max_epochs=8, neighbor_weight=0, random_state=0
    ),
}


def calibration_error(probabilities, truth):
    """Return the mean gap of probability and frequency in bins of equal width."""
    bins = np.minimum((probabilities * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(bins, probabilities - truth, minlength=N_BINS)
    return np.abs(gaps).sum() / len(truth)


def truth_of(Y, indices):
    rows = np.arange(len(indices))[:, None]
    return np.asarray(sp.csr_array(Y)[rows, indices].todense()).astype(float)


def errors(Y, ranking):
    """Return the error of the first rank, of all pairs, and the squared error."""
    indices, P = ranking
    truth = truth_of(Y, indices)
    values = (
        calibration_error(P[:, 0], truth[:, 0]),
        calibration_error(P.ravel(), truth.ravel()),
        np.mean((P - truth) ** 2),
    )
    return " / ".join(f"{100 * value:.2f}" for value in values)


def calibrate(names):
    """Print a table of the errors, in percent."""
    print_header("set", "estimator", "scores", "isotonic", "sigmoid", "P@1, P@5")
    for name in names:
        X, Y, X_held, Y_held = load(name, validation=True)
        X, Y = X[:N_ROWS], Y[:N_ROWS]
        for title, estimator in ESTIMATORS.items():
            cells = [errors(Y_held, estimator.fit(X, Y).predict_topk(X_held, k=K))]
            for method in ("isotonic", "sigmoid"):
                cv = IterativeStratifiedKFold(5, random_state=0)
                model = TopKCalibratedClassifier(estimator, method=method, cv=cv, k=K)
                ranking = model.fit(X, Y).predict_topk(X_held, k=K)
                cells.append(errors(Y_held, ranking))
            precision = [precision_at_k(Y_held, ranking, k=k) for k in (1, K)]
            cells.append(", ".join(f"{100 * value:.2f}" for value in precision))
            print_row(name, title, *cells)


def calibrate_for_new_modules():
    """Print mean probability and frequency of the first label where modules are new."""
    train, test = (load_stdlib_calls(subset=part) for part in ("train", "test"))
    model = make_pipeline(TfidfVectorizer(), DECLAREClassifier(random_state=0))
    X, Y = train.data, train.target
    print_row("folds", "probability", "true")
    print_row(*["---"] * 3)
    for title, cv in (
        ("of rows", IterativeStratifiedKFold(3, random_state=0)),
        ("of modules", [*GroupKFold(3).split(X, groups=train.modules)]),
    ):
        calibrated = TopKCalibratedClassifier(model, cv=cv).fit(X, Y)
        indices, P = calibrated.predict_topk(test.data, k=1)
        print_row(
            title, *(f"{v.mean():.2f}" for v in (P, truth_of(test.target, indices)))
        )


def split(names):
    """Print how many labels of two rows or more have all in one test fold."""
    print_row("set", "labels", "KFold, shuffled", "iterative", "seconds")
    print_row(*["---"] * 5)
    for name in names:
        Y = many_labels() if name == "drawn" else load(name)[1]
        start = time.perf_counter()
        ours = n_lost(IterativeStratifiedKFold(5, random_state=0), Y)
        seconds = f"{time.perf_counter() - start:.1f}"
        chance = n_lost(KFold(5, shuffle=True, random_state=0), Y)
        print_row(name, np.sum(counts_of(Y) > 1), chance, ours, seconds)


def counts_of(Y):
    return np.asarray(Y.sum(axis=0)).ravel()


def n_lost(splitter, Y):
    counts = counts_of(Y)
    tests = (Y[test] for _, test in splitter.split(np.zeros(Y.shape[0]), Y))
    return sum(np.sum((counts_of(part) == counts) & (counts > 1)) for part in tests)


def many_labels(n=100_000):
    """Draw 5 of 100 000 labels for each of 100 000 rows, few of them often."""
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, n + 1) ** 0.8
    labels = rng.choice(n, size=5 * n, p=chances / chances.sum())
    Y = sp.csr_array((np.ones(5 * n), labels, np.arange(0, 5 * n + 1, 5)), shape=(n, n))
    Y.sum_duplicates()
    Y.data[:] = 1
    return Y


if __name__ == "__main__":
    calibrate(sys.argv[1:] or ["bibtex", "rcv1sub1", "clinc150"])
    print()
    calibrate_for_new_modules()
    print()
    split(["bibtex", "rcv1sub1", "debian-depends", "drawn"])
