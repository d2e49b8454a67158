"""Train on real texts with thousands of labels, and look at what comes out.

The data are the functions of Python's own standard library: from a function's name,
arguments and docstring, predict which functions it calls. Nothing is downloaded. The
test part holds modules of which nothing was seen in training, so it is not easy.

Run it with ``python examples/quickstart.py``; it takes about a minute.
"""

import time
from functools import partial

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from skxmc import DECLAREClassifier
from skxmc.datasets import load_stdlib_calls
from skxmc.metrics import (
    label_propensities,
    ndcg_at_k,
    precision_at_k,
    propensity_scored_precision_at_k,
)

K = 5
ROW = "{:<20} {:>6} {:>6} {:>6} {:>7} {:>6} {:>10} {:>7}"


def main():
    train, test = (load_stdlib_calls(subset=part) for part in ("train", "test"))
    print(
        f"{len(train.data)} training and {len(test.data)} test functions, "
        f"{train.target.shape[1]} labels\n"
    )
    propensity_scored = partial(
        propensity_scored_precision_at_k, propensities=label_propensities(train.target)
    )
    metrics = [
        *(partial(precision_at_k, k=k) for k in (1, 3, K)),
        partial(ndcg_at_k, k=K),
        partial(propensity_scored, k=K),
    ]

    start = time.perf_counter()
    popular = np.argsort(-train.target.sum(axis=0), kind="stable")[:K]
    ranking = np.tile(popular, (len(test.data), 1)), None
    popular_row = [time.perf_counter() - start, popular.nbytes]
    results = [("most popular labels", ranking, popular_row)]

    vectorizer = TfidfVectorizer(sublinear_tf=True)
    classifier = DECLAREClassifier(random_state=0)
    start = time.perf_counter()
    make_pipeline(vectorizer, classifier).fit(train.data, train.target)
    seconds = time.perf_counter() - start
    ranking = classifier.predict_topk(vectorizer.transform(test.data), k=K)
    size = classifier.model_size()["total"]
    results.append(("DECLAREClassifier", ranking, [seconds, size]))

    print(
        ROW.format(
            "estimator", "P@1", "P@3", "P@5", "nDCG@5", "PSP@5", "seconds", "MiB"
        )
    )
    for name, predicted, (seconds, size) in results:
        figures = [f"{100 * metric(test.target, predicted):.2f}" for metric in metrics]
        print(ROW.format(name, *figures, f"{seconds:.1f}", f"{size / 2**20:.1f}"))

    print("\nThree predictions, for functions with a docstring of some length:")
    described = np.flatnonzero([len(text) > 300 for text in test.data])
    for row in described[np.linspace(0, len(described) - 1, 5, dtype=int)[1:-1]]:
        true = test.target[[row]].indices
        print(f"\n  text       {test.data[row][:90]!r}")
        print(f"  true       {', '.join(test.target_names[label] for label in true)}")
        print(
            "  predicted  "
            + ", ".join(
                f"{test.target_names[label]} ({score:.2f})"
                for label, score in zip(
                    *(part[row] for part in results[-1][1]), strict=True
                )
            )
        )


if __name__ == "__main__":
    main()
