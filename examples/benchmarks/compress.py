"""What fewer bits and fewer numbers cost, on rows held out of training.

``SKXMC_DATA=folder python examples/benchmarks/compress.py`` prints, for each set and
estimator with its defaults, the size of the pickled model and its precision after
`compress` with each storage, and with 4 bits and few numbers in place of a row.
"""

import argparse
import pickle
import warnings

import numpy as np
import torch
from _data import evaluate, load, print_header, print_row, without_votes

import skxmc

SETS = "bibtex", "delicious", "clinc150", "rcv1sub1", "stdlib"
ESTIMATORS = "DECLAREClassifier", "MultiHeadEncodingClassifier", "UniDECClassifier"
STORAGES = "float16", "int8", "int4"
N_COMPONENTS = 80, 256


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=SETS)
    options = parser.parse_args()
    print_header("set", "estimator", "numbers", "MiB", "P@1/3/5")
    for name in options.sets:
        X, Y, X_held, Y_held = load(name, validation=True)
        is_single_label = (np.diff(Y.indptr) == 1).all()
        for estimator in ESTIMATORS:
            model = without_votes(getattr(skxmc, estimator)(random_state=0))
            model.fit(X, Y.indices if is_single_label else Y)
            models = {"float32": model}
            models |= {storage: model.compress(storage) for storage in STORAGES}
            models |= {
                f"int4, {n} a row": model.compress("int4", n_components=n, X=X)
                for n in N_COMPONENTS
            }
            for storage, each in models.items():
                size = f"{len(pickle.dumps(each)) / 2**20:.2f}"
                print_row(
                    name, estimator, storage, size, score(each, X_held, Y, Y_held)
                )


def score(model, X_held, Y, Y_held):
    ranking = model.classes_[model.predict_topk(X_held, 5)[0]]
    return evaluate(Y, Y_held, ranking)[0]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    main()
