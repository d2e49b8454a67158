"""Problems that no default was chosen on, made of the training parts of the sets.

``SKXMC_DATA=folder python examples/benchmarks/other_problems.py OUTPUT`` writes them to
the folder OUTPUT, which ``compare.py`` then takes for its data home: few rows of a set;
"inverted", where labels are given and words are sought; "halves", where half of the
labels are given and the others sought; and of `load_stdlib_calls` "places", one module
or class of each function, and "names", the words of its name, to be told by its
docstring. Test parts are not read.
"""

import argparse
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from skxmc.datasets import load_dataset, load_stdlib_calls

# Rows to train on, of which there may be fewer once empty ones are left out, and to
# test on.
_SMALL = {
    "bibtex": (600, 1000),
    "delicious": (800, 3000),
    "rcv1sub1": (400, 2000),
    "clinc150": (1500, 3000),
    "debian-depends": (6000, 4000),
}
_INVERTED = {"bibtex": (3900, 980), "delicious": (10_000, 2920)}
_HALVES = {"debian-depends": (30_000, 6000)}
_PLACES, _NAMES = (8000, 2000), (3200, 800)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    for name, sizes in _SMALL.items():
        write(output / f"{name}-small", *load(name), sizes)
    for name, sizes in _INVERTED.items():
        X, Y = load(name)
        write(output / f"{name}-inverted", Y, present(X), sizes)
    for name, sizes in _HALVES.items():
        _, Y = load(name)
        is_given = np.random.default_rng(1).random(Y.shape[1]) < 0.5
        write(output / f"{name}-halves", Y[:, is_given], Y[:, ~is_given], sizes)
    functions = load_stdlib_calls(subset="train")
    fields = [text.split(" . ", 3) for text in functions.data]  # see its description
    places = [".".join(name.split(".")[:2]) for name in functions.functions]
    told = [" ".join(parts[1:]) for parts in fields]
    one = CountVectorizer(analyzer=lambda place: [place], min_df=2)
    places = present(one.fit_transform(places))
    write(output / "stdlib-places", vectors(told), places, _PLACES)
    whole = [parts for parts in fields if len(parts) == 4]
    docs, names = [parts[3] for parts in whole], [parts[1] for parts in whole]
    words = CountVectorizer(min_df=2).fit_transform(names)
    write(output / "stdlib-names", vectors(docs), present(words), _NAMES)


def load(name):
    """Return X and Y of the training part."""
    data = load_dataset(name)
    return sp.csr_array(data.X_train), present(data.Y_train)


def present(A):
    """Return 1 where a matrix is not zero."""
    return sp.csr_array((A != 0).astype(np.float32))


def vectors(texts):
    """Return TF-IDF vectors of texts."""
    vectorizer = TfidfVectorizer(min_df=2, dtype=np.float32)
    return sp.csr_array(vectorizer.fit_transform(texts))


def write(folder, X, Y, sizes):
    """Write rows at random, and of their labels those that have a training row."""
    n_train, n_test = sizes
    order = np.random.default_rng(0).permutation(X.shape[0])
    train, test = order[:n_train], order[n_train : n_train + n_test]
    has_row = Y[train].sum(axis=0) > 0
    folder.mkdir(parents=True, exist_ok=True)
    for part, rows in (("train", train), ("test", test)):
        X_part, Y_part = X[rows], Y[rows][:, has_row]
        is_full = (np.diff(X_part.indptr) > 0) & (np.diff(Y_part.indptr) > 0)
        sp.save_npz(folder / f"X_{part}.npz", X_part[is_full])
        sp.save_npz(folder / f"Y_{part}.npz", Y_part[is_full])


if __name__ == "__main__":
    main()
