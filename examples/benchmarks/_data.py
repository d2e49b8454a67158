"""What the benchmarks have in common: data, tables, versions."""

import gzip
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import sklearn
from sklearn.feature_extraction.text import (
    CountVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import normalize

from skxmc.datasets import get_data_home, load_dataset, load_stdlib_calls
from skxmc.metrics import (
    label_propensities,
    precision_at_k,
    propensity_scored_precision_at_k,
)

# These store bags of words; the others are TF-IDF weighted already.
_UNWEIGHTED = {"bibtex", "delicious"}


def load(name, validation=False):
    """Return X_train, Y_train, X_test, Y_test; or the training part split again."""
    if name == "stdlib":
        parts = _read_stdlib()
    else:
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


def _read_stdlib():
    train, test = (load_stdlib_calls(subset=subset) for subset in ("train", "test"))
    tfidf = TfidfVectorizer(sublinear_tf=True, min_df=2, dtype=np.float32)
    X, X_test = tfidf.fit_transform(train.data), tfidf.transform(test.data)
    return X, train.target, X_test, test.target


def held_out_rows(n_samples, size=1):
    """Draw a fifth of the rows, in blocks of so many that stand side by side."""
    blocks = np.random.default_rng(0).permutation(n_samples // size)
    return (blocks[: len(blocks) // 5, None] * size + np.arange(size)).ravel()


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


def without_votes(estimator):
    """Set the weight of votes of training rows to 0, for tables of all else."""
    if "neighbor_weight" in estimator.get_params():
        estimator.set_params(neighbor_weight=0)
    return estimator


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


def texts_of_labels(name, X):
    """Return the TF-IDF of names and texts of the labels, in the columns of X."""
    folder = Path(get_data_home()) / name
    names, texts, words = (
        read_lines(folder / f"{part}.txt.gz")
        for part in ("labels", "label_texts", "features")
    )
    documents = [f"{name} . {text}" for name, text in zip(names, texts, strict=True)]
    counter = CountVectorizer(vocabulary={word: i for i, word in enumerate(words)})
    counts = as_csr(counter.transform(documents)).astype(np.float32)
    counts.data = 1 + np.log(counts.data)
    n_rows = np.bincount(X.indices, minlength=X.shape[1])
    idf = np.log((1 + X.shape[0]) / (1 + n_rows)) + 1
    return as_csr(normalize(counts.multiply(idf[None]))).astype(np.float32)


def read_lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().split("\n")[:-1]


def as_csr(M):
    return sp.csr_array(M)
