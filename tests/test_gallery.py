"""The scripts of the gallery are in order; with ``-m slow`` they also run."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "examples").glob("plot_*.py"))
scripts = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def read(script):
    text = script.read_text(encoding="utf-8")
    return text, ast.parse(text, script)


@scripts
def test_begins_with_a_title_and_is_made_of_cells_with_prose(script):
    text, tree = read(script)
    _, title, line, *_ = ast.get_docstring(tree, clean=False).split("\n")
    assert line == "=" * len(title)
    cells = re.split(r"^# %%\n", text, flags=re.MULTILINE)[1:]
    assert len(cells) >= 3
    assert all(cell.startswith("# ") for cell in cells)


@scripts
def test_what_it_imports_of_skxmc_is_public(script):
    imports = [
        node
        for node in ast.walk(read(script)[1])
        if isinstance(node, ast.ImportFrom) and node.module.startswith("skxmc")
    ]
    assert imports
    for node in imports:
        module = importlib.import_module(node.module)
        assert {alias.name for alias in node.names} <= set(module.__all__)


@scripts
def test_draws_and_hides_no_warning(script):
    text, _ = read(script)
    assert "plt.subplots(" in text
    assert "filterwarnings" not in text
    assert "simplefilter" not in text


def test_each_has_its_place_in_the_gallery(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "_extensions")
    order = importlib.import_module("gallery_order")
    assert sorted(order.SCRIPTS) == [path.name for path in SCRIPTS]


@pytest.mark.slow
@scripts
def test_runs_without_a_warning(script, tmp_path):
    subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=300,
    )
    assert not list(tmp_path.iterdir())
