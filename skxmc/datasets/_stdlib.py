"""A real data set that every Python carries: the names that functions call."""

import gzip
import hashlib
import json
import os
import sys
import sysconfig
import warnings
import zlib
from collections import Counter
from itertools import chain
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from skxmc._tags import encode_tags
from skxmc.datasets._base import get_data_home, write_atomically
from skxmc.datasets._stdlib_parse import Function, parse_library

_DESCR = """\
Calls of the Python standard library
------------------------------------
One row per function of the standard library of the running Python that calls something.
The text is the words of its module, class, name and arguments, then its docstring; the
labels are the names it calls, without what stands before the last dot. Nothing of the
function's code is in the text. Python's licence (PSF) applies.
"""

_FORMAT = 1  # raise it when the rows or their text change, so that old caches retire


@validate_params(
    {
        "subset": [StrOptions({"all", "train", "test"})],
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "test_size": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "data_home": [str, os.PathLike, None],
        "cache": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_stdlib_calls(
    *,
    subset="all",
    min_count=3,
    test_size=0.2,
    random_state=0,
    data_home=None,
    cache=True,
    return_X_y=False,
):
    """Load the calls of the Python standard library, a data set made on the spot.

    One row per function of the running Python's standard library that calls something,
    tests left out. The text is the words of its module, class, name and arguments,
    then its docstring, such as ``"json decoder . JSON Decoder raw decode . self s idx
    . Decode a JSON document from ..."``: names are split at underscores, dots and
    capitals. The labels are the names that its body calls, nested functions included:
    ``b`` for ``a.b()``. Nothing else of the body is used.

    The split is by top-level module, so that near-copies are on one side. Label
    columns are the labels of at least `min_count` training rows, whatever the
    `subset`; rows without such a label are dropped.

    The first call parses the library, which takes several seconds.

    Parameters
    ----------
    subset : {"all", "train", "test"}, default="all"
        The rows to return; "all" is both parts in the order of the modules.
    min_count : int, default=3
        Number of training rows that a label needs to become a column.
    test_size : float, default=0.2
        Share of the functions in the test part, met as nearly as whole modules allow
        without exceeding it.
    random_state : int, RandomState instance or None, default=0
        Chooses the modules of the test part. The training and the test part fit
        together only if they are loaded with the same int.
    data_home : str or path-like, default=None
        The folder that keeps the parsed library, see :func:`get_data_home`.
    cache : bool, default=True
        Whether to keep the parsed library there, as JSON, and to use what is kept.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        With these attributes:

        data : list of str, length n_samples
            The texts.
        target : csr_array of shape (n_samples, n_labels), dtype int8
            The labels, stored as ones.
        target_names : list of str, length n_labels
            The name that each label stands for, sorted.
        modules : list of str, length n_samples
            Top-level module of each function, the `groups` of a grouped split.
        functions : list of str, length n_samples
            Full dotted name of each function.
        DESCR : str
            Description of the data set.

    (data, target) : tuple if ``return_X_y`` is True
        The texts and the labels.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    FileNotFoundError
        If this Python comes without the sources of its library.

    Warns
    -----
    UserWarning
        If the parsed library cannot be kept in `data_home`.

    See Also
    --------
    make_xmc_classification : Synthetic data of any size.
    load_dataset : Load a data set from a folder.

    Notes
    -----
    The rows depend on the version of Python; CPython 3.11.7 gives 10 529
    training rows, 2411 test rows and 2210 labels, 3 in a row.

    Examples
    --------
    >>> from skxmc.datasets import load_stdlib_calls
    >>> train = load_stdlib_calls(subset="train")  # doctest: +SKIP
    >>> train.target.shape  # doctest: +SKIP
    (10529, 2210)
    """
    corpus = _load_corpus(get_data_home(data_home) if cache else None)
    in_test = _choose_modules(corpus, test_size, check_random_state(random_state))
    train = [row for row in corpus if row.module not in in_test]
    test = [row for row in corpus if row.module in in_test]
    counts = Counter(chain.from_iterable(row.calls for row in train))
    names = sorted(name for name, count in counts.items() if count >= min_count)
    part = {"all": corpus, "train": train, "test": test}[subset]
    columns = set(names)
    rows = [row for row in part if not columns.isdisjoint(row.calls)]
    data = [row.text for row in rows]
    target = encode_tags([row.calls for row in rows], np.array(names, dtype=object))
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=names,
        modules=[row.module for row in rows],
        functions=[row.name for row in rows],
        DESCR=_DESCR,
    )


def _choose_modules(corpus, share, rng):
    """Draw modules that together hold almost, and at most, a share of the rows."""
    modules, sizes = np.unique([row.module for row in corpus], return_counts=True)
    room = share * len(corpus)
    chosen = set()
    for i in rng.permutation(len(modules)):
        if sizes[i] <= room:
            room -= sizes[i]
            chosen.add(str(modules[i]))
    return chosen


def _load_corpus(home):
    """Parse the library, or take what `home` keeps of an earlier time."""
    root = Path(sysconfig.get_path("stdlib"))
    if home is None:
        return parse_library(root)
    origin = hashlib.sha256(f"{_FORMAT} {sys.version} {root}".encode()).hexdigest()
    path = (
        home / "stdlib_calls" / f"{sys.implementation.cache_tag}-{origin[:16]}.json.gz"
    )
    corpus = _read_cache(path)
    if corpus is None:
        corpus = parse_library(root)
        _write_cache(path, corpus)
    return corpus


def _read_cache(path):
    """Return the kept corpus, or None if there is none that can be used."""
    try:
        rows = json.loads(gzip.decompress(path.read_bytes()))
        return [Function(*row) for row in rows] or None
    except (OSError, EOFError, ValueError, TypeError, zlib.error):
        return None


def _write_cache(path, corpus):
    content = gzip.compress(json.dumps(corpus).encode(), mtime=0)
    try:
        write_atomically(path, content)
    except OSError as error:
        warnings.warn(
            f"Cannot keep the parsed standard library in {path.parent} ({error}), so "
            "that it is parsed again each time; set the environment variable "
            "SKXMC_DATA to a writable folder, or pass cache=False.",
            stacklevel=5,
        )
