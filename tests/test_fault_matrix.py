"""The table of cases: each has a test, and the command tells how it ends."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import fault_matrix


def test_each_of_the_cases_has_tests_or_a_reason():
    tested = fault_matrix.files_by_id().keys()
    assert len(fault_matrix.CASES) == 94
    assert fault_matrix.CASES.keys() - tested <= fault_matrix.NOT_APPLICABLE.keys()
    # A test that is named by an id that no one knows is one that no one runs here.
    assert tested <= fault_matrix.CASES.keys()


def test_the_end_of_a_case_is_told():
    told = fault_matrix.result_of
    assert told("X01", Counter(passed=2, failed=1)) == "FAILED 1 of 3"
    assert told("F10", Counter(passed=2)).startswith("not applicable: batches")
    assert told("X01", Counter(skipped=2)) == "no test ran"
    assert told("X01", Counter(passed=2, skipped=1)) == "passed 2"


def test_the_command_runs_the_tests_of_a_case():
    script = Path(fault_matrix.__file__)
    done = subprocess.run(
        [sys.executable, script, "x23"],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=script.parents[1],
    )
    assert done.returncode == 0, done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.split() == [
        *("X23", *fault_matrix.CASES["X23"].split()),
        *("passed", "2"),
    ]
