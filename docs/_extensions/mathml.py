"""Formulas as MathML, which browsers draw themselves: no script, nothing fetched."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging


def _append(translator, node, before, after, *, as_block):
    try:
        markup = tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        logging.getLogger(__name__).warning(str(error), location=node)
        markup = translator.encode(node.astext())
    translator.body.append(f"{before}{markup}{after}")
    raise nodes.SkipNode


def _visit_inline(translator, node):
    _append(translator, node, "", "", as_block=False)


def _visit_block(translator, node):
    _append(translator, node, '<div class="formula">', "</div>", as_block=True)


def setup(app):
    """Register the renderer "mathml" for `html_math_renderer`."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(_visit_inline, None),
        block_renderers=(_visit_block, None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
