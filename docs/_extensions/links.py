"""Link names of the public interface, such as `DECLAREClassifier`, to their pages.

They are written as plain code, so that the pages read as well without Sphinx.
"""

import importlib
import re
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref

MODULES = re.findall(
    r"^   (skxmc[\w.]*)$",
    (Path(__file__).parent.parent / "api.rst").read_text(encoding="utf-8"),
    flags=re.MULTILINE,
)


def _public_names():
    for module in MODULES:
        for name in importlib.import_module(module).__all__:
            if not name.startswith("__"):
                yield name, f"{module}.{name}"


def _link_names(app, doctree):
    names = dict(_public_names())
    if app.env.docname.startswith("generated/"):
        return
    for literal in list(doctree.findall(nodes.literal)):
        target = names.get(literal.astext().removesuffix("()"))
        if target is None or isinstance(literal.parent, nodes.reference):
            continue
        link = pending_xref(
            "",
            refdomain="py",
            reftype="obj",
            reftarget=target,
            refexplicit=True,
            refwarn=True,
            refdoc=app.env.docname,
        )
        literal.replace_self(link)
        link += literal


def setup(app):
    """Look for names in every page that was read."""
    app.connect("doctree-read", _link_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
