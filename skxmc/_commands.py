"""The commands of ``python -m skxmc``: fit, predict and evaluate over files."""

import codecs
import gzip
import sys
import warnings
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path

import skxmc  # imports nothing heavy before it is used, so that help comes at once
from skxmc._json_lines import format_ranking, read_json_lines, read_labelled
from skxmc._tags import read_tags, unknown_tags_message

ESTIMATORS = {
    "declare": "DECLAREClassifier",
    "multihead": "MultiHeadEncodingClassifier",
    "unidec": "UniDECClassifier",
}
_BATCH_ROWS = 1024  # rows that are predicted and written at a time


def fit_model(args):
    """Learn from a file and store a model."""
    folder = Path(args.model).absolute().parent
    if not folder.is_dir():  # said before the work, not after it
        raise FileNotFoundError(
            f"{folder} is no folder, so {args.model} cannot be kept"
        )
    X, y, is_text = _read_training(args.train)
    _tell(args, f"read {len(y) if is_text else y.shape[0]} rows of {args.train}")
    estimator = getattr(skxmc, ESTIMATORS[args.estimator])(random_state=0)
    model = skxmc.XMCTextClassifier(estimator) if is_text else estimator
    try:
        _configure(model, args.set, is_text)
    except ValueError as error:
        args.usage_error(f"--set: {error}")
    estimator.set_params(verbose=int(args.verbose))
    model.fit(X, y)
    (model.classifier_ if is_text else model).set_params(verbose=0)
    model.save(args.model)
    _tell(args, f"stored {len(model.classes_)} labels in {args.model}")


def _configure(model, settings, is_text):
    """Set parameters, of which plain names are the estimator's, also within texts."""
    own = model.get_params(deep=False)
    for name, value in settings:
        is_inner = is_text and name not in own and not name.startswith("vectorizer__")
        model.set_params(**{f"classifier__{name}" if is_inner else name: value})


def predict_labels(args):
    """Write the labels of new rows, as JSON lines."""
    model = skxmc.load(args.model)
    names = model.classes_.tolist()
    k = min(args.k, len(names))
    n_rows = 0
    with _open_output(args.output, args.input) as output:
        for batch in _read_batches(args.input, model):
            indices, scores = model.predict_topk(batch, k=k)
            for row, probabilities in zip(indices, scores.tolist(), strict=True):
                kept = [p for p in probabilities if p > 0 and p >= args.threshold]
                labels = [names[index] for index in row[: len(kept)]]
                output.write(format_ranking(labels, kept))
            n_rows += len(indices)
    _tell(args, f"predicted {n_rows} rows of {args.input}")


def evaluate_model(args):
    """Measure a model on labelled rows, one score a line."""
    metrics, model = skxmc.metrics, skxmc.load(args.model)
    X, Y = _read_matrices(args.test, model)
    ks = args.k or [k for k in (1, 3, 5) if k <= len(model.classes_)]
    ranking = getattr(model, "classifier_", model).predict_topk(X, k=max(ks))
    names = ["precision_at_k", "ndcg_at_k", "recall_at_k"]
    options: dict[str, dict] = {name: {} for name in names}
    if args.propensity:
        Y_train = _read_matrices(args.propensity, model)[1]
        weights = metrics.label_propensities(Y_train, *args.propensity_constants)
        for name in names[:2]:
            options[f"propensity_scored_{name}"] = {"propensities": weights}
    for name, option in options.items():
        for k in ks:
            score = getattr(metrics, name)(Y, ranking, k=k, **option)
            sys.stdout.write(f"{name.removesuffix('k')}{k}\t{score:.6f}\n")
    _tell(args, f"{Y.shape[0]} rows of {args.test}, {Y.shape[1]} labels")


def _read_training(path):
    """Return what `fit` takes, and whether it is texts."""
    with _open(path) as file:
        if _begins_json(file, path):
            return *read_labelled(file, path), True
    return *skxmc.datasets.load_xmc_text(path), False


def _read_matrices(path, model):
    """Return the vectors and the indicator of labelled rows for a fitted model."""
    X, y, is_text = _read_training(path)
    _check_format(model, is_text, path)
    if not is_text:
        if y.shape[1] != len(model.classes_):
            raise ValueError(
                f"{path} has {y.shape[1]} labels, but the model has "
                f"{len(model.classes_)}; pass data with the same ones."
            )
        return X, y
    message = unknown_tags_message(read_tags(y)[0], model.classes_)
    if message:
        warnings.warn(f"{path}: {message}", UserWarning, stacklevel=2)
    return model.to_matrices(X, y)


def _read_batches(path, model):
    """Yield the rows to predict, some at a time, as far as they have been written."""
    with _open(path) as file:
        is_text = _begins_json(file, path)
        _check_format(model, is_text, path)
        if is_text:
            texts = (text for text, _ in read_json_lines(file, path))
            while batch := list(islice(texts, _BATCH_ROWS)):
                yield batch
            return
    if path == "-":
        raise ValueError(
            "Standard input holds rows of numbers, which are read from files alone; "
            "write them to one."
        )
    X = skxmc.datasets.load_xmc_text(path)[0]
    for start in range(0, X.shape[0], _BATCH_ROWS):
        yield X[start : start + _BATCH_ROWS]


@contextmanager
def _open(path):
    """Open a file of bytes, decompressed if its name ends in .gz; - is stdin."""
    if path == "-":
        yield sys.stdin.buffer
        return
    from skxmc.datasets._base import whole_gzip

    with (
        whole_gzip(path),
        gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file,
    ):
        yield file


def _open_output(path, input_path):
    if path is None:  # UTF-8 whatever the terminal's encoding is, as JSON lines are
        return nullcontext(codecs.getwriter("utf-8")(sys.stdout.buffer))
    if Path(path).exists() and input_path != "-" and Path(path).samefile(input_path):
        raise ValueError(f"{path} is the input, too; write to another file.")
    return open(path, "w", encoding="utf-8")


def _begins_json(file, path):
    """Whether a file begins with an object of JSON, where it could not be numbers."""
    start = file.peek(1)[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if path != "-" and not start.startswith(b"{") and not start[:1].isdigit():
        raise ValueError(
            f"{path} begins with {start[:20]!r}, which is neither JSON lines nor the "
            "format of the Extreme Classification Repository; see python -m skxmc "
            "--help."
        )
    return not start[:1].isdigit()


def _check_format(model, is_text, path):
    if is_text == isinstance(model, skxmc.XMCTextClassifier):
        return
    kinds = ("rows of numbers", "texts")
    raise ValueError(
        f"{path} holds {kinds[is_text]}, but the model was fitted to "
        f"{kinds[not is_text]}; pass data in the format of its training data."
    )


def _tell(args, message):
    if args.verbose:
        sys.stderr.write(f"{message}\n")
