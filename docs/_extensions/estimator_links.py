"""Links of the boxes that show estimators: within this site, to what is there.

The package asks ``SKXMC_DOCS`` for the address of its documentation. While the site is
built that is one that nothing has, and each page gets the way to its own root instead.
"""

import html
import inspect
import os
import re
from pathlib import Path

from docutils import nodes
from links import TARGETS
from numpydoc.docscrape import NumpyDocString
from sphinx.ext.autosummary import import_by_name
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

SITE = "https://site.invalid"


class StraightQuotes(SphinxTransform):
    """Keep the quotes of types, which are code, and which links look for."""

    default_priority = 740  # before Sphinx makes quotes curly, at 750

    def apply(self, **kwargs):
        """Mark the types in all definition lists."""
        for node in self.document.findall(nodes.classifier):
            node["support_smartquotes"] = False


def _link_within_site(app, pagename, templatename, context, doctree):
    if "body" in context:
        root = context["content_root"]
        context["body"] = context["body"].replace(f"{SITE}/", root)


def _check_reference(app, exception):
    """Warn of parameters and attributes whose links would find no text."""
    if exception or app.builder.format != "html":
        return
    for target in TARGETS.values():
        thing = import_by_name(target)[1]
        if not hasattr(thing, "_get_doc_link"):
            continue
        page = Path(app.builder.get_outfilename(f"generated/{target}"))
        text = html.unescape(re.sub("<[^>]*>", "", page.read_text(encoding="utf-8")))
        doc = NumpyDocString(inspect.getdoc(thing))
        for name, kind, _ in doc["Parameters"] + doc["Attributes"]:
            if name + kind.replace("`", "") not in text:
                message = "%s does not show '%s : %s' in one line"
                logging.getLogger(__name__).warning(message, page.name, name, kind)


def setup(app):
    """Set the address, and connect what sees to the links."""
    os.environ["SKXMC_DOCS"] = SITE
    app.add_transform(StraightQuotes)
    app.connect("html-page-context", _link_within_site)
    app.connect("build-finished", _check_reference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
