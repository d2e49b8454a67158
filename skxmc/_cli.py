"""The command line of ``python -m skxmc``: arguments, errors and exit status."""

import argparse
import ast
import os
import sys
import warnings
from contextlib import contextmanager

import skxmc
from skxmc._commands import ESTIMATORS, evaluate_model, fit_model, predict_labels

_DESCRIPTION = """\
Tag texts, or rows of numbers, with labels out of very many.

Data come in files of two formats, told apart by how they begin; names that end in .gz
are decompressed.

  JSON lines            {"text": "a red wine", "labels": ["drink", "red"]}
  Extreme               10529 20000 2210
  Classification        0,17 5:0.31 208:0.44 1999:0.12
  Repository            (counts first, then labels and feature:value of each row)
"""
_EPILOG = """\
examples:
  python -m skxmc fit train.jsonl tags.model
  python -m skxmc fit train.txt tags.model --estimator unidec --set max_epochs=8
  python -m skxmc evaluate tags.model test.jsonl -k 1 3 5
  python -m skxmc predict tags.model new.jsonl -k 3 -o suggested.jsonl
  echo '{"text": "a red wine"}' | python -m skxmc predict tags.model -

exit status: 0 fine, 1 something is wrong with data or model, 2 with the command line,
130 interrupted. Every command has its own --help.
"""
_FIT_EPILOG = """\
examples:
  python -m skxmc fit train.jsonl tags.model --set n_components=128
  python -m skxmc fit train.jsonl tags.model --set vectorizer__ngram_range='(1, 2)' \\
      --set vectorizer__min_df=2 --set min_label_count=3
  python -m skxmc fit train.jsonl tags.model --estimator unidec --set label_texts=names
"""


def main(argv=None):
    """Run a command.

    Parameters
    ----------
    argv : list of str or None, default=None
        The arguments; None for those of the process.

    Returns
    -------
    status : int
        0 fine, 1 an error in data or model, 130 interrupted; errors in `argv` raise
        SystemExit with 2.
    """
    args = _make_parser().parse_args(argv)
    try:
        with _one_line_warnings():
            args.run(args)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if args.debug:
            raise
        _note("error", error)
        return 1
    return 0


def _make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m skxmc",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=skxmc.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    _add_fit(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    return parser


def _add_fit(commands):
    fit = _add_command(
        commands, fit_model, "fit", "learn from a file and store a model"
    )
    fit.epilog = _FIT_EPILOG
    fit.add_argument("train", metavar="TRAIN", help="labelled data")
    fit.add_argument("model", metavar="MODEL", help="file to store the model in")
    fit.add_argument(
        *("--estimator", "-e"),
        choices=ESTIMATORS,
        default="declare",
        help="what learns (default: declare)",
    )
    fit.add_argument(
        *("--set", "-s"),
        metavar="NAME=VALUE",
        type=_setting,
        action="append",
        default=[],
        help="a parameter of the estimator or, for texts, of XMCTextClassifier and its "
        "vectorizer; may be repeated (random_state is 0 unless set)",
    )


def _add_predict(commands):
    predict = _add_command(
        commands, predict_labels, "predict", "write labels of new rows"
    )
    predict.add_argument("model", metavar="MODEL", help="file of a model")
    predict.add_argument(
        "input", metavar="INPUT", help="data, labelled or not; - reads JSON lines"
    )
    predict.add_argument(
        *("-k",), type=_count, default=5, help="labels a row at most (default: 5)"
    )
    predict.add_argument(
        *("--threshold", "-t"),
        type=_share,
        default=0.0,
        help="probability of a label at least (default: 0)",
    )
    predict.add_argument("-o", "--output", metavar="OUT", help="file to write to")


def _add_evaluate(commands):
    evaluate = _add_command(
        commands, evaluate_model, "evaluate", "measure a model on labelled rows"
    )
    evaluate.add_argument("model", metavar="MODEL", help="file of a model")
    evaluate.add_argument("test", metavar="TEST", help="labelled data")
    evaluate.add_argument(
        *("-k",),
        type=_count,
        nargs="+",
        default=None,
        help="labels a row to look at (default: 1 3 5, of few labels fewer)",
    )
    evaluate.add_argument(
        "--propensity",
        metavar="TRAIN",
        help="weight rare labels up, too, by how often they occur in this file",
    )
    evaluate.add_argument(
        "--propensity-constants",
        metavar=("A", "B"),
        type=float,
        nargs=2,
        default=[0.55, 1.5],
        help="of the propensity model (default: 0.55 1.5)",
    )


def _add_command(commands, run, name, summary):
    command = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--verbose", "-v", action="store_true", help="tell of progress, on stderr"
    )
    command.add_argument(
        "--debug", action="store_true", help="show where an error comes from"
    )
    command.set_defaults(run=run, usage_error=command.error)
    return command


def _setting(text):
    """Read NAME=VALUE; what is no Python literal is a str."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _count(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _share(text):
    try:
        is_share = 0 <= float(text) <= 1
    except ValueError:
        is_share = False
    if not is_share:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return float(text)


@contextmanager
def _one_line_warnings():
    """Show warnings as what they say, without the line of code they come from."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _note("warning", message)
        yield


def _note(kind, message):
    """Write one line to stderr."""
    text = " ".join(str(message).split())
    if not isinstance(message, ValueError | TypeError | OSError | Warning) or not text:
        text = f"{type(message).__name__}: {text}"
    sys.stderr.write(f"skxmc: {kind}: {text}\n")
