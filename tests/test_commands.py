"""Fit, predict and evaluate over files."""

import gzip
import io
import json
from itertools import chain

import numpy as np
import pytest

import skxmc
from skxmc import DECLAREClassifier, XMCTextClassifier, metrics
from skxmc._cli import main
from skxmc.datasets import dump_xmc_text, make_xmc_classification

TEXTS = ["red wine", "white wine", "red apple", "green apple"] * 10
TAGS = [["drink", "red"], ["drink"], ["fruit", "red"], ["fruit"]] * 10


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def pairs(texts, tags):
    return [{"text": a, "labels": b} for a, b in zip(texts, tags, strict=True)]


def status_and_lines(capsys, *argv):
    status = main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of both formats, and a model fitted to each."""
    folder = tmp_path_factory.mktemp("files")
    write_lines(folder / "train.jsonl", pairs(TEXTS, TAGS))
    X, Y = make_xmc_classification(200, n_labels=10, n_features=50, random_state=0)
    dump_xmc_text(X[:150], Y[:150], folder / "train.txt")
    dump_xmc_text(X[150:], Y[150:], folder / "test.txt.gz")
    assert main(["fit", str(folder / "train.jsonl"), str(folder / "texts")]) == 0
    numbers = ["fit", str(folder / "train.txt"), str(folder / "numbers")]
    assert main([*numbers, "--set", "n_components=4", "-s", "decoder=linear"]) == 0
    return folder


def test_texts_get_the_names_that_python_would_give(folder, capsys):
    expected = XMCTextClassifier(DECLAREClassifier(random_state=0)).fit(TEXTS, TAGS)
    path = folder / "train.jsonl"
    status, lines, errors = status_and_lines(
        capsys, "predict", folder / "texts", path, "-k", 2
    )
    assert (status, errors) == (0, [])
    table = expected.suggest(TEXTS, k=2)
    rows = [json.loads(line) for line in lines]
    assert [*chain.from_iterable(row["labels"] for row in rows)] == table[
        "label"
    ].tolist()
    scores = [*chain.from_iterable(row["scores"] for row in rows)]
    np.testing.assert_allclose(scores, table["score"], atol=1e-6)


def test_predictions_go_to_a_file_and_come_from_a_pipe(folder, capsys, monkeypatch):
    lines = b'{"text": "red wine"}\n{"text": ""}\n'
    monkeypatch.setattr(
        "sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(lines)))
    )
    output = folder / "out.jsonl"
    argv = ["predict", folder / "texts", "-", "-o", output, "-t", 0.9]
    assert status_and_lines(capsys, *argv) == (0, [], [])
    first, second = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    assert first["labels"] == ["red", "drink"]
    assert second == {"labels": [], "scores": []}


def test_numbers_are_measured_as_python_would(folder, capsys):
    status, lines, _ = status_and_lines(
        *(capsys, "evaluate", folder / "numbers", folder / "test.txt.gz"),
        *("-k", 1, 2, "--propensity", folder / "train.txt"),
    )
    assert status == 0
    X, Y = make_xmc_classification(200, n_labels=10, n_features=50, random_state=0)
    model = DECLAREClassifier(n_components=4, decoder="linear", random_state=0)
    ranking = model.fit(X[:150], Y[:150]).predict_topk(X[150:], k=2)
    propensities = metrics.label_propensities(Y[:150])
    got = dict(line.split("\t") for line in lines)
    assert float(got["precision_at_2"]) == pytest.approx(
        metrics.precision_at_k(Y[150:], ranking, k=2), abs=1e-6
    )
    assert float(got["propensity_scored_ndcg_at_1"]) == pytest.approx(
        metrics.propensity_scored_ndcg_at_k(
            Y[150:], ranking, k=1, propensities=propensities
        ),
        abs=1e-6,
    )
    assert len(got) == 2 * 5


def test_numbers_get_column_numbers(folder, capsys):
    _, lines, _ = status_and_lines(
        capsys, "predict", folder / "numbers", folder / "test.txt.gz", "-k", 99
    )
    assert len(lines) == 50
    labels = [json.loads(line)["labels"] for line in lines]
    assert set().union(*labels) <= set(range(10))


def test_settings_of_texts_reach_all_parts(folder, capsys):
    argv = ["fit", folder / "train.jsonl", folder / "other", "--verbose"]
    settings = [
        "n_components=2",
        "vectorizer__ngram_range=(1, 2)",
        "min_label_count=15",
    ]
    for setting in settings:
        argv += ["--set", setting]
    status, lines, errors = status_and_lines(capsys, *argv)
    assert (status, lines) == (0, [])
    assert errors[-1].startswith("stored 3 labels")
    model = skxmc.load(folder / "other")
    assert model.classifier_.n_components == 2
    assert model.classifier_.verbose == 0
    assert "red wine" in model.vectorizer_.vocabulary_


def test_compressed_texts_are_read(folder, capsys):
    path = folder / "train.jsonl.gz"
    path.write_bytes(gzip.compress((folder / "train.jsonl").read_bytes()))
    status, lines, _ = status_and_lines(
        capsys, "evaluate", folder / "texts", path, "-k", 1
    )
    assert status == 0
    assert "precision_at_1\t1.000000" in lines


@pytest.mark.filterwarnings("default")
def test_unknown_tags_are_one_line_of_warning(folder, capsys):
    path = write_lines(folder / "new.jsonl", pairs(TEXTS[:2], [["new"], ["drink"]]))
    status, lines, errors = status_and_lines(
        capsys, "evaluate", folder / "texts", path, "-k", 1
    )
    assert (status, lines[0]) == (0, "precision_at_1\t0.500000")
    assert len(errors) == 1
    assert errors[0].startswith("skxmc: warning: ")
    assert "1, such as 'new'" in errors[0]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["predict", "texts", "missing"], "No such file"),
        (["predict", "missing", "train.txt"], "No such file"),
        (["predict", "texts", "train.txt"], "train.txt holds rows of numbers"),
        (["predict", "numbers", "train.jsonl"], "train.jsonl holds texts"),
        (["predict", "texts", "empty"], "neither JSON lines nor"),
        (["predict", "texts", "bad.jsonl"], "bad.jsonl, line 2: this is no JSON"),
        (["predict", "texts", "train.jsonl", "-o", "train.jsonl"], "is the input, too"),
        (["evaluate", "texts", "unlabelled.jsonl"], 'line 1: there are no "labels"'),
        (["evaluate", "texts", "train.jsonl", "-k", "9"], "k=9 is larger"),
        (["fit", "train.txt", "missing/model"], "is no folder"),
        (["fit", "train.txt", "new", "--set", "n_components=0"], "'n_components'"),
    ],
)
def test_errors_are_one_line_and_status_1(folder, capsys, monkeypatch, argv, message):
    monkeypatch.chdir(folder)
    (folder / "empty").write_bytes(b"")
    (folder / "bad.jsonl").write_bytes(b'{"text": "a", "labels": []}\n{"text"\n')
    write_lines(folder / "unlabelled.jsonl", [{"text": "a"}])
    status, _, errors = status_and_lines(capsys, *argv)
    assert status == 1
    assert len(errors) == 1
    assert errors[0].startswith("skxmc: error: ")
    assert message in errors[0]
    with pytest.raises((ValueError, OSError)):
        main([*argv, "--debug"])
    assert (folder / "train.jsonl").stat().st_size > 0


def test_few_labels_are_measured_as_far_as_they_go(folder, capsys):
    status, lines, _ = status_and_lines(
        *(capsys, "evaluate", folder / "texts", folder / "train.jsonl")
    )
    assert status == 0
    assert [line.split("\t")[0] for line in lines] == [
        f"{name}_at_{k}" for name in ("precision", "ndcg", "recall") for k in (1, 3)
    ]


def test_numbers_come_from_files_and_fit_the_model(folder, capsys, monkeypatch):
    numbers = io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"1 50 10\n 0:1\n")))
    monkeypatch.setattr("sys.stdin", numbers)
    status, _, errors = status_and_lines(capsys, "predict", folder / "numbers", "-")
    assert (status, len(errors)) == (1, 1)
    assert "read from files alone" in errors[0]
    X, Y = make_xmc_classification(20, n_labels=7, n_features=50, random_state=0)
    dump_xmc_text(X, Y, folder / "other.txt")
    status, lines, errors = status_and_lines(
        *(capsys, "evaluate", folder / "numbers", folder / "other.txt")
    )
    assert (status, lines) == (1, [])
    assert "has 7 labels, but the model has 10" in errors[0]


@pytest.mark.parametrize("threshold", ["nan", "2", "-0.5", "much"])
def test_thresholds_are_probabilities(folder, capsys, threshold):
    with pytest.raises(SystemExit):
        main(["predict", str(folder / "texts"), "x", f"--threshold={threshold}"])
    assert "is not a number from 0 to 1" in capsys.readouterr().err
