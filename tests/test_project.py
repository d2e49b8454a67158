"""The README, the CI script and the docstrings agree with the code."""

import ast
import importlib
import inspect
import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from numpydoc.validate import validate

import skxmc

ROOT = Path(__file__).parent.parent
PUBLIC_MODULES = (
    "skxmc",
    "skxmc.calibration",
    "skxmc.datasets",
    "skxmc.display",
    "skxmc.distributed",
    "skxmc.exceptions",
    "skxmc.export",
    "skxmc.inspection",
    "skxmc.metrics",
    "skxmc.model_selection",
)


def readme_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    return [line for block in blocks[:2] for line in block.strip().splitlines()]


def test_ci_runs_the_two_commands_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    after = [script[i + 1] for i, line in enumerate(script) if "# README:" in line]
    assert len(readme_commands()) == 2
    assert [line.strip() for line in after] == readme_commands()


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    wanted = [*project["project"]["dependencies"], *chain.from_iterable(extras)]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0].lower() for line in constraints if "==" in line}
    assert {re.split("[<>=]", name)[0].lower() for name in wanted} <= pinned


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 700


def test_changelog_names_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert skxmc.__version__.removesuffix(".dev0") in changelog


def public_objects():
    for module_name in PUBLIC_MODULES:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            thing = getattr(module, name)
            if not callable(thing):
                continue
            yield f"{module_name}.{name}"
            if inspect.isclass(thing):
                members = inspect.getmembers(thing, inspect.isfunction)
                yield from (
                    f"{module_name}.{name}.{method}"
                    for method, function in members
                    if not method.startswith("_")
                    and function.__module__.startswith("skxmc")
                )


@pytest.mark.parametrize("name", sorted(public_objects()))
def test_docstrings_are_numpydoc(name):
    # Not asked for: extended summaries, See Also and examples everywhere; and, as in
    # scikit-learn, a single returned value has a name.
    ignored = {"ES01", "SA01", "SA04", "EX01", "GL08", "RT02"}
    errors = [error for error in validate(name)["errors"] if error[0] not in ignored]
    assert not errors


@pytest.mark.parametrize("name", skxmc.__all__)
def test_estimators_document_every_parameter_and_fitted_attribute(name):
    estimator = getattr(skxmc, name)
    if not inspect.isclass(estimator):
        return
    for parameter in inspect.signature(estimator).parameters.values():
        line = re.search(
            rf"^    {parameter.name} : .*$", estimator.__doc__, re.MULTILINE
        )
        assert line, parameter.name
        _, has_default, stated = line.group().rpartition("default=")
        assert bool(has_default) == (parameter.default is not parameter.empty)
        if has_default:
            assert ast.literal_eval(stated) == parameter.default


def scripts_beside_each_other():
    folders = [ROOT / "examples" / "benchmarks", ROOT / "examples"]
    folders.append(ROOT / "examples" / "benchmarks" / "peers")
    return [path for folder in folders for path in sorted(folder.glob("*.py"))]


def names_of(path):
    """Return the names that a script defines or imports, not below a function."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        else:
            names |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return names


@pytest.mark.parametrize("path", scripts_beside_each_other(), ids=lambda p: p.name)
def test_scripts_import_what_is_there_of_each_other(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        other = path.with_name(f"{node.module}.py")
        if other.exists():
            assert {alias.name for alias in node.names} <= names_of(other)
