"""Put the SVG files of ``drawings/`` into the page, where they take its colours.

As images they would follow the reader's system, not the page's light and dark switch.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx.writers.html5 import HTML5Translator


def _visit_image(translator, node):
    uri = node["uri"]
    if not re.search(r"drawings/\w+\.svg$|^drawings", node.get("candidates", {}).get("*", uri)):
        HTML5Translator.visit_image(translator, node)
        return
    path = Path(translator.builder.srcdir, node["candidates"]["*"])
    svg = path.read_text(encoding="utf-8")
    translator.body.append(f'<div class="drawing">{svg}</div>')
    raise nodes.SkipNode


def _depart_image(translator, node):
    HTML5Translator.depart_image(translator, node)


def setup(app):
    """Take over the drawing of images in HTML."""
    app.add_node(nodes.image, override=True, html=(_visit_image, _depart_image))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
