"""All estimators with their defaults beside their peers, in one run.

``SKXMC_DATA=folder python examples/benchmarks/compare.py --peers ENVIRONMENTS`` prints
a table for each data set. ``peers/make_environments.sh ENVIRONMENTS`` makes the
environments of the peers; those that are missing are reported. Every fit is a process
of its own, which may use ``--threads``; the repeats are interleaved, and the medians
are shown. Works on Linux only.

A set is a name below the data home, "stdlib" (load_stdlib_calls) or
"synthetic:N_SAMPLES:N_FEATURES:N_LABELS".
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _data import as_csr, load, print_header, print_row, texts_of_labels

from skxmc.datasets import (
    dump_xmc_text,
    get_data_home,
    make_xmc_classification,
)
from skxmc.metrics import (
    label_propensities,
    ndcg_at_k,
    precision_at_k,
    propensity_scored_precision_at_k,
)

SETS = ("bibtex", "delicious", "debian-depends", "rcv1sub1", "clinc150", "stdlib")
WORKER = Path(__file__).parent / "peers" / "run_one.py"
MOST_LABELS = {"one_vs_rest": 1000}  # more take hours


@dataclass
class Entry:
    """A row of the table: whose code runs, and with which parameters."""

    kind: str
    params: dict
    environment: str | None = None  # None: the one that runs this

    @property
    def is_ours(self):
        return self.kind in ("declare", "multi_head", "unidec")


WITHOUT_VOTES = {"neighbor_weight": 0}
SMALL_AND_FAST = {"storage": "int4"} | WITHOUT_VOTES
FOR_THE_TAIL = {"encoder_weight": 0.7, "popularity": -0.6}
ENTRIES = {
    "DECLARE": Entry("declare", {}),
    "DECLARE, 4 bits": Entry("declare", {"storage": "int4"}),
    "DECLARE, no classifiers": Entry("declare", {"classifier_weight": 0}),
    "MultiHead": Entry("multi_head", {}),
    "MultiHead, 4 bits": Entry("multi_head", {"storage": "int4"}),
    "MultiHead, no votes": Entry("multi_head", WITHOUT_VOTES),
    "MultiHead, 4 bits, no votes": Entry("multi_head", SMALL_AND_FAST),
    "MultiHead, 4 bits, 80 numbers a row, no votes": Entry(
        "multi_head", SMALL_AND_FAST | {"n_numbers": 80}
    ),
    "UniDEC": Entry("unidec", {}),
    "UniDEC, 4 bits": Entry("unidec", {"storage": "int4"}),
    "UniDEC, no votes": Entry("unidec", WITHOUT_VOTES),
    "UniDEC, 4 bits, no votes": Entry("unidec", SMALL_AND_FAST),
    "UniDEC, label texts": Entry("unidec", {"label_texts": True}),
    "UniDEC, label texts, dial to the tail": Entry(
        "unidec", {"label_texts": True} | FOR_THE_TAIL
    ),
    "PECOS XR-Linear": Entry("pecos", {}, "pecos"),
    "omikuji Parabel": Entry("omikuji", {}, "omikuji"),
    "napkinXC PLT": Entry("napkinxc", {}, "napkinxc"),
    "one-vs-rest logistic": Entry("one_vs_rest", {}),
    "k nearest neighbours": Entry("knn", {}),
    "popularity": Entry("popularity", {}),
}
SCORES = ("P@1", "P@3", "P@5", "PSP@1", "PSP@3", "PSP@5", "nDCG@5")
UNTRAINED = ("knn", "popularity")
COSTS = ("fit_seconds", "rows_per_second", "one_row_ms", "model_mib", "peak_mib")
TITLES = ("fit s", "rows / s", "one row ms", "model MiB", "peak MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--only", nargs="+", choices=ENTRIES, default=[*ENTRIES])
    parser.add_argument("--peers", type=Path, help="folder of their environments")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1800, help="seconds a fit")
    parser.add_argument("--csv", type=Path, help="file to write the figures to")
    parser.add_argument("--plot", type=Path, help="file for the picture")
    args = parser.parse_args()
    rows = []
    for name in args.sets or SETS:
        with tempfile.TemporaryDirectory() as folder:
            found = compare(name, Path(folder), args)
        rows += [{"set": name, "entry": entry, **row} for entry, row in found.items()]
        if args.csv:
            write_csv(args.csv, rows)
    if args.plot:
        draw(args.plot, rows)


def compare(name, folder, args):
    """Run all entries on a set; return the figures of those that ended."""
    Y, Y_test, has_texts = write_set(name, folder)
    print(f"\n## {name}: {Y.shape[0]} + {Y_test.shape[0]} rows, {Y.shape[1]} labels, ")
    print(f"{args.threads} threads, medians of {args.repeats}, {processor()}\n")
    print_header("", *SCORES, *TITLES)
    entries = {key: ENTRIES[key] for key in args.only}
    found, reasons = {}, {}
    for key, entry in entries.items():
        reason = why_not(entry, Y.shape[1], has_texts, args.peers)
        if reason is None:
            found[key] = []
        elif reason:
            reasons[key] = reason
    for _ in range(args.repeats):
        for key in [*found]:
            answer = run(entries[key], folder, args)
            if isinstance(answer, str):
                reasons[key] = answer
                del found[key]
            else:
                found[key].append(answer)
    scores = {key: score(Y, Y_test, runs[0][1]) for key, runs in found.items()}
    figures = {key: scores[key] | median_costs(runs) for key, runs in found.items()}
    for key in entries:
        if key in figures:
            print_figures(key, figures[key])
        elif key in reasons:
            print_row(key, reasons[key])
    print_ratios(figures)
    return figures


def why_not(entry, n_labels, has_texts, peers):
    """Return why an entry cannot run; "" where that goes without saying."""
    if entry.params.get("label_texts") and not has_texts:
        return ""
    if n_labels > MOST_LABELS.get(entry.kind, n_labels):
        return f"not run: {n_labels} labels take hours"
    if entry.environment and not python_of(entry, peers):
        return "not installed"
    return None


def python_of(entry, peers):
    if entry.environment is None:
        return sys.executable
    python = peers and peers / entry.environment / "bin" / "python"
    return str(python.absolute()) if python and python.exists() else None


def run(entry, folder, args):
    """Fit and predict in a new process; return costs and ranking, or what failed."""
    result = folder / "result"
    threads = str(args.threads)
    names = ("OMP", "MKL", "OPENBLAS", "RAYON")
    environment = os.environ | {f"{name}_NUM_THREADS": threads for name in names}
    command = [python_of(entry, args.peers), str(WORKER), entry.kind]
    command += [json.dumps(entry.params), str(folder), str(result), threads]
    try:
        subprocess.run(
            command,
            check=True,
            env=environment,
            timeout=args.limit,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return f"not done after {args.limit:.0f} s"
    except subprocess.CalledProcessError as error:
        return f"failed: {(error.stderr.strip() or str(error)).splitlines()[-1]}"
    costs = json.loads(result.with_suffix(".json").read_text())
    return costs, np.load(result.with_suffix(".npy"))


def write_set(name, folder):
    """Write a set for the processes; return Y, Y of the test part, and if it has texts.

    Feature values are those of the set, but for counts, which are TF-IDF weighted.
    """
    X, Y, X_test, Y_test = map(as_csr, read_set(name))
    texts = Path(get_data_home()) / name / "label_texts.txt.gz"
    has_texts = texts.exists() and (texts.parent / "features.txt.gz").exists()
    if has_texts:
        sp.save_npz(folder / "label_features.npz", texts_of_labels(name, X))
    for part, M in {"X_train": X, "Y_train": Y, "X_test": X_test}.items():
        M.sort_indices()
        sp.save_npz(folder / f"{part}.npz", M)
    # omikuji has no other way to take data.
    some = np.diff(X.indptr) > 0
    dump_xmc_text(X[some], Y[some], folder / "train.txt")
    return Y, Y_test, has_texts


def read_set(name):
    if not name.startswith("synthetic:"):
        return load(name)
    n_samples, n_features, n_labels = map(int, name.split(":")[1:])
    n_test = min(n_samples // 5, 10_000)
    X, Y = make_xmc_classification(
        n_samples + n_test, n_features, n_labels, random_state=0
    )
    return X[:n_samples], Y[:n_samples], X[n_samples:], Y[n_samples:]


def score(Y, Y_test, ranking):
    """Return the scores of a ranking by title, in percent."""
    propensities = label_propensities(Y)
    scores = {}
    for k in (1, 3, 5):
        scores[f"P@{k}"] = precision_at_k(Y_test, ranking, k=k)
        scores[f"PSP@{k}"] = propensity_scored_precision_at_k(
            Y_test, ranking, propensities=propensities, k=k
        )
    scores["nDCG@5"] = ndcg_at_k(Y_test, ranking, k=5)
    return {title: 100 * float(scores[title]) for title in SCORES}


def median_costs(runs):
    costs = {key: statistics.median(run[0][key] for run in runs) for key in COSTS}
    return costs | {"version": runs[0][0]["version"]}


def print_figures(key, row):
    costs = [f"{row[cost]:.{0 if row[cost] >= 100 else 2}f}" for cost in COSTS]
    print_row(f"{key} ({row['version']})", *(f"{row[s]:.2f}" for s in SCORES), *costs)


def print_ratios(figures):
    """Print each of ours over the best peer, figure by figure."""
    peers = [row for key, row in figures.items() if ENTRIES[key].environment]
    if not peers:
        return
    for key, row in figures.items():
        if not ENTRIES[key].is_ours:
            continue
        cells = []
        for figure in (*SCORES, *COSTS):
            is_better_high = figure in SCORES or figure == "rows_per_second"
            best = (max if is_better_high else min)(peer[figure] for peer in peers)
            cells.append(f"{row[figure] / best:.3g}" if best else "-")
        print_row(f"{key} / best peer", *cells)


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, ["set", "entry", *SCORES, *COSTS, "version"])
        writer.writeheader()
        writer.writerows(rows)


def draw(path, rows):
    """Draw P@1 and PSP@1 against the time of training, a row of plots a score.

    Without those that are not trained, next to which all others would be one point.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in rows if ENTRIES[row["entry"]].kind not in UNTRAINED]
    sets = [*dict.fromkeys(row["set"] for row in rows)]
    names = [*dict.fromkeys(row["entry"] for row in rows)]
    figure, axes = plt.subplots(
        2, len(sets), figsize=(3 * len(sets), 6), squeeze=False, layout="constrained"
    )
    for column, name in enumerate(sets):
        for line, title in enumerate(("P@1", "PSP@1")):
            axis = axes[line, column]
            for row in (row for row in rows if row["set"] == name):
                number = names.index(row["entry"])
                axis.plot(
                    max(row["fit_seconds"], 1e-2),
                    row[title],
                    marker="o" if ENTRIES[row["entry"]].is_ours else "x",
                    color=plt.get_cmap("tab20")(number),
                    linestyle="",
                    label=row["entry"],
                )
            axis.set(xscale="log", xlabel="training seconds", ylabel=title, title=name)
            axis.xaxis.set_minor_formatter("")  # labels of small ranges overlap
    handles = {
        label: handle
        for axis in axes.flat
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5)
    figure.savefig(path, dpi=120)


def processor():
    with open("/proc/cpuinfo") as file:
        names = {line.split(":")[1].strip() for line in file if "model name" in line}
    return ", ".join(sorted(names)) + f", {os.cpu_count()} cores"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
