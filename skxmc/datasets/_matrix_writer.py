"""Writing a sparse matrix to a folder of files, block by block."""

import json
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from skxmc._validation import check_structure
from skxmc.datasets._base import index_dtype

FORMAT, VERSION, META = "skxmc-csr", 1, "csr.json"
_COPIED = 2**22  # numbers converted at a time


@contextmanager
def new_folder(folder):
    """Give a folder to write to, which gets its name once the block ends well."""
    folder = Path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(
            f"{folder} exists already; remove it, or choose another name."
        )
    draft = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.tmp")
    draft.mkdir(parents=True)
    try:
        yield draft
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft)
        raise


class MatrixWriter:
    """Writes the files of a matrix to a folder, block by block.

    Parameters
    ----------
    folder : Path
        A folder without such files.
    dtype : dtype or None
        Type of the values; None for that of the first block.
    """

    def __init__(self, folder, dtype=None):
        self.folder = folder
        self.dtype: Any = None if dtype is None else np.dtype(dtype)
        if self.dtype is not None and self.dtype.kind not in "biuf":
            raise ValueError(f"dtype={dtype!r} is none of real numbers; pass one.")
        self.n_rows, self.n_columns, self.n_stored = 0, None, 0
        self.files = {}

    def __enter__(self):
        self.folder.mkdir(exist_ok=True)
        return self

    def __exit__(self, *error):
        for file in self.files.values():
            file.close()
        if error[0] is None:
            self._finish()

    def append(self, block):
        """Append rows.

        Raises
        ------
        ValueError
            If they do not go with those before, or hold what is no finite number.
        """
        block = self._canonical(block)
        if not self.files:
            self._open_files()
        self.files["data"].append(block.data)
        self.files["indices"].append(block.indices)
        self.files["indptr"].append(block.indptr[1:] + np.int64(self.n_stored))
        self.n_rows += block.shape[0]
        self.n_stored += len(block.data)

    def _open_files(self):
        column_dtype = index_dtype(self.n_columns)
        dtypes = {"data": self.dtype, "indices": column_dtype, "indptr": np.int64}
        for name, dtype in dtypes.items():
            self.files[name] = _ArrayFile(self.folder / f"{name}.npy", dtype)
        self.files["indptr"].append([0])

    def _canonical(self, block):
        """Return rows as a canonical CSR array without zeros, or raise ValueError."""
        block = sp.csr_array(block)
        if block.ndim != 2 or block.dtype.kind not in "biuf":
            raise ValueError(
                f"A block has the shape {block.shape} and dtype {block.dtype}; pass "
                "rows of numbers, two-dimensional."
            )
        if self.n_columns is None:
            self.n_columns = block.shape[1]
        if block.shape[1] != self.n_columns:
            raise ValueError(
                f"The block from row {self.n_rows} on has {block.shape[1]} columns, "
                f"but those before have {self.n_columns}; give all the same number."
            )
        check_structure(block, "A block")
        if self.dtype is None:
            self.dtype = block.dtype
        is_small = block.dtype.kind in "iu" and block.dtype.itemsize < 8
        if is_small and not block.has_canonical_format:
            block = block.astype(np.int64)  # duplicates could wrap in the sum
        block = block.copy()
        block.sum_duplicates()
        block.data = self._cast(block.data)
        block.eliminate_zeros()
        return block

    def _cast(self, values):
        """Return values in the type of the file, or raise ValueError."""
        with np.errstate(over="ignore", invalid="ignore"):
            cast = values.astype(self.dtype)
        # Of floats, digits may be lost; what counts is that no value is.
        is_exact = self.dtype.kind == "f" or (cast == values).all()
        if not is_exact or not np.isfinite(cast).all():
            raise ValueError(
                f"A value in the block from row {self.n_rows} on is not finite, or "
                f"none that dtype={self.dtype} can hold; correct it, or pass another "
                "dtype."
            )
        return cast

    def _finish(self):
        if self.n_columns is None:
            raise ValueError("There is no block; pass at least one.")
        # scipy wants one type for both, and would copy either to that of the other.
        dtype = index_dtype(self.n_stored, self.n_columns)
        for name in ("indices", "indptr"):
            if self.files[name].dtype != dtype:
                _convert(self.folder / f"{name}.npy", dtype)
        meta = {
            "format": FORMAT,
            "version": VERSION,
            "shape": [self.n_rows, self.n_columns],
        }
        path = self.folder / META
        path.write_text(json.dumps(meta) + "\n", encoding="utf-8")


class _ArrayFile:
    """A one-dimensional .npy file that grows; its header gets the length at the end."""

    def __init__(self, path, dtype):
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.length = 0
        self.file = path.open("xb")
        self._write_header()

    def append(self, numbers):
        self.length += len(numbers)
        self.file.write(np.ascontiguousarray(numbers, dtype=self.dtype).data)

    def close(self):
        with self.file as file:
            end = file.tell()
            file.seek(0)
            self._write_header()
            # numpy pads headers to a multiple of 64 bytes, with room for any length.
            assert file.tell() == end - self.length * self.dtype.itemsize

    def _write_header(self):
        np.lib.format.write_array_header_1_0(
            self.file,
            {
                "descr": np.lib.format.dtype_to_descr(self.dtype),
                "fortran_order": False,
                "shape": (self.length,),
            },
        )


def _convert(path, dtype):
    """Rewrite a .npy file of integers with another type, a part at a time."""
    numbers = np.load(path, mmap_mode="r")
    draft = path.with_name(f"{path.name}.tmp")
    file = _ArrayFile(draft, dtype)
    for start in range(0, len(numbers), _COPIED):
        file.append(numbers[start : start + _COPIED])
    file.close()
    del numbers  # Windows does not replace what is mapped
    draft.replace(path)
