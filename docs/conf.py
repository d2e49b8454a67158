"""Configuration of the documentation: ``python -m sphinx -W -b html docs OUT``.

Nothing is fetched, neither by the build nor by the pages. The gallery is rendered
without being run; ``-D plot_gallery=1`` runs it and shows its plots.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_extensions")]

import skxmc  # noqa: E402 - from this checkout, not from what is installed

project = "skxmc"
author = "The skxmc developers"
copyright = author
version = release = skxmc.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "drawings",
    "estimator_links",
    "links",
    "mathml",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
default_role = "literal"  # `names` in docstrings are code, as they are in Markdown

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_ignore_module_all = False
numpydoc_show_class_members = False
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "ignore_pattern": r"quickstart|serve\.py|benchmarks",
    "plot_gallery": "False",
    "within_subsection_order": "gallery_order.place",
    "doc_module": ("skxmc",),
    "backreferences_dir": "generated/backreferences",
    "remove_config_comments": True,
    "download_all_examples": False,
    "write_computation_times": False,
    "show_memory": False,
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "skxmc"
html_static_path = ["_static"]
html_css_files = ["skxmc.css"]
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
# Pages without pages below them.
html_sidebars = {
    page: []
    for page in ("index", "quick_start", "faq", "security", "contributing", "changelog")
}


def skip_what_is_inherited(app, what, name, obj, skip, options):
    """Leave out the methods of scikit-learn, whose texts link to its own pages."""
    is_ours = str(getattr(obj, "__module__", "skxmc")).startswith("skxmc")
    return True if what == "class" and callable(obj) and not is_ours else None


def setup(app):
    """Connect the events that need code."""
    app.connect("autodoc-skip-member", skip_what_is_inherited)
