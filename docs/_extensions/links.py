"""Link names of the public interface, such as `DECLAREClassifier`, to their pages.

They are written as plain code, so that the pages read as well without Sphinx.
"""

import importlib
import re
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref

API = Path(__file__).parent.parent / "api.rst"
MODULES = re.findall(
    r"^   (skxmc[\w.]*)$", API.read_text(encoding="utf-8"), re.MULTILINE
)
TARGETS = {
    name: f"{module}.{name}"
    for module in MODULES
    for name in importlib.import_module(module).__all__
    if not name.startswith("__")
}
TARGETS |= {module: module for module in MODULES if "." in module}


def _link_names(app, doctree):
    for literal in list(doctree.findall(nodes.literal)):
        target = TARGETS.get(literal.astext())
        if target is None or isinstance(literal.parent, nodes.reference | pending_xref):
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
