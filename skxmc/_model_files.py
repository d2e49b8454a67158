"""Fitted estimators in files: JSON and safetensors in an archive, and no code.

A model file is a ZIP archive of two members that are stored as they are, not packed:
``config.json``, the tree of `skxmc._model_tree`, and ``arrays.safetensors``. The
comment of the archive is the SHA-256 digest of all bytes before it.
"""

import hashlib
import json
import os
import re
import secrets
import struct
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import scipy
import sklearn
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skxmc._model_tree import TABLE, decode, encode
from skxmc._safetensors import MAX_HEADER, parse_json, read_arrays, write_arrays
from skxmc._version import __version__
from skxmc.exceptions import CorruptFileError, FormatVersionError

FORMAT, FORMAT_VERSION = "skxmc-model", 1
_CONFIG, _ARRAYS = "config.json", "arrays.safetensors"
_COMMENT = re.compile(rb"sha256:([0-9a-f]{64})")
_COMMENT_LENGTH = 7 + 64
_END_LENGTH = 22  # of the archive's last record, without the comment
_DATE = (1980, 1, 1, 0, 0, 0)  # the same model is the same file
_ALIGNMENT = 64
_BLOCK = 2**20
_BINARY = getattr(os, "O_BINARY", 0)  # Windows translates line ends without it


def save(estimator, path):
    """Write a fitted estimator to a file; see `BaseXMCClassifier.save`."""
    try:
        model, arrays = encode(estimator)
    except TypeError as error:
        what = str(error).removeprefix("params.")
        raise ValueError(
            f"{what}, which a model file cannot hold; pickle the model instead, and "
            "open pickles of your own only."
        ) from error
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": _versions(),
        "model": model,
    }
    text = json.dumps(config, allow_nan=False, ensure_ascii=False).encode()
    if len(text) > MAX_HEADER:
        raise ValueError(
            f"The model's description takes {len(text)} bytes, more than the "
            f"{MAX_HEADER} that `load` reads; pickle the model instead."
        )
    with _replaced(Path(path)) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(_CONFIG, _DATE), text)
            with archive.open(_aligned_member(file), "w", force_zip64=True) as member:
                write_arrays(member, arrays)
        return _append_digest(file)


def read_model(path, *, mmap, expected_sha256, max_bytes):
    """Read what `save` has written; see `skxmc.load`."""
    path = Path(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if max_bytes is not None and size > max_bytes:
            raise ValueError(f"{path} has {size} bytes, but max_bytes={max_bytes}.")
        try:
            digest = _check_frame(file, size)
            if not mmap or expected_sha256 is not None:
                _check_digest(file, size, digest, expected_sha256)
            config, start, length = _open_members(file, size)
            arrays = read_arrays(path, file, start, length, mmap=mmap)
            return _build(config, arrays)
        except (CorruptFileError, zipfile.BadZipFile, NotImplementedError) as error:
            raise CorruptFileError(f"{path} cannot be loaded: {error}") from error


def _build(config, arrays):
    node = config.get("model")
    name = node.get("class") if isinstance(node, dict) else None
    kind = TABLE.get(name) if isinstance(name, str) else None
    if kind is None or not hasattr(kind.cls, "predict"):
        raise CorruptFileError(f"its model is of the class {name!r}, no estimator.")
    model = decode(node, arrays)
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise CorruptFileError(f"its {name} is not fitted.") from error
    return model


def _versions():
    return {
        "skxmc": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }


@contextmanager
def _replaced(path):
    """Give a new file, and put it in the place of `path` once it is complete."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file to save to.")
    name = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    # Exclusively, so that no link that lies there is followed.
    handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException as error:
        name.unlink(missing_ok=True)
        # A full disk does not say of which file.
        if isinstance(error, OSError) and error.errno is not None:
            error.filename = str(path)
        raise


def _aligned_member(file):
    """Describe the member of arrays, so that it begins at a multiple of 64 bytes."""
    info = zipfile.ZipInfo(_ARRAYS, _DATE)
    zip64 = 20  # bytes that `force_zip64` adds
    start = file.tell() + 30 + len(_ARRAYS) + zip64 + 4
    missing = -start % _ALIGNMENT
    info.extra = struct.pack("<HH", 0xFFFF, missing) + bytes(missing)
    return info


def _append_digest(file):
    """Hash all bytes but the length of the comment, and make that the comment."""
    file.seek(0, os.SEEK_END)
    end = file.tell() - 2
    digest = _digest(file, end)
    file.seek(end)
    comment = b"sha256:" + digest.encode()
    file.write(struct.pack("<H", len(comment)) + comment)
    return digest


def _digest(file, length):
    file.seek(0)
    found, left = hashlib.sha256(), length
    while left:
        block = file.read(min(_BLOCK, left))
        if not block:
            raise CorruptFileError("it ends before its end.")
        found.update(block)
        left -= len(block)
    return found.hexdigest()


def _check_frame(file, size):
    """Check how a file begins and ends; return the digest that it claims to have."""
    start = file.read(4)
    if start != b"PK\x03\x04":
        raise CorruptFileError(
            "it is not a model file of skxmc, see `save`. Pickles are never opened."
        )
    if size < _END_LENGTH + _COMMENT_LENGTH:
        raise CorruptFileError("it is too short.")
    file.seek(-_END_LENGTH - _COMMENT_LENGTH, os.SEEK_END)
    end = file.read()
    n_members = struct.unpack("<HH", end[8:12])
    length = struct.unpack("<H", end[20:22])[0]
    match = _COMMENT.fullmatch(end[_END_LENGTH:])
    if end[:4] != b"PK\x05\x06" or (*n_members, length) != (2, 2, _COMMENT_LENGTH):
        match = None
    if match is None:
        raise CorruptFileError(
            "its end is missing, or it is another ZIP archive than `save` makes."
        )
    return match[1].decode()


def _check_digest(file, size, digest, expected):
    if expected is not None and expected.lower() != digest:
        raise CorruptFileError(
            f"its SHA-256 digest is {digest}, but expected_sha256={expected!r}."
        )
    found = _digest(file, size - _COMMENT_LENGTH - 2)
    if found != digest:
        raise CorruptFileError(
            f"it is damaged: its SHA-256 digest is {found}, it was {digest}."
        )


def _open_members(file, size):
    """Return the configuration, and where the arrays begin and how long they are."""
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if [info.filename for info in infos] != [_CONFIG, _ARRAYS]:
            names = [info.filename for info in infos]
            raise CorruptFileError(f"it has the members {names}.")
        for info in infos:
            _check_member(info, size)
        if infos[0].file_size > MAX_HEADER:
            raise CorruptFileError(f"{_CONFIG} has {infos[0].file_size} bytes.")
        text = archive.read(infos[0])
        with archive.open(infos[1]):  # zipfile compares the name at the start of it
            pass
        file.seek(infos[1].header_offset)
        header = file.read(30)
        lengths = struct.unpack("<HH", header[26:30])
        start = infos[1].header_offset + len(header) + sum(lengths)
    if start + infos[1].file_size > size:
        raise CorruptFileError(f"{_ARRAYS} ends after the end of the file.")
    return _check_config(text), start, infos[1].file_size


def _check_member(info, size):
    if (
        info.compress_type != zipfile.ZIP_STORED
        or info.flag_bits & 0x1
        or info.file_size != info.compress_size
        or info.file_size > size
    ):
        raise CorruptFileError(
            f"its member {info.filename} is packed, encrypted, or larger than the file."
        )


def _check_config(text):
    config = parse_json(text)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CorruptFileError(f"its {_CONFIG} is not that of a model.")
    version = config.get("format_version")
    if type(version) is not int or version < 1:
        raise CorruptFileError(f"its format_version is {version!r}.")
    if version > FORMAT_VERSION:
        versions = config.get("versions")
        writer = versions.get("skxmc") if isinstance(versions, dict) else None
        raise FormatVersionError(
            f"It was written in format {version}, by skxmc {writer}; this skxmc reads "
            f"formats up to {FORMAT_VERSION}. Install a newer skxmc."
        )
    return config
