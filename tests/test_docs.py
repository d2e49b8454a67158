"""The code of the README and of the pages in docs/ runs, and their links go somewhere.

A page's blocks of Python run in order and share their names. A block that needs what
the tests do not have begins with the comment ``# Not run here: <what it needs>.``, for
the reader as well as for these tests.
"""

import doctest
import importlib
import re
import textwrap
from pathlib import Path

import pytest
from test_project import PUBLIC_MODULES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
NOT_RUN = "# Not run here: "
pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def python_blocks(page):
    """Yield (line, code) of the blocks of a page that are to be run."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        if not match[1].startswith(NOT_RUN):
            yield text.count("\n", 0, match.start()) + 1, match[1]


def run_block(code, names, page, line):
    """Run a block, as a doctest if it holds prompts."""
    if ">>>" not in code:
        # Blank lines before the code make tracebacks tell the line of the page.
        exec(compile("\n" * line + code, page, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), line)
    test.globs = names  # it is given a copy
    report: list[str] = []
    failed, _ = doctest.DocTestRunner().run(test, out=report.append, clear_globs=False)
    assert not failed, "".join(report)


@pages
def test_python_of_a_page_runs(page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    names = {"__name__": "__main__"}
    for line, code in python_blocks(page):
        run_block(code, names, page, line)


def test_few_blocks_are_not_run():
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    blocks = [code for text in texts for code in BLOCK.findall(text)]
    not_run = [code for code in blocks if code.startswith(NOT_RUN)]
    assert len(not_run) <= len(blocks) // 10


def without_code(text):
    """Return a page without its fenced blocks, whose brackets are no links."""
    return re.sub(r"^(`{3,}).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Return the anchors of the headings of a page, as GitHub and MyST make them."""
    headings = re.findall(
        r"^#+ (.*)$", without_code(page.read_text(encoding="utf-8")), re.MULTILINE
    )
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


@pages
def test_links_to_files_and_headings_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text("utf-8")))
    for link in links:
        if link.startswith("http"):
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not heading or heading in anchors(target), link


def test_every_page_is_in_a_table_of_contents():
    text = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    tables = re.findall(r"^```{toctree}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    listed = set("\n".join(tables).split())
    assert {page.stem for page in DOCS.glob("*.md")} - {"index"} <= listed


def test_reference_lists_every_public_module():
    lines = (DOCS / "api.rst").read_text(encoding="utf-8").splitlines()
    listed = [line.strip() for line in lines if line.startswith("   skxmc")]
    assert sorted(listed) == sorted(PUBLIC_MODULES)
    for module in listed:
        assert importlib.import_module(module).__all__


@pytest.mark.parametrize("script", sorted(ROOT.glob("examples/plot_*.py")))
def test_examples_of_the_gallery_begin_with_a_title(script):
    first, line, *_ = textwrap.dedent(script.read_text("utf-8")[3:]).split("\n")[1:]
    assert line == "=" * len(first)
