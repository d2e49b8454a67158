"""DECLARE on real data: the paper's setting, the defaults, and what each part gives.

``SKXMC_DATA=folder python examples/benchmarks/declare.py`` prints one table of test
scores. ``--ablation`` scores on a held-out fifth of the training rows instead, which
is what the defaults were chosen by.
"""

import argparse
import time

from _data import evaluate, load, print_header, print_row

from skxmc import DECLAREClassifier

PAPER = {
    "n_components": 100,
    "compression": "svd",
    "ridge_alpha": None,
    "hidden_layer_sizes": (256,),
    "keys": "exact",
    "similarity": "dot",
    "sharpening": 1,
    "n_neighbors": 25,
    "decoder": "neighbors",
    "input_weight": 0,
    "lr": 5e-4,
    "batch_size": 128,
    "dropout": 0.0,
    "max_epochs": 300,  # to convergence
}
RUNS = [
    ("bibtex", "paper", PAPER),
    ("bibtex", "paper, but cosine", {**PAPER, "similarity": "cosine"}),
    (
        "bibtex",
        "paper, but cosine and predicted keys",
        {**PAPER, "similarity": "cosine", "keys": "predicted"},
    ),
    ("bibtex", "default", {}),
    ("delicious", "default", {}),
    ("rcv1sub1", "default", {}),
    ("clinc150", "default", {}),
    ("debian-depends", "default", {}),
]
PERCEPTRON = {"hidden_layer_sizes": (256,)}
CODES = {"classifier_weight": 0}
SHORT, SHORTER = ({**CODES, "n_components": n} for n in (64, 32))
ABLATION = [
    ("default", {}),
    ("paper", PAPER),
    ("exact keys", {"keys": "exact"}),
    ("dot product", {"similarity": "dot"}),
    ("no sharpening", {"sharpening": 1}),
    ("neighbours only", {"decoder": "neighbors"}),
    ("linear decoder only", {"decoder": "linear"}),
    ("no votes of like inputs", {"input_weight": 0}),
    ("no classifiers", {"classifier_weight": 0}),
    ("classifiers, 0.4", {"classifier_weight": 0.4}),
    ("classifiers, 0.6", {"classifier_weight": 0.6}),
    ("squared hinge", {"loss": "squared_hinge"}),
    ("squared hinge, more penalty", {"loss": "squared_hinge", "ridge_alpha": 12}),
    ("with a perceptron", PERCEPTRON),
    ("perceptron, lr=0.003, 10 epochs", PERCEPTRON | {"lr": 3e-3, "max_epochs": 10}),
    (
        "perceptron, early stopping, 20 epochs",
        PERCEPTRON | {"early_stopping": True, "max_epochs": 20},
    ),
    ("perceptron only", PERCEPTRON | {"ridge_alpha": None, "max_epochs": 15}),
    # What codes are worth by themselves:
    ("512 components", CODES | {"n_components": 512}),
    ("128 components", CODES | {"n_components": 128}),
    ("64 components", CODES | {"n_components": 64}),
    *(
        (f"64 components, {method}", SHORT | {"compression": method})
        for method in ("svd", "predictable", "neighbors")
    ),
    ("32 components", CODES | {"n_components": 32}),
    *(
        (f"32 components, {method}", SHORTER | {"compression": method})
        for method in ("svd", "predictable")
    ),
    *(
        (f"compression='{method}'", CODES | {"compression": method})
        for method in ("svd", "neighbors")
    ),
    ("rare_label_weight=0.25", CODES | {"rare_label_weight": 0.25}),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--sets", nargs="+", help="only these data sets")
    parser.add_argument("--settings", nargs="+", help="only these settings")
    arguments = parser.parse_args()
    runs = RUNS
    if arguments.ablation:
        names = [
            *("bibtex", "delicious", "rcv1sub1", "clinc150"),
            *("debian-depends", "stdlib"),
        ]
        runs = [(name, *setting) for name in names for setting in ABLATION]
    print_header("set", "setting", "P@1/3/5", "PSP@1/3/5", "fit s", "predict s", "MiB")
    for name, setting, params in runs:
        is_wanted = not arguments.settings or setting in arguments.settings
        if is_wanted and (not arguments.sets or name in arguments.sets):
            run(name, setting, params, validation=arguments.ablation)


def run(name, setting, params, validation):
    X, Y, X_test, Y_test = load(name, validation)
    start = time.perf_counter()
    classifier = DECLAREClassifier(random_state=0, **params).fit(X, Y)
    fitted = time.perf_counter()
    ranking = classifier.predict_topk(X_test, k=5)
    seconds = fitted - start, time.perf_counter() - fitted
    size = classifier.model_size()["total"] / 2**20
    print_row(
        name,
        setting,
        *evaluate(Y, Y_test, ranking),
        *(f"{s:.1f}" for s in seconds),
        f"{size:.1f}",
    )


if __name__ == "__main__":
    main()
