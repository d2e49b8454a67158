"""Links from the boxes that notebooks show of estimators to the documentation."""

import os
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from urllib.parse import quote


class DocLinkMixin:
    """Link the HTML of an estimator to its page, where there is a documentation.

    Stands before `BaseEstimator`, which links to the pages of scikit-learn. Classes
    that others derive have no page here, and no link.
    """

    _doc_link_module = "skxmc"

    @property
    def _doc_link_template(self):
        """What scikit-learn fills in; empty for no link."""
        address = find_documentation()
        # scikit-learn knows the module's name up to the first private part: the path
        # that users import from, which autosummary names the page after.
        page = "/generated/{estimator_module}.{estimator_name}.html"
        return address and address + page


def find_documentation():
    """Return the address of the documentation, without a slash at its end.

    It is what the environment variable ``SKXMC_DOCS`` says: an address, or the folder
    of a site that was built. Otherwise it is that of the installed package.

    Returns
    -------
    address : str
        Empty if there is none, or the folder holds no pages of the reference.
    """
    place = os.environ.get("SKXMC_DOCS") or _published_address()
    if "://" in place:
        # Marks of addresses stay; braces would be fields of the template.
        return quote(place.rstrip("/"), safe=":/%[]@")
    folder = Path(os.path.expanduser(place)).absolute()
    return folder.as_uri() if place and (folder / "generated").is_dir() else ""


@lru_cache
def _published_address():
    """Return the ``Documentation`` address of the package's metadata, or ""."""
    try:
        lines = metadata("skxmc").get_all("Project-URL") or []
    except PackageNotFoundError:  # imported from a folder
        return ""
    links = (map(str.strip, line.split(",", 1)) for line in lines)
    return {name.lower(): link for name, link in links}.get("documentation", "")
