"""Where data sets lie on disk."""

import gzip
import os
import uuid
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np


def get_data_home(data_home=None):
    """Return the folder that holds the data sets.

    The folder is not created: whatever writes there first makes it.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder. If None, the environment variable ``SKXMC_DATA``; if that is
        unset or empty, ``~/skxmc_data``. A leading ``~`` is the user's home.

    Returns
    -------
    pathlib.Path
        The folder, which need not exist.

    See Also
    --------
    load_dataset : Load a data set from a folder of the data home.

    Examples
    --------
    >>> from skxmc.datasets import get_data_home
    >>> get_data_home("~/corpora").name
    'corpora'
    """
    if data_home is None:
        data_home = os.environ.get("SKXMC_DATA") or "~/skxmc_data"
    return Path(data_home).expanduser()


def write_atomically(path, content):
    """Write bytes so that other processes see the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        # "x" refuses to follow a link that someone put there before.
        with draft.open("xb") as file:
            file.write(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def whole_gzip(path):
    """Raise ValueError where a compressed file that is read is damaged."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as err:
        raise ValueError(
            f"{path} is damaged or incomplete ({err}); get it anew, or leave out .gz "
            "if it is not compressed."
        ) from err


def index_dtype(*sizes):
    """Return the smallest index dtype of scipy that can count to all sizes."""
    return np.int32 if max(sizes) <= np.iinfo(np.int32).max else np.int64


def check_binary(Y, name):
    """Raise ValueError if a stored label is neither 0 nor 1."""
    wrong = Y.data[(Y.data != 0) & (Y.data != 1)]
    if wrong.size:
        raise ValueError(
            f"{name} has the value {wrong[0]}, but labels are 0 or 1; give 1 for each "
            "label of a row, once."
        )
