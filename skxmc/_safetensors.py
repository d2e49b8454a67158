"""The safetensors format: arrays written one by one, and read in place.

``8 bytes: length of the header | header in JSON | the arrays, one after the other``.
The safetensors package itself writes no stream, and maps no part of a file.
"""

import json
import math
import struct

import numpy as np

from skxmc.exceptions import CorruptFileError

# Bytes of JSON, and arrays, beyond which reading takes long.
MAX_HEADER, MAX_ARRAYS = 2**20, 10_000
_NAMES = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "I8": np.int8,
    "U16": np.uint16,
    "I16": np.int16,
    "F16": np.float16,
    "U32": np.uint32,
    "I32": np.int32,
    "F32": np.float32,
    "U64": np.uint64,
    "I64": np.int64,
    "F64": np.float64,
}
_CODES = {np.dtype(dtype): name for name, dtype in _NAMES.items()}
_BLOCK_ENTRIES = 2**22
_ALIGNMENT = 64


def write_arrays(file, arrays):
    """Write arrays to a stream.

    Parameters
    ----------
    file : binary file
        Where to.
    arrays : dict of str to ndarray
        In any order of memory and of bytes.
    """
    # Large items first: each array then begins at a multiple of its item's size.
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header, end = {}, 0
    for name in names:
        array = arrays[name]
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _CODES[array.dtype.newbyteorder("=")],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % 64)
    if len(text) > MAX_HEADER or len(arrays) > MAX_ARRAYS:
        raise ValueError(
            f"{len(arrays)} arrays with a header of {len(text)} bytes are more than "
            f"the {MAX_ARRAYS} arrays and {MAX_HEADER} bytes that `load` reads."
        )
    file.write(struct.pack("<Q", len(text)) + text)
    for name in names:
        little = arrays[name].dtype.newbyteorder("<")
        data = np.ascontiguousarray(arrays[name], dtype=little)
        if data.nbytes:
            file.write(data.reshape(-1).view(np.uint8).data)


def read_arrays(file, start, length, *, mmap):
    """Read the arrays of a part of a file, after checking where each lies.

    Parameters
    ----------
    file : binary file
        Where from.
    start, length : int
        Where the part begins, and its bytes; it lies within the file.
    mmap : bool
        Whether to map the file into memory instead of reading it. What is written to
        the arrays then stays in this process.

    Returns
    -------
    arrays : dict of str to ndarray

    Raises
    ------
    CorruptFileError
        If it is not in the format, or numbers in it are not finite (which is not looked
        at with `mmap`).
    """
    file.seek(start)
    prefix = file.read(8)
    size = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else MAX_HEADER + 1
    if not size <= min(MAX_HEADER, length - 8):
        raise CorruptFileError(f"the header of its arrays has {size} bytes.")
    header = parse_json(file.read(size))
    places = _check_header(header, length - 8 - size)
    if mmap:
        data = np.asarray(
            np.memmap(file, mode="c", offset=start, shape=(length,), dtype=np.uint8)
        )
    else:
        data = _aligned(length)
        file.seek(start)
        if file.readinto(memoryview(data)) != length:
            raise CorruptFileError("it ends before its end.")
    arrays = {
        name: data[8 + size + first : 8 + size + last].view(dtype).reshape(shape)
        for name, (dtype, shape, first, last) in places.items()
    }
    if not mmap:
        for name, array in arrays.items():
            _check_finite(name, array)
    return arrays


def _aligned(length):
    """Return memory in which arrays begin where their items are aligned."""
    memory = np.empty(length + _ALIGNMENT, dtype=np.uint8)
    return memory[-memory.ctypes.data % _ALIGNMENT :][:length]


def _check_header(header, n_bytes):
    """Return dtype, shape, first and last byte of each array, which leave no gaps."""
    if not isinstance(header, dict) or len(header) > MAX_ARRAYS:
        raise CorruptFileError("the header of its arrays is none.")
    places, ends = {}, [0]
    for name, entry in header.items():
        place = _place(entry)
        if place is None:
            raise CorruptFileError(f"its array {name!r} is described by {entry!r}.")
        places[name] = place
    for _, _, first, last in sorted(places.values(), key=lambda place: place[2:]):
        if first != ends[-1]:
            raise CorruptFileError("its arrays overlap, or leave gaps.")
        ends.append(last)
    if ends[-1] != n_bytes:
        raise CorruptFileError(f"its arrays take {ends[-1]} bytes of {n_bytes}.")
    return places


def _place(entry):
    """Return where an array lies by its entry in the header, None if it is wrong."""
    if not isinstance(entry, dict) or entry.keys() != {
        "dtype",
        "shape",
        "data_offsets",
    }:
        return None
    dtype = _NAMES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    shape, offsets = entry["shape"], entry["data_offsets"]
    if dtype is None or not (_are_sizes(shape) and _are_sizes(offsets)):
        return None
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if len(shape) > 3 or len(offsets) != 2 or offsets[1] - offsets[0] != n_bytes:
        return None
    # The shape of an array without entries may still have sizes that overflow.
    if math.prod(max(size, 1) for size in shape) >= 2**62:
        return None
    return np.dtype(dtype).newbyteorder("<"), tuple(shape), *offsets


def _are_sizes(values):
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value < 2**62 for value in values
    )


def _check_finite(name, array):
    if array.dtype.kind != "f":
        return
    flat = array.reshape(-1)
    for start in range(0, len(flat), _BLOCK_ENTRIES):
        if not np.isfinite(flat[start : start + _BLOCK_ENTRIES]).all():
            raise CorruptFileError(
                f"its array {name!r} has numbers that are not finite."
            )


def parse_json(text):
    """Parse JSON strictly: no NaN, no repeated keys, no deep nesting, UTF-8.

    Raises
    ------
    CorruptFileError
        If it is anything else.
    """
    try:
        return json.loads(
            text.decode("utf-8"),
            parse_constant=_refuse,
            parse_int=_whole,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(f"its JSON cannot be read: {error}") from error


def _refuse(text):
    raise ValueError(f"{text} is no number of JSON")


def _whole(text):
    if len(text) > 20:
        raise ValueError("a number has more than 64 bits")
    return int(text)


def _unique(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found
