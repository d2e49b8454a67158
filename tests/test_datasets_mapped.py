"""Matrices in folders: written by blocks, opened without being read."""

import gzip
import json

import numpy as np
import pytest
import scipy.sparse as sp

from skxmc.datasets import (
    convert_xmc_text,
    dump_xmc_text,
    load_mapped,
    load_xmc_text,
    make_xmc_classification,
    write_mapped,
)


def blocks_of(M, size):
    return (M[start : start + size] for start in range(0, M.shape[0], size))


def assert_same(mapped, M):
    assert (mapped.shape, mapped.dtype) == (M.shape, M.dtype)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(mapped, name), getattr(M, name))


def is_in_file(array):
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_what_was_written_is_opened(tmp_path, size):
    X, Y = make_xmc_classification(50, 30, 9, random_state=0)
    for M, name in ((X, "X"), (Y, "Y")):
        assert_same(write_mapped(tmp_path / name, blocks_of(M, size)), M)
        mapped = load_mapped(tmp_path / name)
        assert_same(mapped, M)
        assert mapped.indices.dtype == mapped.indptr.dtype == np.int32
        for part in (mapped.data, mapped.indices, mapped.indptr):
            assert is_in_file(part)
            assert not part.flags.writeable


def test_the_arrays_are_plain_npy_files(tmp_path):
    X = sp.random_array((20, 11), density=0.2, format="csr", dtype=np.float32, rng=0)
    write_mapped(tmp_path / "X", [X])
    parts = [
        np.load(tmp_path / "X" / f"{p}.npy") for p in ("data", "indices", "indptr")
    ]
    meta = json.loads((tmp_path / "X" / "csr.json").read_text())
    assert meta == {"format": "skxmc-csr", "version": 1, "shape": [20, 11]}
    assert (sp.csr_array(tuple(parts), shape=meta["shape"]) != X).nnz == 0


def test_rows_cut_out_are_in_memory(tmp_path):
    X = make_xmc_classification(50, 30, 9, random_state=0)[0]
    mapped = write_mapped(tmp_path / "X", [X])
    for rows in (slice(3, 9), [5, 2, 2], np.arange(50) % 3 == 0, slice(None, None, -1)):
        assert type(mapped[rows]) is sp.csr_array
        assert (mapped[rows] != X[rows]).nnz == 0


def test_blocks_of_any_kind_become_canonical_rows(tmp_path):
    dense = np.array([[0, 2.0, 0], [1, 0, 3]])
    twice = sp.csr_array(([1.0, 4, 1, 0], [2, 0, 2, 1], [0, 4]), shape=(1, 3))
    before = twice.data.copy(), twice.indices.copy()
    mapped = write_mapped(
        tmp_path / "X", [dense, twice, sp.coo_matrix(dense), dense.tolist()], dtype="f4"
    )
    np.testing.assert_array_equal(
        mapped[:].toarray(), np.vstack([dense, [[4, 0, 2]], dense, dense])
    )
    assert mapped.dtype == np.float32
    assert (mapped.data != 0).all()
    assert mapped[:].has_canonical_format
    np.testing.assert_array_equal(twice.data, before[0])
    np.testing.assert_array_equal(twice.indices, before[1])


def test_index_types_grow_with_the_values(tmp_path, monkeypatch):
    X = sp.random_array((20, 11), density=0.5, format="csr", dtype=np.float32, rng=0)
    small = lambda *sizes: np.int32 if max(sizes) < 60 else np.int64  # noqa: E731
    monkeypatch.setattr("skxmc.datasets._matrix_writer.index_dtype", small)
    mapped = write_mapped(tmp_path / "X", blocks_of(X, 5))
    for name in ("indices", "indptr"):
        assert np.load(tmp_path / "X" / f"{name}.npy").dtype == np.int64
    assert (mapped[:] != X).nnz == 0
    assert sorted(p.name for p in (tmp_path / "X").iterdir()) == [
        *("csr.json", "data.npy", "indices.npy", "indptr.npy")
    ]


@pytest.mark.parametrize(
    ("blocks", "dtype", "message"),
    [
        ([], None, "There is no block"),
        ([[[1.0, 2.0]], [[1.0]]], None, "has 1 columns, but those before have 2"),
        ([[[1.0]], [[np.nan]]], None, "block from row 1 on is not finite"),
        ([[[1e300]]], np.float32, "is not finite, or none that dtype=float32"),
        ([[[1.5]]], np.int8, "none that dtype=int8 can hold"),
        ([[["a"]]], None, "dtype"),
        (
            [sp.csr_array((np.ones(1), [0], [0, 1]), shape=(1, 3))[:, :0]],
            None,
            None,
        ),
    ],
)
def test_a_bad_block_leaves_no_folder(tmp_path, blocks, dtype, message):
    if message is None:
        assert write_mapped(tmp_path / "X", blocks, dtype=dtype).shape == (1, 0)
        return
    with pytest.raises(ValueError, match=message):
        write_mapped(tmp_path / "X", iter(blocks), dtype=dtype)
    assert not [*tmp_path.iterdir()]


def test_a_folder_in_use_is_not_written_to(tmp_path):
    mapped = write_mapped(tmp_path / "X", [[[1.0]]])
    with pytest.raises(FileExistsError, match="exists already"):
        write_mapped(tmp_path / "X", [[[2.0]]])
    assert mapped[:].toarray() == 1
    (tmp_path / "empty").mkdir()
    assert write_mapped(tmp_path / "empty", [[[2.0]]]).shape == (1, 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("csr.json", b"{}"),
        ("csr.json", b"no json"),
        ("csr.json", b'{"format": "skxmc-csr", "version": 2, "shape": [2, 1]}'),
        ("csr.json", b'{"format": "skxmc-csr", "version": 1, "shape": [3, 1]}'),
        ("indices.npy", np.zeros(3, np.int32)),
        ("indices.npy", np.zeros(2, np.int64)),
        ("indptr.npy", np.array([0, 1, 1], np.int32)),
        ("data.npy", np.array([None, None])),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, name, content):
    write_mapped(tmp_path / "X", [[[1.0], [1.0]]])
    path = tmp_path / "X" / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(ValueError, match=r"format|fit together|memory-mapped"):
        load_mapped(tmp_path / "X")


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("block_rows", [1, 7, 100])
def test_text_is_converted_as_it_is_loaded(tmp_path, suffix, block_rows):
    X, Y = make_xmc_classification(50, 30, 9, random_state=0)
    path = tmp_path / f"data.txt{suffix}"
    dump_xmc_text(X, Y, path)
    mapped = convert_xmc_text(path, tmp_path / "data", block_rows=block_rows)
    for a, b in zip(mapped, load_xmc_text(path), strict=True):
        assert_same(a, b)
    assert_same(load_mapped(tmp_path / "data" / "X"), X)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3 2 2\n0 0:1\n1 1:1\n", "announces 3 rows, but 2 follow"),
        ("3 2 2\n0 0:1\n1 1:1\n0 2:1\n", "line 4: feature 2 is not among the 2"),
        ("3 2 2\n0 0:1\n1 1:1\n0 1:1 1:1\n", "line 4: feature 1 is repeated"),
        ("3 2 2\n0 0:1\n1 1:1\n0 x\n", "line 4: expected"),
        ("2 2 2\n0 0:1\n1 1:nan\n", "not finite"),
    ],
)
def test_faults_of_the_text_are_named_by_line(tmp_path, text, message):
    path = tmp_path / "data.txt.gz"
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ValueError, match=message):
        convert_xmc_text(path, tmp_path / "data", block_rows=2)
    assert [p.name for p in tmp_path.iterdir()] == ["data.txt.gz"]


def test_duplicates_of_small_integers_are_summed_whole(tmp_path):
    twice = np.array([200, 200], dtype=np.uint8), [1, 1], [0, 2]
    wide = write_mapped(tmp_path / "e", [sp.csr_array(twice, shape=(1, 2))], dtype=int)
    assert wide[:].toarray().tolist() == [[0, 400]]
    parts = np.array([60, 60, 5], dtype=np.int8), ([0, 0, 1], [1, 1, 0])
    block = sp.coo_array(parts, shape=(2, 2)).tocsr()
    twice = sp.csr_array(
        (np.array([60, 60], dtype=np.int8), [1, 1], [0, 2, 2]), shape=(2, 2)
    )
    assert write_mapped(tmp_path / "a", [twice])[:].toarray().tolist() == [
        [0, 120],
        [0, 0],
    ]
    assert write_mapped(tmp_path / "b", [block]).dtype == np.int8
    much = sp.csr_array(
        (np.array([100, 100], dtype=np.int8), [1, 1], [0, 2, 2]), shape=(2, 2)
    )
    with pytest.raises(ValueError, match="dtype=int8 can hold"):
        write_mapped(tmp_path / "c", [much])
    assert write_mapped(tmp_path / "d", [much], dtype=np.int16)[0, 1] == 200


def test_types_that_are_no_real_numbers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="dtype='complex64' is none"):
        write_mapped(tmp_path / "a", [np.eye(2)], dtype="complex64")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("name", "array"),
    [("indptr", np.zeros(0, dtype=np.int32)), ("data", np.float32(1)), ("data", None)],
)
def test_damaged_folders_are_named(name, array, tmp_path):
    write_mapped(tmp_path / "a", [np.eye(3, dtype=np.float32)])
    path = tmp_path / "a" / f"{name}.npy"
    if array is None:
        path.write_bytes(b"")
    else:
        np.save(path, array)
    with pytest.raises(ValueError, match="write the folder anew"):
        load_mapped(tmp_path / "a")
