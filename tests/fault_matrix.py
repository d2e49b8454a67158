"""Print every case of the acceptance matrix, and whether it passes.

    python tests/fault_matrix.py [--slow] [ID ...]

The tests of a case are those named by its id: ``test_x05_nan_in_x`` is one of X05.
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CASES = {
    "X01": "X of one dimension",
    "X02": "X of three dimensions",
    "X03": "no rows",
    "X04": "no columns",
    "X05": "NaN in X",
    "X06": "infinity in X",
    "X07": "finite numbers that float32 cannot hold",
    "X08": "complex X",
    "X09": "strings in X",
    "X10": "every sparse format",
    "X11": "indices of 64 bits",
    "X12": "unsorted indices",
    "X13": "duplicate entries",
    "X14": "stored zeros",
    "X15": "inconsistent indices of X",
    "X16": "every numeric type",
    "X17": "empty rows",
    "X18": "columns never used",
    "X19": "read-only memory map",
    "X20": "other number of features in predict",
    "X21": "data frames, and other names of columns",
    "X22": "lists of lists",
    "X23": "more entries or columns than 32 bits count",
    "X24": "memory layout of dense X",
    "Y01": "other number of rows than X",
    "Y02": "no y",
    "Y03": "every sparse format and type",
    "Y04": "values other than 0 and 1",
    "Y05": "NaN or infinity in Y",
    "Y06": "stored zeros",
    "Y07": "duplicate entries",
    "Y08": "lists of label lists",
    "Y09": "one class label a row",
    "Y10": "continuous y",
    "Y11": "strings in two dimensions",
    "Y12": "one column",
    "Y13": "no columns",
    "Y14": "labels in no row or in all",
    "Y15": "no label anywhere",
    "Y16": "rows without labels",
    "Y17": "inconsistent indices of Y",
    "Y18": "more labels than dense probabilities have room for",
    "P01": "parameters of wrong type or range",
    "P02": "unknown parameter",
    "P03": "options that row-sparse gradients rule out",
    "P04": "prediction before fit",
    "P05": "CUDA where there is none",
    "P06": "name of no device",
    "P07": "k larger than the number of labels",
    "P08": "random_state of every kind",
    "P09": "clone, copy and parameters there and back",
    "P10": "fit twice",
    "F01": "Ctrl-C in the fit of an unfitted estimator",
    "F02": "Ctrl-C in the fit of a fitted one",
    "F03": "Ctrl-C in a grid search",
    "F04": "error in a callback",
    "F05": "loss that is not finite",
    "F06": "out of memory",
    "F07": "full disk, and where nothing can be written",
    "F08": "killed while saving",
    "F09": "going on with what was saved",
    "F10": "worker of a data loader dies",
    "F11": "global generators",
    "F12": "settings of the process",
    "C01": "fork after OpenMP was used",
    "C02": "joblib's ways to run jobs",
    "C03": "grid search with two jobs",
    "C04": "threads that predict with one model",
    "C05": "threads that fit models",
    "C06": "same seed twice",
    "C07": "one thread or two",
    "C08": "rows alone, together and in any order",
    "C09": "dense or sparse X, and ties",
    "C10": "import",
    "M1": "memory of fit",
    "M2": "memory of targets",
    "M3": "memory of rankings",
    "M4": "size of pickles",
    "M5": "memory of repeated fits",
    "S01": "save and load",
    "S02": "files of every released format",
    "S03": "file of a newer format",
    "S04": "truncated files, flipped bytes",
    "S05": "empty, random, missing files, folders",
    "S06": "pickles given to load",
    "S07": "headers that promise too much",
    "S08": "files larger than wanted",
    "S09": "archives of another kind",
    "S10": "configurations that no model has",
    "S11": "arrays that do not fit",
    "S12": "stored indexes",
    "S13": "model of a GPU on a CPU",
    "S14": "pickles in other processes and versions",
    "S15": "two writers at once",
}
#: Cases that cannot occur, and why; tests of these ids keep it so.
NOT_APPLICABLE = {
    "F10": "batches are made in the process itself: there are no workers",
}
#: Parts of cases that have no test here, and why.
LEFT_OUT = {
    "F01": "checkpoints: a fit keeps none, an interrupted one leaves nothing behind",
    "F09": "checkpoints within a fit: there are none; files resume between fits",
    "S12": "indexes are not stored: they are made anew from the vectors",
}


def case_of(name):
    """Return the id that a test is named by, or None."""
    match = re.match(r"test_([a-z]\d+)_", name)
    return match and match[1].upper()


def files_by_id():
    """Return the test files in which a function is named by an id, for each id."""
    files: dict[str, set] = {}
    for path in TESTS.glob("test_*.py"):
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.M):
            if case := case_of(name):
                files.setdefault(case, set()).add(path)
    return files


class Results:
    """A pytest plugin that runs the tests of some ids, and counts how they end."""

    def __init__(self, ids):
        self.counts = {case: Counter() for case in ids}

    def pytest_collection_modifyitems(self, config, items):
        """Keep the tests named by the ids."""
        kept = [item for item in items if case_of(item.name) in self.counts]
        config.hook.pytest_deselected(items=[i for i in items if i not in set(kept)])
        items[:] = kept

    def pytest_runtest_logreport(self, report):
        """Count a test as it ended; a failure to set up or clean up is one too."""
        name = report.nodeid.rpartition("::")[2]
        if report.when == "call" or not report.passed:
            self.counts[case_of(name)][report.outcome] += 1


def result_of(case, counts):
    """Say in a few words how a case stands."""
    if counts["failed"]:
        return f"FAILED {counts['failed']} of {counts.total()}"
    if case in NOT_APPLICABLE:
        return f"not applicable: {NOT_APPLICABLE[case]}"
    if not counts["passed"]:
        return "no test ran"
    left_out = f"; not {LEFT_OUT[case]}" if case in LEFT_OUT else ""
    return f"passed {counts['passed']}{left_out}"


def main(arguments=None):
    """Run the tests, print the table, and return 1 if a case fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("ids", nargs="*", metavar="ID", help="cases, default all")
    parser.add_argument("--slow", action="store_true", help="run the slow tests too")
    options = parser.parse_args(arguments)
    ids = [case.upper() for case in options.ids] or [*CASES]
    if unknown := sorted(set(ids) - CASES.keys()):
        parser.error(f"no such cases: {', '.join(unknown)}")
    results = Results(ids)
    which = ["-m", "slow or not slow"] if options.slow else []
    by_id = files_by_id()
    files = sorted({str(path) for case in ids for path in by_id.get(case, ())})
    options = ["-q", "--no-header", "-r", "N", *which]
    status = pytest.main([*files, *options], plugins=[results])
    for case, counts in results.counts.items():
        print(f"{case:4} {CASES[case]:52} {result_of(case, counts)}")  # noqa: T201
    is_whole = all(
        counts["passed"] or case in NOT_APPLICABLE
        for case, counts in results.counts.items()
    )
    return int(status != 0 or not is_whole)


if __name__ == "__main__":
    sys.exit(main())
