"""What the attributes of a stored object have to be, in a line each."""

import re

import numpy as np
import scipy.sparse as sp

from skxmc.exceptions import CorruptFileError

_ARRAY = re.compile(r"([\w/]+)\[([\w+, ]*)\]")
_PLAIN = {"none": type(None), "bool": bool, "int": int, "float": float, "str": str}
# These sizes are the same everywhere in a model, others within one object.
_GLOBAL = {"n_features", "n_labels"}


def check_fields(fields, state, sizes, path):
    """Check the attributes of an object.

    Parameters
    ----------
    fields : dict of str to str
        For each attribute the alternatives that it may be, joined by `` | ``. A name
        that ends with "?" may be missing. An alternative is

        - ``none``, ``bool``, ``int``, ``float``, ``str``, ``dict``, ``plain`` (any of
          these, and sequences and dicts of them),
        - ``size n``: an int, the size that the name `n` stands for,
        - ``float32[n, m + 1]``: an array of that dtype, or of one of several
          (``int8/float16``, ``any``); of sizes that are numbers or names,
        - ``csr[n, m]`` or ``csc[n, m]``: a sparse matrix or array,
        - ``StoredRows[n, m]``: numbers in fewer bits,
        - ``list X`` or ``tuple X``: a sequence of one alternative X,
        - ``dtype``, or the name of a class, or of several: ``A/B``.
    state : dict of str to object
        The attributes.
    sizes : dict of str to int
        Sizes that are known for the whole model; new ones are added.
    path : str
        Where the object is, for errors.

    Raises
    ------
    CorruptFileError
        If an attribute is missing, unknown, or something else.
    """
    if state.keys() == {"params"} and "params" in fields:
        fields = {"params": fields["params"]}  # an estimator that is not fitted
    names = {name.rstrip("?") for name in fields}
    needed = {name for name in fields if not name.endswith("?")}
    if not needed <= state.keys() <= names:
        raise CorruptFileError(
            f"{path} has the attributes {sorted(state)}, not {sorted(names)}."
        )
    own: dict[str, int] = {}
    for name, text in fields.items():
        name = name.rstrip("?")
        if name in state and not _is_one_of(state[name], text.split("|"), own, sizes):
            raise CorruptFileError(
                f"{path}.{name} is {_describe(state[name])}, not {text}, where "
                f"{own | sizes}."
            )


def _is_one_of(value, texts, own, sizes):
    for text in texts:
        tried = dict(own), dict(sizes)  # what is no alternative leaves no sizes behind
        if _is(value, text.strip(), *tried):
            own.update(tried[0])
            sizes.update(tried[1])
            return True
    return False


def _is(value, text, own, sizes):
    head, _, rest = text.partition(" ")
    if head in ("list", "tuple") and rest:
        sequence = {"list": list, "tuple": tuple}[head]
        return type(value) is sequence and all(_is(v, rest, own, sizes) for v in value)
    if head == "size":
        return type(value) is int and _fits([value], [rest], own, sizes)
    if text == "plain":
        return _is_plain(value)
    if text == "dict":
        return type(value) is dict
    if text == "dtype":
        return isinstance(value, np.dtype)
    if text in _PLAIN:
        return type(value) is _PLAIN[text]
    match = _ARRAY.fullmatch(text)
    if not match:
        return type(value).__name__ in text.split("/")
    kind, shape = match[1], [size.strip() for size in match[2].split(",") if size]
    if kind in ("csr", "csc"):
        is_kind = sp.issparse(value) and value.format == kind
    elif kind == "StoredRows":
        is_kind = type(value).__name__ == kind
    else:
        names = kind.split("/")
        is_kind = isinstance(value, np.ndarray) and (
            names == ["any"] or value.dtype.name in names
        )
    return is_kind and _fits(value.shape, shape, own, sizes)


def _is_plain(value):
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def _fits(shape, wanted, own, sizes):
    """Whether a shape is the wanted one; new names take its sizes."""
    if len(shape) != len(wanted):
        return False
    for size, text in zip(shape, wanted, strict=True):
        name, _, more = (part.strip() for part in text.partition("+"))
        size = int(size) - int(more or 0)
        if name.isdigit():
            known = int(name)
        else:
            known = (sizes if name in _GLOBAL else own).setdefault(name, size)
        if size != known:
            return False
    return True


def _describe(value):
    if isinstance(value, np.ndarray) or sp.issparse(value):
        return f"{type(value).__name__} of {value.dtype} and shape {value.shape}"
    return repr(value)[:80]
