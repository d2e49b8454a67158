"""Archives of JSON and safetensors: what model files and checkpoints are.

An archive is a ZIP file of two members that are stored as they are, not packed:
``config.json``, which names the format, and ``arrays.safetensors``. The comment of the
archive is the SHA-256 digest of all bytes before it.
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
from typing import NamedTuple

import numpy as np
import scipy
import sklearn

from skxmc._safetensors import parse_json, read_arrays, write_arrays
from skxmc._version import __version__
from skxmc.exceptions import CorruptFileError, FormatVersionError

_CONFIG, _ARRAYS = "config.json", "arrays.safetensors"
_COMMENT = re.compile(rb"sha256:([0-9a-f]{64})")
_COMMENT_LENGTH = 7 + 64
_END_LENGTH = 22  # of the archive's last record, without the comment
_DATE = (1980, 1, 1, 0, 0, 0)  # the same content is the same file
_ALIGNMENT = 64
_BLOCK = 2**20
# Bytes of a description, which holds the parameters: texts of labels, vocabularies.
MAX_DESCRIPTION = 2**24
_BINARY = getattr(os, "O_BINARY", 0)  # Windows translates line ends without it


class Format(NamedTuple):
    """What an archive holds: a name, a version, and how errors call it."""

    name: str
    version: int
    what: str


def write_archive(path, form, content, arrays):
    """Write an archive in the place of a file, once it is complete.

    Parameters
    ----------
    path : path-like
        The file.
    form : Format
    content : dict
        What `json.dumps` takes; a part of ``config.json``.
    arrays : dict of str to ndarray

    Returns
    -------
    digest : str
        SHA-256 of the file.

    Raises
    ------
    ValueError
        If the content is more than `read_archive` reads.
    """
    config = {
        "format": form.name,
        "format_version": form.version,
        "versions": _versions(),
        **content,
    }
    text = json.dumps(config, allow_nan=False, ensure_ascii=False).encode()
    if len(text) > MAX_DESCRIPTION:
        raise ValueError(
            f"The description takes {len(text)} bytes, more than the "
            f"{MAX_DESCRIPTION} that are read again."
        )
    with _replaced(Path(path)) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(_CONFIG, _DATE), text)
            with archive.open(_aligned_member(file), "w", force_zip64=True) as member:
                write_arrays(member, arrays)
        return _append_digest(file)


def read_archive(
    path, form, build, *, mmap=False, expected_sha256=None, max_bytes=None
):
    """Read what `write_archive` has written, as `build(config, arrays)`.

    Raises
    ------
    CorruptFileError
        If the file is damaged, of another format, or `build` says so.
    FormatVersionError
        If its version is higher.
    ValueError
        If it is larger than `max_bytes`.
    """
    path = Path(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if max_bytes is not None and size > max_bytes:
            raise ValueError(f"{path} has {size} bytes, but max_bytes={max_bytes}.")
        try:
            digest = _check_frame(file, size, form)
            if not mmap or expected_sha256 is not None:
                _check_digest(file, size, digest, expected_sha256)
            config, start, length = _open_members(file, size, form)
            arrays = read_arrays(file, start, length, mmap=mmap)
            return build(config, arrays)
        except (CorruptFileError, zipfile.BadZipFile, NotImplementedError) as error:
            raise CorruptFileError(f"{path} cannot be loaded: {error}") from error


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


def _check_frame(file, size, form):
    """Check how a file begins and ends; return the digest that it claims to have."""
    start = file.read(4)
    if start != b"PK\x03\x04":
        raise CorruptFileError(f"it is not {form.what}. Pickles are never opened.")
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


def _open_members(file, size, form):
    """Return the configuration, and where the arrays begin and how long they are."""
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if [info.filename for info in infos] != [_CONFIG, _ARRAYS]:
            names = [info.filename for info in infos]
            raise CorruptFileError(f"it has the members {names}.")
        for info in infos:
            _check_member(info, size)
        if infos[0].file_size > MAX_DESCRIPTION:
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
    return _check_config(text, form), start, infos[1].file_size


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


def _check_config(text, form):
    config = parse_json(text)
    if not isinstance(config, dict) or config.get("format") != form.name:
        raise CorruptFileError(f"its {_CONFIG} is not that of {form.what}.")
    version = config.get("format_version")
    if type(version) is not int or version < 1:
        raise CorruptFileError(f"its format_version is {version!r}.")
    if version > form.version:
        versions = config.get("versions")
        writer = versions.get("skxmc") if isinstance(versions, dict) else None
        raise FormatVersionError(
            f"It was written in format {version}, by skxmc {writer}; this skxmc reads "
            f"formats up to {form.version}. Install a newer skxmc."
        )
    return config
