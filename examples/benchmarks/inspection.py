"""Do the features that are named matter? Deletion tests on rows held out of training.

``SKXMC_DATA=folder python examples/benchmarks/inspection.py`` takes from each row the
three features that `feature_contributions` puts first, three at random, or the three
of largest value, and prints by how much the score of the best label falls.
"""

import argparse
import time

import numpy as np
from _data import load, print_header, print_row, without_votes
from sklearn.feature_extraction.text import TfidfVectorizer

from skxmc import DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.inspection import feature_contributions

ESTIMATORS = DECLAREClassifier, MultiHeadEncodingClassifier, UniDECClassifier
N_DELETED = 3


def load_rows(name):
    """Return X and Y to train on, and rows of X that are held out."""
    if name != "stdlib":
        return load(name)[:3]
    train, test = (load_stdlib_calls(subset=part) for part in ("train", "test"))
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    X = vectorizer.fit_transform(train.data)
    return X, train.target, vectorizer.transform(test.data)


def without(x, columns):
    """Return a row without some of its features."""
    x = x.copy()
    x.data[np.isin(x.indices, columns)] = 0
    x.eliminate_zeros()
    return x


def score_of(model, x, label):
    indices, scores = model.predict_topk(x, k=len(model.classes_))
    return scores[indices == label][0]


def delete(model, x, rng):
    """Return the score of the best label, and what is left after each deletion."""
    explained = feature_contributions(model, x, random_state=rng)
    gone = (
        explained.indices[:N_DELETED],
        rng.choice(x.indices, N_DELETED, replace=False),
        x.indices[np.argsort(-x.data)[:N_DELETED]],
    )
    rest = [score_of(model, without(x, columns), explained.label) for columns in gone]
    return explained.score, *rest


def run(name, make, n_rows):
    X, Y, X_held = load_rows(name)
    rng = np.random.RandomState(0)
    model = without_votes(make(random_state=0)).fit(X, Y)
    rows = rng.permutation(np.flatnonzero(np.diff(X_held.indptr) > 2 * N_DELETED))
    start = time.perf_counter()
    results = [delete(model, X_held[[row]], rng) for row in rows[:n_rows]]
    seconds = (time.perf_counter() - start) / n_rows
    means = (f"{value:.2f}" for value in np.mean(results, axis=0))
    print_row(name, make.__name__, *means, f"{seconds:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=["stdlib", "bibtex", "clinc150"])
    parser.add_argument("--rows", type=int, default=50)
    arguments = parser.parse_args()
    print_header(
        "set", "estimator", "score", "less named", "less random", "less largest", "s"
    )
    for name in arguments.sets:
        for make in ESTIMATORS:
            run(name, make, arguments.rows)


if __name__ == "__main__":
    main()
