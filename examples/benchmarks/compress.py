"""What fewer bits and fewer weights cost, on rows held out of training.

``SKXMC_DATA=folder python examples/benchmarks/compress.py`` prints, for each set and
estimator with its defaults, the size of the pickled model and its precision after
`compress` with each storage; and the precision with the smallest three quarters of all
weights and codes set to zero. What is left of these would take as much as 6 bits for
each number of before: 8 for the number and 16 for its place.
"""

import argparse
import copy
import pickle
import warnings

import numpy as np
import torch
from _data import evaluate, load, print_header, print_row

import skxmc

SETS = "bibtex", "delicious", "clinc150", "rcv1sub1"
ESTIMATORS = "DECLAREClassifier", "MultiHeadEncodingClassifier", "UniDECClassifier"
STORAGES = "float16", "int8", "int4"
KEPT = 0.25
MIN_PRUNED = 2**14


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=SETS)
    options = parser.parse_args()
    print_header("set", "estimator", "numbers", "MiB", "P@1/3/5")
    for name in options.sets:
        X, Y, X_held, Y_held = load(name, validation=True)
        is_single_label = (np.diff(Y.indptr) == 1).all()
        for estimator in ESTIMATORS:
            model = getattr(skxmc, estimator)(random_state=0)
            model.fit(X, Y.indices if is_single_label else Y)
            models = {"float32": model}
            models |= {storage: model.compress(storage) for storage in STORAGES}
            for storage, each in models.items():
                size = f"{len(pickle.dumps(each)) / 2**20:.2f}"
                print_row(
                    name, estimator, storage, size, score(each, X_held, Y, Y_held)
                )
            figures = score(pruned(model), X_held, Y, Y_held)
            print_row(name, estimator, f"{KEPT:.0%} of them", "", figures)


def score(model, X_held, Y, Y_held):
    ranking = model.classes_[model.predict_topk(X_held, 5)[0]]
    return evaluate(Y, Y_held, ranking)[0]


def pruned(model):
    """Return a copy of a model of which the largest weights and codes are left."""
    model = copy.deepcopy(model)
    module = model._encoder.module
    arrays = [w.data.numpy() for w in (*module.parameters(), *module.buffers())]
    if hasattr(model, "_ranker"):
        arrays.append(model._ranker.keys[:, :-3])  # but for biases
    elif hasattr(model, "_index"):
        arrays += [model._index.keys, model._label_index.keys]
    for A in arrays:
        if A.ndim == 2 and A.size >= MIN_PRUNED:
            A[np.abs(A) < np.quantile(np.abs(A), 1 - KEPT)] = 0
    return model


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    main()
