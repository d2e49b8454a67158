"""Formulas as MathML, which browsers draw themselves: no script, nothing fetched."""

from docutils import nodes
from docutils.utils.math import latex2mathml


def _markup(node, block):
    tree = latex2mathml.tex2mathml(node.astext(), as_block=block)
    return tree if isinstance(tree, str) else tree.toxml()


def _visit_inline(translator, node):
    translator.body.append(_markup(node, block=False))
    raise nodes.SkipNode


def _visit_block(translator, node):
    translator.body.append(f'<div class="formula">{_markup(node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Register the renderer "mathml" for `html_math_renderer`."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(_visit_inline, None),
        block_renderers=(_visit_block, None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
