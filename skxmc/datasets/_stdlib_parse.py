"""Functions of a source tree: what is said about them, and what they call."""

import ast
import warnings
from itertools import chain
from typing import NamedTuple

from skxmc._tags import WORD_BREAK

_SKIPPED_FOLDERS = {"test", "tests", "idle_test", "site-packages", "dist-packages"}

_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


class Function(NamedTuple):
    """A function that calls something."""

    module: str  # top-level module or package, the unit of the split
    name: str  # full dotted name
    text: str
    calls: list[str]  # sorted and distinct


def parse_library(root):
    """Return the functions below `root` that call something, sorted by file."""
    paths = [
        path
        for path in sorted(root.rglob("*.py"))
        if _SKIPPED_FOLDERS.isdisjoint(path.relative_to(root).parts)
    ]
    corpus = [row for path in paths for row in _parse_file(path, root)]
    if not corpus:
        raise FileNotFoundError(
            f"Found {len(paths)} Python files in {root}, and no function that calls "
            "something; use a Python that comes with the sources of its library."
        )
    return corpus


def _parse_file(path, root):
    """Yield the rows of one file; none if this Python cannot parse it."""
    parts = path.relative_to(root).with_suffix("").parts
    module = ".".join(parts).removesuffix(".__init__")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as invalid escapes in old files
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError):
        return
    for name, function in _find_functions(tree, ()):
        calls = _called_names(function)
        if calls:
            text = _describe(module, name, function)
            yield Function(parts[0], ".".join((module, *name)), text, calls)


def _find_functions(node, scope):
    """Yield ``(names of the scopes and the function, function)``, outermost first."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTION | ast.ClassDef):
            inner = (*scope, child.name)
            if isinstance(child, _FUNCTION):
                yield inner, child
            yield from _find_functions(child, inner)
        else:
            yield from _find_functions(child, scope)


def _called_names(function):
    """Return the names that the body calls, the last part of dotted ones."""
    nodes = chain.from_iterable(map(ast.walk, function.body))
    callees = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = {getattr(callee, "attr", getattr(callee, "id", None)) for callee in callees}
    return sorted(names - {None})


def _describe(module, name, function):
    """Return what is known of a function without reading its code, on one line."""
    arguments = [
        node.arg
        for node in ast.iter_child_nodes(function.args)
        if isinstance(node, ast.arg)
    ]
    identifiers = (module, " ".join(name), " ".join(arguments))
    fields = [WORD_BREAK.sub(" ", words) for words in identifiers]
    fields.append(ast.get_docstring(function) or "")
    lines = [" ".join(field.split()) for field in fields]
    return " . ".join(filter(None, lines))
