"""Links from the HTML of estimators to their pages."""

import importlib
import re
from email.message import Message
from html import unescape
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from urllib.parse import unquote

import pytest
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr
from sklearn.utils.fixes import parse_version

from skxmc import (
    DECLAREClassifier,
    MultiHeadEncodingClassifier,
    TextEncoder,
    UniDECClassifier,
    XMCTextClassifier,
    _doc_links,
)
from skxmc.calibration import TopKCalibratedClassifier
from skxmc.datasets import make_xmc_classification

API = Path(__file__).parent.parent / "docs" / "api.rst"
ESTIMATORS = [
    DECLAREClassifier(random_state=0),
    MultiHeadEncodingClassifier(max_epochs=1, random_state=0),
    UniDECClassifier(max_epochs=1, random_state=0),
    XMCTextClassifier(),
    TextEncoder("folder"),
    TopKCalibratedClassifier(DECLAREClassifier(random_state=0), cv=2),
]
SITE = "https://docs.example.org/stable"
estimators = pytest.mark.parametrize(
    "estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__
)


@pytest.fixture(autouse=True)
def unpublished(monkeypatch):
    """Neither the environment nor the metadata has an address."""
    monkeypatch.delenv("SKXMC_DOCS", raising=False)
    publish(monkeypatch)
    yield
    _doc_links._published_address.cache_clear()


def publish(monkeypatch, *lines):
    """Install metadata with these project links, for a test."""
    message = Message()
    for line in lines:
        message["Project-URL"] = line
    monkeypatch.setattr(_doc_links, "metadata", lambda name: message)
    _doc_links._published_address.cache_clear()


def links(estimator):
    """Return where the box of an estimator links to."""
    found = re.findall('href="([^"]*)"', estimator_html_repr(estimator))
    return [unescape(link) for link in found]


def public_pages():
    """Return the pages of the reference: those of `autosummary` in docs/api.rst."""
    modules = re.findall(r"^   (skxmc[\w.]*)$", API.read_text("utf-8"), re.MULTILINE)
    return {
        f"{module}.{name}": getattr(importlib.import_module(module), name)
        for module in modules
        for name in importlib.import_module(module).__all__
    }


@estimators
def test_without_an_address_there_is_no_link(estimator, monkeypatch, tmp_path):
    assert links(estimator) == []
    for folder in (tmp_path, tmp_path / "none", "~nobody/none"):
        monkeypatch.setenv("SKXMC_DOCS", str(folder))
        assert links(estimator) == []


def test_every_public_estimator_has_a_page_and_is_tested_here():
    public = {
        thing
        for thing in public_pages().values()
        if isinstance(thing, type) and issubclass(thing, BaseEstimator)
    }
    assert public == {type(estimator) for estimator in ESTIMATORS}


@estimators
def test_a_folder_is_linked_to_as_files_that_the_docs_make(
    estimator, monkeypatch, tmp_path
):
    site = tmp_path / "a site {1}"
    (site / "generated").mkdir(parents=True)
    monkeypatch.setenv("SKXMC_DOCS", str(site))
    page = links(estimator)[0]
    assert page.startswith("file:///")
    path = Path(unquote(page.removeprefix("file://")))
    assert path.parent == site / "generated"
    assert path.suffix == ".html"
    assert public_pages()[path.stem] is type(estimator)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKXMC_DOCS", site.name)
    assert links(estimator)[0] == page


def test_the_address_is_that_of_the_environment_then_of_the_metadata(monkeypatch):
    page = f"{SITE}/generated/skxmc.TextEncoder.html"
    publish(monkeypatch, "Source, https://example.org", f"Documentation, {SITE}")
    assert links(TextEncoder("folder"))[0] == page
    monkeypatch.setenv("SKXMC_DOCS", "http://[::1]:8000/")
    assert links(TextEncoder("folder"))[0].startswith("http://[::1]:8000/generated/")
    monkeypatch.setenv("SKXMC_DOCS", 'https://x/{0}"')
    assert links(TextEncoder("folder"))[0].startswith("https://x/%7B0%7D%22/generated/")


def test_a_package_that_is_not_installed_has_no_address(monkeypatch):
    def metadata(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(_doc_links, "metadata", metadata)
    _doc_links._published_address.cache_clear()
    assert _doc_links.find_documentation() == ""


def test_metadata_are_read_once_and_not_at_import(monkeypatch):
    calls = []
    monkeypatch.setattr(
        _doc_links, "metadata", lambda name: calls.append(name) or Message()
    )
    importlib.import_module("skxmc")
    assert calls == []
    links(TextEncoder("folder"))
    links(TextEncoder("folder"))
    assert calls == ["skxmc"]


def fitted(estimator):
    """Fit an estimator, as attributes are shown of fitted ones alone."""
    if isinstance(estimator, TextEncoder):
        return estimator
    if isinstance(estimator, XMCTextClassifier):
        return clone(estimator).fit(["red", "blue"] * 5, [["a"], ["b"]] * 5)
    X, Y = make_xmc_classification(40, n_labels=5, random_state=0)
    return clone(estimator).fit(X, Y)


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.8"), reason="made since 1.8"
)
@estimators
def test_parameters_and_attributes_link_to_a_line_of_the_docstring(
    estimator, monkeypatch
):
    estimator = fitted(estimator)
    monkeypatch.setenv("SKXMC_DOCS", SITE)
    page = f"{estimator._get_doc_link()}#:~:text="
    targets = [link.removeprefix(page) for link in links(estimator) if page in link]
    names = {*estimator.get_params(deep=False)}
    assert names <= {target.partition(",-")[0] for target in targets}
    docstring = type(estimator).__doc__.replace("`", "")
    for target in targets:
        name, _, kind = unquote(target).partition(",-")
        line = rf"^    {re.escape(name)} : {re.escape(kind)}$"
        assert re.search(line, docstring, re.MULTILINE), target
        # scikit-learn leaves hyphens as they are, with which browsers find nothing.
        assert "-" not in kind, target
        assert "  " not in kind, target


class OfSomeoneElse(DECLAREClassifier):
    pass


def test_only_what_is_of_this_package_links_to_its_documentation(monkeypatch):
    monkeypatch.setenv("SKXMC_DOCS", SITE)
    assert links(OfSomeoneElse()) == []
    pipe = make_pipeline("passthrough", DECLAREClassifier())
    pages = {link.partition("#")[0] for link in links(pipe)}
    assert f"{SITE}/generated/skxmc.DECLAREClassifier.html" in pages
    assert any(page.startswith("https://scikit-learn.org") for page in pages)
