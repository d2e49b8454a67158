"""Objects as a tree of JSON with arrays beside it, and back, by a closed table.

A node of the tree is a plain value, a list, or an object with the key ``"$"``, which
says what it stands for: an array, a sparse matrix, or an instance of a class in the
table of `skxmc._model_kinds`. Nothing else can come out of a file: no name in it is
ever imported or looked up anywhere but in the table.
"""

import math
import re
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from skxmc._model_fields import check_fields
from skxmc._model_kinds import TABLE
from skxmc.exceptions import CorruptFileError

_SPARSE = {
    kind.__name__: kind
    for kind in (sp.csr_array, sp.csc_array, sp.csr_matrix, sp.csc_matrix)
}
_DTYPE = re.compile(r"bool|object|[<|>]?U\d{1,4}|u?int(8|16|32|64)|float(16|32|64)")
_MAX_DEPTH = 40
_KEYS = {str, int}  # types of the keys of a dict
# What comes of nodes that `encode` does not make; decoded, they would be nonsense.
_WRONG = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
# An array of texts, all as wide as its widest, may be so many times what a file has.
_MAX_WIDENING = 256


def encode(value):
    """Turn an object into a tree and its arrays.

    Returns
    -------
    node : object
        What `json.dumps` takes.
    arrays : dict of str to ndarray
        The arrays, named after where they were found first.

    Raises
    ------
    TypeError
        If there is something in it that cannot be stored.
    """
    encoder = _Encoder()
    return encoder.encode(value, ""), encoder.arrays


class _Encoder:
    def __init__(self):
        self.arrays: dict[str, np.ndarray] = {}
        self.names: dict[int, str] = {}  # of arrays, by id
        self.numbers: dict[int, int] = {}  # of objects, by id
        self.kept = []  # what an id belongs to must not be freed

    def encode(self, value, path):
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$": "float", "is": str(value)}
        if isinstance(value, np.dtype):
            return {"$": "dtype", "name": _dtype_name(value, path)}
        if isinstance(value, np.ndarray):
            return self.encode_array(value, path)
        if sp.issparse(value):
            return self.encode_sparse(value, path)
        kind = TABLE.get(type(value).__name__)
        if kind is not None and kind.cls is type(value):
            return self.encode_instance(value, kind, path)
        if isinstance(value, dict) and _KEYS.issuperset(map(_key_type, value)):
            items = [
                (_plain_key(k), self.encode(v, _below(path, k)))
                for k, v in value.items()
            ]
            if all(type(key) is str for key, _ in items):
                return {"$": "dict", "items": dict(items)}
            return {"$": "pairs", "items": [*map(list, items)]}
        if isinstance(value, (list, tuple)):
            parts = [self.encode(v, _below(path, i)) for i, v in enumerate(value)]
            return {"$": "tuple", "items": parts} if type(value) is tuple else parts
        raise TypeError(f"{path}={value!r} is a {type(value).__name__}")

    def encode_instance(self, value, kind, path):
        if id(value) in self.numbers:
            return {"$": "same", "number": self.numbers[id(value)]}
        number = self.numbers[id(value)] = len(self.numbers)
        self.kept.append(value)
        state = kind.get(value)
        unknown = state.keys() - {name.rstrip("?") for name in kind.fields}
        if unknown:
            raise TypeError(f"{path} has attributes that are unknown: {unknown}")
        state = {k: self.encode(v, _below(path, k)) for k, v in state.items()}
        name = kind.cls.__name__
        return {"$": "object", "class": name, "number": number, "state": state}

    def encode_array(self, value, path):
        if value.dtype.kind in "OU":
            return self.encode_texts(value, path)
        if value.dtype.kind not in "biuf":
            raise TypeError(f"{path} is an array of {value.dtype}")
        if id(value) not in self.names:
            self.names[id(value)] = path
            self.kept.append(value)
            self.arrays[path] = value
        return {"$": "array", "name": self.names[id(value)]}

    def encode_texts(self, value, path):
        if value.ndim != 1 or not all(isinstance(text, str) for text in value):
            raise TypeError(f"{path} is an array of objects, not only of str")
        encoded = [text.encode() for text in value]
        if _is_too_wide(value.dtype, encoded):
            raise TypeError(f"{path} is an array of {value.dtype}, of short texts")
        self.arrays[path] = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        self.arrays[_below(path, "ends")] = ends
        return {"$": "texts", "name": path, "dtype": _dtype_name(value.dtype, path)}

    def encode_sparse(self, value, path):
        name = type(value).__name__
        if name not in _SPARSE:
            value, name = value.tocsr(), "csr_array"
        parts = {
            part: self.encode_array(getattr(value, part), _below(path, part))["name"]
            for part in ("data", "indices", "indptr")
        }
        return {"$": "sparse", "class": name, "shape": list(value.shape), **parts}


def decode(node, arrays):
    """Turn a tree and its arrays back into the object.

    Raises
    ------
    CorruptFileError
        If it is not a tree that `encode` makes of an instance in the table.
    """
    return _Decoder(arrays).decode(node, "", 0)


class _Decoder:
    def __init__(self, arrays):
        self.arrays, self.instances, self.sizes = arrays, {}, {}

    def decode(self, node, path, depth):
        if depth > _MAX_DEPTH:
            raise CorruptFileError(f"{path} is nested deeper than {_MAX_DEPTH} levels.")
        if isinstance(node, list):
            return [
                self.decode(part, _below(path, i), depth + 1)
                for i, part in enumerate(node)
            ]
        if not isinstance(node, dict):
            return node
        kind = node.get("$")
        method = _METHODS.get(kind) if isinstance(kind, str) else None
        if method is None:
            raise CorruptFileError(f"{path} is of the unknown kind {kind!r}.")
        try:
            return method(self, node, path, depth)
        except CorruptFileError:
            raise
        except _WRONG as err:
            what = path or "the model"
            raise CorruptFileError(f"{what} is malformed: {err!r}.") from err

    def decode_float(self, node, path, depth):
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[node["is"]]

    def decode_dtype(self, node, path, depth):
        if not _DTYPE.fullmatch(node["name"]):
            raise CorruptFileError(f"{path} has the unknown dtype {node['name']!r}.")
        return np.dtype(node["name"])

    def decode_tuple(self, node, path, depth):
        return tuple(self.decode(list(node["items"]), path, depth))

    def decode_dict(self, node, path, depth):
        return {
            key: self.decode(value, _below(path, key), depth + 1)
            for key, value in node["items"].items()
        }

    def decode_pairs(self, node, path, depth):
        if not all(type(key) in _KEYS for key, _ in node["items"]):
            raise CorruptFileError(f"{path} has keys that are neither str nor int.")
        return {
            key: self.decode(value, _below(path, key), depth + 1)
            for key, value in node["items"]
        }

    def decode_array(self, node, path, depth):
        return self.arrays[node["name"]]

    def decode_texts(self, node, path, depth):
        bytes_, ends = self.arrays[node["name"]], self.arrays[node["name"] + ".ends"]
        if not _is_partition(ends, len(bytes_)):
            raise CorruptFileError(f"{path} has texts that do not follow each other.")
        data = bytes_.tobytes()
        texts = [data[i:j].decode() for i, j in pairwise(ends)]
        dtype = self.decode_dtype({"name": node["dtype"]}, path, depth)
        if dtype.kind not in "OU":
            raise CorruptFileError(f"{path} has texts of dtype {dtype}.")
        if _is_too_wide(dtype, texts):
            raise CorruptFileError(f"{path} has short texts of dtype {dtype}.")
        return np.array(texts, dtype=dtype)

    def decode_sparse(self, node, path, depth):
        kind = _SPARSE[node["class"]]
        data, indices, indptr = (
            self.arrays[node[part]] for part in ("data", "indices", "indptr")
        )
        n_rows, n_columns = map(_size, node["shape"])
        n_major, n_minor = n_rows, n_columns
        if kind in (sp.csc_array, sp.csc_matrix):
            n_major, n_minor = n_columns, n_rows
        # Native code follows these numbers without looking at them again.
        if (
            len(indptr) != n_major + 1
            or not _is_partition(indptr, len(indices))
            or indices.dtype not in (np.int32, np.int64)
            or len(data) != len(indices)
            or (len(indices) and not 0 <= indices.min() <= indices.max() < n_minor)
        ):
            raise CorruptFileError(f"{path} is no valid sparse matrix.")
        return kind((data, indices, indptr), shape=(n_rows, n_columns), copy=False)

    def decode_object(self, node, path, depth):
        name = node["class"]
        kind = TABLE.get(name) if isinstance(name, str) else None
        if kind is None:
            raise CorruptFileError(f"{path} is of the unknown class {name!r}.")
        state = {
            key: self.decode_attribute(key, value, path, depth)
            for key, value in node["state"].items()
        }
        check_fields(kind.fields, state, self.sizes, path or node["class"])
        for size, value in kind.sizes(state).items():
            if self.sizes.setdefault(size, value) != value:
                raise CorruptFileError(
                    f"{path or node['class']} needs {size} = {value}, not "
                    f"{self.sizes[size]}."
                )
        instance = kind.restore(kind.cls, state)
        self.instances[node["number"]] = instance
        return instance

    def decode_attribute(self, name, node, path, depth):
        sizes = self.sizes
        if name == "params":  # an estimator among them has its own features and labels
            self.sizes = {}
        value = self.decode(node, _below(path, name), depth + 1)
        self.sizes = sizes
        return value

    def decode_same(self, node, path, depth):
        return self.instances[node["number"]]


_METHODS = {
    name: getattr(_Decoder, f"decode_{name}")
    for name in (
        "float",
        "dtype",
        "tuple",
        "dict",
        "pairs",
        "array",
        "texts",
        "sparse",
        "object",
        "same",
    )
}


def _plain_key(key):
    return key.item() if isinstance(key, np.generic) else key


def _key_type(key):
    return type(_plain_key(key))


def _below(path, name):
    return f"{path}.{name}" if path else str(name)


def _size(value):
    if type(value) is not int or not 0 <= value < 2**63:
        raise CorruptFileError(f"{value!r} is no size.")
    return value


def _is_partition(ends, total):
    """Whether whole numbers rise from 0 to a total."""
    return (
        ends.ndim == 1
        and ends.dtype in (np.int32, np.int64)
        and len(ends) > 0
        and ends[0] == 0
        and ends[-1] == total
        and bool((ends[1:] >= ends[:-1]).all())
    )


def _is_too_wide(dtype, texts):
    """Whether texts of a dtype take so much that a small file could fill the memory."""
    stored = sum(map(len, texts)) + 8 * len(texts)
    return len(texts) * dtype.itemsize > _MAX_WIDENING * stored


def _dtype_name(dtype, path):
    name = dtype.str if dtype.kind == "U" else dtype.name
    if not _DTYPE.fullmatch(name):
        raise TypeError(f"{path} has the dtype {dtype}")
    return name
