"""Columns of texts and of tags, brought to lists, to a label indicator and back."""

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Set
from itertools import chain, pairwise
from numbers import Integral

import numpy as np
import scipy.sparse as sp

# Where one word of a name ends and the next begins: parse_args, parseArgs, HTTPError.
WORD_BREAK = re.compile(r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_ROW_TYPES = (list, tuple, set, frozenset, np.ndarray)


def as_list(column, name):
    """Return a column of values as a list.

    Parameters
    ----------
    column : sequence of shape (n_samples,)
        List, tuple, ndarray, or column of pandas, polars or pyarrow.
    name : str
        What to call it in errors.

    Returns
    -------
    values : list

    Raises
    ------
    TypeError
        If it is a single text, has no order, or can be read only once.
    ValueError
        If it has two dimensions.
    """
    if isinstance(column, str | bytes):
        raise TypeError(f"{name} is a single text, {column[:40]!r}; pass a list.")
    if isinstance(column, Mapping | Set):
        raise TypeError(
            f"{name} is a {type(column).__name__}, which has no rows in order; pass a "
            "list."
        )
    shape = getattr(column, "shape", (0,))
    if len(shape) != 1:
        raise ValueError(
            f"{name} has the shape {tuple(shape)}, but one column is expected; pass "
            "one column, or a list."
        )
    if not hasattr(column, "__len__"):
        raise TypeError(
            f"{name} is a {type(column).__name__}, which can be read only once or not "
            f"at all; pass list({name})."
        )
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, method):
            return getattr(column, method)()
    return list(column)


def check_texts(texts):
    """Return a column of texts as a list of str, or say which row is none."""
    texts = as_list(texts, "texts")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"texts[{row}] is {text!r} of type {type(text).__name__}, not a str; "
                "leave the row out, or pass '' for an empty text."
            )
    return texts


def read_tags(tags):
    """Bring tags to one list of names a row.

    Parameters
    ----------
    tags : sequence of shape (n_samples,)
        One list, tuple, set or array of names a row, or one name a row. Names are
        all str or all int.

    Returns
    -------
    rows : list of lists
        The names of each row.
    is_single : bool
        Whether each row is one name rather than a list of names.

    Raises
    ------
    TypeError
        If only some rows are lists, or a name is neither str nor int, or names are of
        both types.
    """
    tags = as_list(tags, "tags")
    is_list = [isinstance(row, _ROW_TYPES) for row in tags]
    is_single = not any(is_list)
    if not is_single and not all(is_list):
        row = is_list.index(False)
        raise TypeError(
            f"tags[{row}] is {tags[row]!r} of type {type(tags[row]).__name__}, but "
            "other rows are lists of names; pass a list there too, which may be empty."
        )
    rows = [[row] for row in tags] if is_single else [list(row) for row in tags]
    _check_names(rows)
    return rows, is_single


def learn_names(rows, min_count):
    """Return the names that occur in enough rows, sorted, as an array.

    Parameters
    ----------
    rows : list of lists
        Names of each row; a name that is repeated in a row counts once.
    min_count : int
        Rows that a name must occur in.

    Returns
    -------
    names : ndarray of shape (n_labels,)
        Of int64 or, for str, of objects.

    Raises
    ------
    ValueError
        If there is none.
    """
    counts = Counter(chain.from_iterable(map(set, rows)))
    names = sorted(name for name, count in counts.items() if count >= min_count)
    if not names:
        most = max(counts.values(), default=0)
        raise ValueError(
            f"No tag occurs in min_label_count={min_count} rows: there are "
            f"{len(counts)} tags, the most frequent in {most} of {len(rows)} rows; "
            "lower min_label_count or pass rows with tags."
        )
    return np.array(names, dtype=object if isinstance(names[0], str) else np.int64)


def encode_tags(rows, names):
    """Make a label indicator of names; those that have no column are left out.

    Parameters
    ----------
    rows : list of lists
        Names of each row.
    names : ndarray of shape (n_labels,)
        The name of each column.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_labels), int8
    """
    columns = {name: column for column, name in enumerate(names.tolist())}
    found = [sorted({columns[tag] for tag in row if tag in columns}) for row in rows]
    indptr = np.cumsum([0, *map(len, found)])
    indices = np.fromiter(chain.from_iterable(found), np.int32, indptr[-1])
    ones = np.ones(len(indices), dtype=np.int8)
    return sp.csr_array((ones, indices, indptr), shape=(len(rows), len(names)))


def decode_tags(Y, names):
    """Return the names of each row of a CSR indicator as a list of tuples."""
    tags = names[Y.indices].tolist()
    return [tuple(tags[a:b]) for a, b in pairwise(Y.indptr.tolist())]


def encode_known_tags(tags, names):
    """Make a label indicator for a score, and warn of tags that are none of the names.

    Parameters
    ----------
    tags : sequence of shape (n_samples,)
        As for `read_tags`.
    names : ndarray of shape (n_labels,)
        The name of each column.

    Returns
    -------
    Y : csr_array of shape (n_samples, n_labels), int8
    """
    rows = read_tags(tags)[0]
    message = unknown_tags_message(rows, names)
    if message:
        warnings.warn(message, UserWarning, stacklevel=3)
    return encode_tags(rows, names)


def holds_names(y):
    """Tell whether y has a collection of str for each row, as no indicator has."""
    is_numeric = isinstance(y, np.ndarray) and y.dtype.kind != "O"
    if is_numeric or len(getattr(y, "shape", (0,))) != 1:
        return False
    rows = [row for row in as_list(y, "y") if isinstance(row, _ROW_TYPES)]
    return any(isinstance(name, str) for row in rows for name in row)


def unknown_tags_message(rows, names):
    """Say how many tags in the rows are none of the names; None if there are none."""
    unknown = set(chain.from_iterable(rows)).difference(names.tolist())
    if not unknown:
        return None
    n_lost = sum(bool(row) and unknown.issuperset(row) for row in rows)
    return (
        f"Tags that the model does not know: {len(unknown)}, such as "
        f"{min(unknown)!r}. They are left out; {n_lost} of {len(rows)} rows have no "
        "others and count as misses."
    )


def texts_of(names, label_texts):
    """Return what labels are described by.

    Parameters
    ----------
    names : ndarray of shape (n_labels,)
        Names of the labels.
    label_texts : "names" or dict
        See `XMCTextClassifier`.

    Returns
    -------
    texts : list of str, length n_labels
        The text of the dict or, where it has none, the words of the name.
    """
    given = {} if label_texts == "names" else label_texts
    words = [" ".join(WORD_BREAK.split(str(name))).strip() for name in names]
    return [given.get(*pair) for pair in zip(names.tolist(), words, strict=True)]


def _check_names(rows):
    try:
        kinds = set(map(_kind_of, set(chain.from_iterable(rows))))
    except TypeError:  # a list cannot be hashed
        kinds = {None}
    if kinds <= {str} or kinds <= {int}:
        return
    first = next(_kind_of(name) for row in rows for name in row)
    for number, row in enumerate(rows):
        for name in row:
            if _kind_of(name) is None or _kind_of(name) is not first:
                raise TypeError(
                    f"tags[{number}] holds {name!r} of type {type(name).__name__}; "
                    "names of tags must be str, or int, and all of one type."
                )


def _kind_of(name):
    if isinstance(name, str):
        return str
    return int if isinstance(name, Integral) and not isinstance(name, bool) else None
