"""Multi-head encoding on real and made data: what the paper claims, tested.

``SKXMC_DATA=folder python examples/benchmarks/multi_head.py figures`` prints the test
scores of the defaults beside one-vs-all. The other parts change one thing at a time and
score on a held-out fifth of the training rows, means of two seeds:

clinc150  sizes of two heads, on the official validation part and the test part
heads     product against one-vs-all as heads grow from 1 to 4
order     label orders, for weak and strong encoders
sizes     equal and unequal heads
sampling  how many groups are sampled
cascade   cascade against one-vs-all
classes   1-D y of many classes, the rarest label of each row: product, cascade, others
machines  support vector machines beside the codes in the linear features, one seed
scale     time of an epoch and of a prediction up to a million labels
"""

import argparse
import time
import warnings
from unittest import mock

import numpy as np
from _data import evaluate, held_out_rows, load, print_header, print_row
from compare import as_csr, read_set
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from skxmc import (
    DECLAREClassifier,
    MultiHeadEncodingClassifier,
    UniDECClassifier,
    _mhe,
)
from skxmc.datasets import make_xmc_classification
from skxmc.metrics import precision_at_k

SEEDS = (0, 1)
NO_VOTES = {"neighbor_weight": 0}  # what they are worth: neighbor_votes.py
WEAK = {"hidden_layer_sizes": (32,), "ridge_alpha": None}
ORDERS = ("natural", "random", "frequency", "cluster")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parts = {
        "figures": show_figures,
        "clinc150": compare_clinc150,
        "heads": compare_heads,
        "order": compare_orders,
        "sizes": compare_sizes,
        "sampling": compare_sampling,
        "cascade": compare_cascade,
        "classes": compare_classes,
        "machines": compare_machines,
        "scale": measure_scale,
    }
    parser.add_argument("parts", nargs="+", choices=parts)
    for part in parser.parse_args().parts:
        parts[part]()
        print()


def show_figures():
    print_header(
        *("set", "setting", "P@1/3/5", "PSP@1/3/5"),
        *("fit s", "s / epoch", "head parameters", "recall"),
    )
    settings = [
        ("clinc150", "product, 2 heads", {}),
        # The best of five sizes on the official validation part.
        ("clinc150", "product, 7 and 22 outputs", {"head_sizes": (7, 22)}),
        ("clinc150", "one-vs-all", {"variant": "full"}),
        ("clinc150", "default", {"n_heads": None}),
        ("bibtex", "two heads", {}),
        ("bibtex", "default", {"n_heads": None}),
        ("delicious", "cascade", {}),
        ("delicious", "one-vs-all", {"variant": "full"}),
        ("rcv1sub1", "cascade", {}),
        ("debian-depends", "cascade", {}),
        (
            "debian-depends",
            "one-vs-all, one epoch",
            {"variant": "full", "max_epochs": 1},
        ),
    ]
    for name, setting, params in settings:
        X, Y, X_test, Y_test = load(name)
        is_single_label = name == "clinc150"
        model, seconds = fit(X, class_of(Y) if is_single_label else Y, 0, params)
        scores = evaluate(Y, Y_test, ranking(model, X_test))
        head = model.parameter_counts()["head"]
        row = f"{head:,}", f"{model.candidate_recall_:.3f}"
        times = f"{seconds:.1f}", epoch_time(model)
        print_row(name, setting, *scores, *times, *row)


def compare_clinc150():
    """Choose sizes on the official validation part, then score the test part."""
    print_header("part", "heads", "accuracy, three seeds", "mean")
    X, Y, X_test, Y_test = load("clinc150")
    y, y_test = class_of(Y), class_of(Y_test)
    n = X.shape[0] - 3000  # the validation part comes last
    validation = X[:n], y[:n], X[n:], y[n:]
    sizes = [(12, 13), (7, 22), (8, 19), (9, 17), (10, 15), (19, 8), (22, 7)]
    for head_sizes in sizes:
        print_seeds("validation", validation, {"head_sizes": head_sizes})
    test = X, y, X_test, y_test
    for params in ({"variant": "full"}, *({"head_sizes": s} for s in sizes[:2])):
        print_seeds("test", test, params)


def print_seeds(part, data, params):
    X, y, X_test, y_test = data
    scores = [
        100 * fit(X, y, seed, params)[0].score(X_test, y_test) for seed in range(3)
    ]
    shown = " / ".join(f"{score:.2f}" for score in scores)
    name = params.get("head_sizes", "one-vs-all")
    print_row(part, name, shown, f"{np.mean(scores):.2f}")


def compare_heads():
    print_header("set", "heads", "accuracy", "ratio of head parameters", "s / epoch")
    X, Y, X_test, Y_test = load("clinc150", validation=True)
    y, y_test = class_of(Y), class_of(Y_test)
    for n_heads in (1, 2, 3, 4):
        params = {"variant": "product", "n_heads": n_heads}
        print_accuracy("clinc150", n_heads, (X, y, X_test, y_test), params)
    data = many_classes()
    for n_heads in (1, 2, 3, 4):
        params = {"variant": "product", "n_heads": n_heads, "max_epochs": 3}
        params |= {"hidden_layer_sizes": (128,), "batch_size": 512}
        name = f"{len(np.unique(data[1])):,} classes"
        print_accuracy(name, n_heads, data, params, seeds=(0,))


def compare_orders():
    print_header("set", "variant", "encoder", "order", "P@1/3/5")
    X, Y, X_test, Y_test = load("clinc150", validation=True)
    clinc = X, class_of(Y), X_test, Y_test
    bibtex = load("bibtex", validation=True)
    few = {"variant": "cascade", "n_candidate_groups": 4}
    for encoder, params in (("weak", WEAK), ("strong", {})):
        for order in ORDERS:
            params = {**params, "label_order": order}
            print_mean("clinc150", "product", encoder, order, data=clinc, params=params)
    for encoder, params in (("weak", WEAK), ("strong", {})):
        for order in ORDERS:
            params = {**few, **params, "label_order": order}
            shown = "bibtex", "cascade, 4 of 20 groups", encoder, order
            print_mean(*shown, data=bibtex, params=params)


def compare_sizes():
    print_header("set", "variant", "sizes", "P@1/3/5")
    X, Y, X_test, Y_test = load("clinc150", validation=True)
    clinc = X, class_of(Y), X_test, Y_test
    for sizes in [(12, 13), (25, 6), (6, 25), (50, 3), (3, 50)]:
        params = {"head_sizes": sizes}
        print_mean("clinc150", "product", sizes, data=clinc, params=params)
    bibtex = load("bibtex", validation=True)
    # 40 of the 159 labels are scored, however they are grouped.
    for sizes, n_groups in [((40, 4), 10), ((20, 8), 5), ((13, 13), 3), ((8, 20), 2)]:
        params = {"head_sizes": sizes, "n_candidate_groups": n_groups}
        shown = "bibtex", f"cascade, {n_groups} groups scored", sizes
        print_mean(*shown, data=bibtex, params=params)


def compare_sampling():
    print_header("set", "groups", "P@1/3/5")
    X, Y, X_test, Y_test = load("clinc150", validation=True)
    data = X, class_of(Y), X_test, Y_test
    for n_groups in (1, 2, 4, 10):
        params = {"variant": "sampling", "n_sampled_groups": n_groups}
        print_mean("clinc150", f"{n_groups} of 12", data=data, params=params)
    print_mean("clinc150", "one-vs-all", data=data, params={"variant": "full"})


def compare_cascade():
    print_header("set", "variant", "P@1/3/5", "PSP@1/3/5", "fit s", "s / epoch")
    small = {"hidden_layer_sizes": (256,), "max_epochs": 4}
    for name, params in (("delicious", {}), ("debian-depends", small)):
        X, Y, X_test, Y_test = load(name, validation=True)
        for variant in ("cascade", "full"):
            model, seconds = fit(X, Y, 0, {"variant": variant, **params})
            scores = evaluate(Y, Y_test, ranking(model, X_test))
            print_row(name, variant, *scores, f"{seconds:.1f}", epoch_time(model))


def compare_classes():
    print_header("data", "classes", "estimator", "accuracy", "fit s")
    heads = {
        "multi-head, product": MultiHeadEncodingClassifier("product", **NO_VOTES),
        "multi-head, product, 200 anew (auto)": MultiHeadEncodingClassifier(**NO_VOTES),
        "multi-head, cascade": MultiHeadEncodingClassifier("cascade", **NO_VOTES),
    }
    others = {"UniDEC": UniDECClassifier(**NO_VOTES), "DECLARE": DECLAREClassifier()}
    for name in ("stdlib", "debian-depends"):
        show_accuracy(name, rarest_labels(name), heads | others)
    show_accuracy("synthetic", many_classes(), heads)


def show_accuracy(name, data, estimators):
    X, y, X_held, y_held = data
    for title, estimator in estimators.items():
        model, start = clone(estimator).set_params(random_state=0), time.perf_counter()
        model.fit(X, y)
        seconds = f"{time.perf_counter() - start:.0f}"
        accuracy = f"{100 * model.score(X_held, y_held):.2f}"
        print_row(name, f"{len(model.classes_):,}", title, accuracy, seconds)


def rarest_labels(name):
    """Split training rows, each with the label that the fewest of them have."""
    X, Y, *_ = map(as_csr, read_set(name))
    counts = np.asarray(Y.sum(axis=0)).ravel()
    labels = np.split(Y.indices, Y.indptr[1:-1])
    rows = np.flatnonzero(np.diff(Y.indptr))
    y = np.array([min(labels[i], key=lambda c: (counts[c], c)) for i in rows])
    X, X_held, y, y_held = train_test_split(X[rows], y, test_size=0.2, random_state=0)
    return X, y, X_held, y_held


def compare_machines():
    print_header("set", "rows held out", "machines", "P@1/3/5", "PSP@1/3/5")
    for name in ("debian-depends", "delicious"):
        X, Y, *_ = load(name)
        for is_grouped in (True, False):
            held_out = held_out_rows(X.shape[0], 100 if is_grouped else 1)
            train = np.delete(np.arange(X.shape[0]), held_out)
            for machines in ({"n_machines": 0}, {}):
                with mock.patch.object(_mhe, "start_features", with_options(machines)):
                    model, _ = fit(X[train], Y[train], 0, {"n_heads": None})
                scores = evaluate(Y[train], Y[held_out], ranking(model, X[held_out]))
                kind = "blocks of rows" if is_grouped else "rows at random"
                print_row(name, kind, "none" if machines else "256", *scores)


def with_options(options):
    """Return `start_features` that overrides some of its arguments."""
    start_features = _mhe.start_features
    return lambda *args, **kwargs: start_features(*args, **kwargs | options)


def measure_scale():
    """Train the product on as many rows and features, with ever more labels."""
    print_header("labels", "heads", "s / epoch", "ms a row, k=5", "head parameters")
    for n_heads in (2, 3):
        # Interleaved, since the machine is not equally fast all the time.
        models = [
            (n_labels, *fit_scale(n_labels, n_heads))
            for _ in range(3)
            for n_labels in (10_000, 100_000, 1_000_000)
        ]
        for n_labels, model, _ in models[:3]:
            own = [fitted for fitted in models if fitted[0] == n_labels]
            epochs = [row["dur"] for _, model, _ in own for row in model.history_]
            times = f"{np.median(epochs):.2f}", f"{np.median([t for *_, t in own]):.3f}"
            head = f"{model.parameter_counts()['head']:,}"
            print_row(f"{n_labels:,}", n_heads, *times, head)


def fit_scale(n_labels, n_heads):
    """Return a model of so many labels, and the milliseconds that it ranks a row in."""
    X, Y = make_xmc_classification(
        *(20_000, 20_000, n_labels),
        n_labels_per_sample=1,
        label_skew=0.3,
        random_state=0,
    )
    # An indicator: of 1-D y, labels without a row would not count.
    params = {"variant": "product", "n_shortlist": 0, "ridge_alpha": None}
    params |= {"max_epochs": 3, "label_order": "natural", "n_heads": n_heads}
    model, _ = fit(X, Y, 0, params)
    start = time.perf_counter()
    model.predict_topk(X, k=5)
    return model, 1000 * (time.perf_counter() - start) / X.shape[0]


def many_classes(n_classes=100_000):
    """Make single-label data with very many classes."""
    X, Y = make_xmc_classification(
        100_000,
        50_000,
        n_classes,
        n_labels_per_sample=1,
        label_skew=0.7,
        noise=0.3,
        random_state=0,
    )
    y = class_of(Y)
    X, X_test, y, y_test = train_test_split(X, y, test_size=10_000, random_state=0)
    return X, y, X_test, y_test


def class_of(Y):
    """Return the one label of each row."""
    return np.asarray(Y.argmax(axis=1)).ravel()


def fit(X, y, seed, params):
    """Return a fitted model, of two heads if not told, and the seconds it took."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Of .* labels", UserWarning)
        start = time.perf_counter()
        params = {"n_heads": 2} | NO_VOTES | params
        model = MultiHeadEncodingClassifier(random_state=seed, **params).fit(X, y)
    return model, time.perf_counter() - start


def ranking(model, X):
    """Rank five labels, in the columns of the indicator."""
    indices, scores = model.predict_topk(X, k=5)
    return model.classes_[indices], scores


def epoch_time(model):
    """Return the median seconds of an epoch as text."""
    return f"{np.median([row['dur'] for row in model.history_]):.1f}"


def print_accuracy(name, n_heads, data, params, seeds=SEEDS):
    X, y, X_test, y_test = data
    models = [fit(X, y, seed, params)[0] for seed in seeds]
    accuracy = 100 * np.mean([model.score(X_test, y_test) for model in models])
    ratio = models[0].parameter_counts()["ratio"]
    print_row(name, n_heads, f"{accuracy:.2f}", f"{ratio:.4f}", epoch_time(models[0]))


def print_mean(*shown, data, params):
    X, y, X_test, Y_test = data
    scores = []
    for seed in SEEDS:
        best = ranking(fit(X, y, seed, params)[0], X_test)
        scores.append([precision_at_k(Y_test, best, k=k) for k in (1, 3, 5)])
    means = 100 * np.mean(scores, axis=0)
    print_row(*shown, " / ".join(f"{value:.2f}" for value in means))


if __name__ == "__main__":
    main()
