"""What the benchmarks have in common: data, tables, versions."""

import platform
import sys
from importlib.metadata import version

import numpy as np
import sklearn
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import train_test_split

from skxmc.datasets import load_dataset
from skxmc.metrics import (
    label_propensities,
    precision_at_k,
    propensity_scored_precision_at_k,
)

# These store bags of words; the others are TF-IDF weighted already.
_UNWEIGHTED = {"bibtex", "delicious"}


def load(name, validation=False):
    """Return X_train, Y_train, X_test, Y_test; or the training part split again."""
    data = load_dataset(name)
    parts = data.X_train, data.Y_train, data.X_test, data.Y_test
    if validation:
        X, X_held, Y, Y_held = train_test_split(
            *parts[:2], test_size=0.2, random_state=0
        )
        parts = X, Y, X_held, Y_held
    X, Y, X_test, Y_test = parts
    if name in _UNWEIGHTED:
        weighting = TfidfTransformer().fit(X)
        X, X_test = weighting.transform(X), weighting.transform(X_test)
    return X.astype(np.float32), Y, X_test.astype(np.float32), Y_test


def evaluate(Y_train, Y_test, ranking, ks=(1, 3, 5)):
    """Return P@k and PSP@k in percent as text."""
    propensities = label_propensities(Y_train)
    precision = [precision_at_k(Y_test, ranking, k=k) for k in ks]
    scored = [
        propensity_scored_precision_at_k(
            Y_test, ranking, propensities=propensities, k=k
        )
        for k in ks
    ]
    return [" / ".join(f"{100 * v:.2f}" for v in row) for row in (precision, scored)]


def print_row(*cells):
    """Print a row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def print_header(*cells):
    """Print versions, then the head of a Markdown table."""
    packages = ("skxmc", "torch", "numpy", "scipy")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(
        f"Python {sys.version.split()[0]}, scikit-learn {sklearn.__version__}, ", end=""
    )
    print(f"{versions}; {platform.machine()}\n")
    print_row(*cells)
    print_row(*("---" for _ in cells))
