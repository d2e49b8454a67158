"""Put the SVG files of ``drawings/`` into the page, where they take its colours.

As images they would follow the reader's system, not the page's light and dark switch.
"""

from pathlib import Path

from docutils import nodes
from sphinx.writers.html5 import HTML5Translator


def _visit_image(translator, node):
    # Sphinx has turned the uri into the name of a copy by now.
    source = Path(node.get("candidates", {}).get("*", node["uri"]))
    if source.parts[0] != "drawings":
        HTML5Translator.visit_image(translator, node)
        return
    svg = Path(translator.builder.srcdir, source).read_text(encoding="utf-8")
    translator.body.append(f'<div class="drawing">{svg}</div>')
    raise nodes.SkipNode


def _depart_image(translator, node):
    HTML5Translator.depart_image(translator, node)


def setup(app):
    """Take over the drawing of images in HTML."""
    app.add_node(nodes.image, override=True, html=(_visit_image, _depart_image))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
