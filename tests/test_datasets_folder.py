"""The data home, and data sets stored in folders."""

import contextlib
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from skxmc.datasets import get_data_home, load_dataset
from skxmc.datasets._base import write_atomically

MATRICES = {
    "X_train": np.array([[0.5, 0, 0], [0, 0, 2], [0, 0, 0]], dtype=np.float32),
    "X_test": np.array([[0, 1, 0]], dtype=np.float32),
    "Y_train": np.array([[1, 0], [0, 1], [1, 1]], dtype=np.int8),
    "Y_test": np.array([[0, 1]], dtype=np.int8),
}


@pytest.fixture
def home(tmp_path):
    """Return a data home with the set "tiny", of matrices only."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for key, matrix in MATRICES.items():
        sp.save_npz(folder / f"{key}.npz", sp.csr_array(matrix))
    return tmp_path


def write_lines(path, *lines):
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


def save_raw(path, **arrays):
    """Write arrays that scipy would not write, under the names it uses."""
    valid = {
        "format": b"csr",
        "shape": np.array([1, 3]),
        "data": np.array([1.0]),
        "indices": np.array([0], dtype=np.int32),
        "indptr": np.array([0, 1], dtype=np.int32),
    }
    np.savez(path, **valid | arrays)


def test_data_home(monkeypatch, tmp_path):
    monkeypatch.setenv("SKXMC_DATA", str(tmp_path / "environment"))
    assert get_data_home() == tmp_path / "environment"
    assert get_data_home(tmp_path / "argument") == tmp_path / "argument"
    monkeypatch.setenv("SKXMC_DATA", "")
    assert get_data_home() == Path.home() / "skxmc_data"
    assert get_data_home("~/x") == Path.home() / "x"
    assert list(tmp_path.iterdir()) == []


def test_write_atomically_leaves_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"

    def fail(source, target):
        raise OSError("full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="full"):
        write_atomically(path, b"newer")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_load_matrices_only(home, monkeypatch):
    monkeypatch.setenv("SKXMC_DATA", str(home))
    data = load_dataset("tiny")
    for key, matrix in MATRICES.items():
        assert isinstance(data[key], sp.csr_array)
        assert data[key].dtype == matrix.dtype
        assert_array_equal(data[key].toarray(), matrix)
    optional = set(data) - set(MATRICES)
    assert optional == {
        "target_names",
        "label_texts",
        "train_texts",
        "test_texts",
        "feature_names",
        "DESCR",
    }
    assert all(data[key] is None for key in optional)


def test_load_texts(home):
    folder = home / "tiny"
    write_lines(folder / "labels.txt.gz", "a", "b")
    write_lines(folder / "label_texts.txt.gz", "the\u2028first", "")
    write_lines(folder / "train_texts.txt.gz", "x", "y\x85\r", "z")
    write_lines(folder / "test_texts.txt.gz", "ü")
    write_lines(folder / "features.txt.gz", "f", "g", "h")
    (folder / "README.md").write_text("# tiny é", encoding="utf-8")
    data = load_dataset("tiny", data_home=str(home))
    assert data.target_names == ["a", "b"]
    assert data.label_texts == ["the\u2028first", ""]
    assert data.train_texts == ["x", "y\x85\r", "z"]
    assert data.test_texts == ["ü"]
    assert data.feature_names == ["f", "g", "h"]
    assert data.DESCR == "# tiny é"


@pytest.mark.parametrize("name", ["", ".", "..", "../tiny", "a/b", "a\\b", "/", "C:"])
def test_name_must_be_plain(home, name):
    with pytest.raises(ValueError, match="plain name of a folder"):
        load_dataset(name, data_home=home)


def test_missing_folder_or_file(home):
    with pytest.raises(FileNotFoundError) as info:
        load_dataset("huge", data_home=home)
    for part in (str(home / "huge"), "X_train.npz", "tiny", "SKXMC_DATA"):
        assert part in str(info.value)
    (home / "tiny" / "Y_test.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"tiny lacks Y_test\.npz"):
        load_dataset("tiny", data_home=home)
    with pytest.raises(FileNotFoundError, match=r"Data sets in .*: none"):
        load_dataset("tiny", data_home=home / "nowhere")


@pytest.mark.parametrize(
    "arrays",
    [
        {"indices": np.array([99_999_999])},
        {"indices": np.array([2**40])},
        {"indices": np.array([-1])},
        {"indptr": np.array([0, 2])},
        {"indptr": np.array([1, 1])},
        {"data": np.array([1j])},
        {"data": np.array(["1"])},
        {"data": np.array([1.0, 2.0])},
        {"data": np.array([{}])},  # a pickle
        {"shape": np.array([1])},
        {"format": b"dok"},
        {"format": b"csc"},
    ],
    ids=str,
)
def test_crafted_matrix(home, arrays):
    save_raw(home / "tiny" / "X_test.npz", **arrays)
    with pytest.raises(ValueError, match=r"X_test\.npz is not a valid CSR matrix"):
        load_dataset("tiny", data_home=home)


def test_damaged_bytes_never_crash(home):
    path = home / "tiny" / "X_train.npz"
    intact = path.read_bytes()
    rng = np.random.RandomState(0)
    for _ in range(200):
        damaged = bytearray(intact[: rng.randint(len(intact) // 2, len(intact) + 1)])
        for position in rng.randint(len(damaged), size=2):
            damaged[position] = rng.randint(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError):
            data = load_dataset("tiny", data_home=home)
            assert np.isfinite(data.X_train @ np.zeros(3)).all()


def test_labels_must_be_binary(home):
    sp.save_npz(home / "tiny" / "Y_test.npz", sp.csr_array([[0, 3]]))
    with pytest.raises(ValueError, match=r"Y_test\.npz has the value 3"):
        load_dataset("tiny", data_home=home)


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("X_train", (4, 3), "X_train has 4 rows, but Y_train has 3"),
        ("Y_test", (2, 2), "X_test has 1 rows, but Y_test has 2"),
        ("X_test", (1, 5), "X_train has 3 columns, but X_test has 5"),
        ("Y_train", (3, 7), "Y_train has 7 columns, but Y_test has 2"),
    ],
)
def test_sizes_must_agree(home, key, shape, message):
    sp.save_npz(home / "tiny" / f"{key}.npz", sp.csr_array(shape, dtype=np.int8))
    with pytest.raises(ValueError, match=message):
        load_dataset("tiny", data_home=home)


def test_bad_text_file(home):
    path = home / "tiny" / "labels.txt.gz"
    write_lines(path, "a", "b", "c")
    with pytest.raises(ValueError, match=r"labels\.txt\.gz has 3 lines.* have 2"):
        load_dataset("tiny", data_home=home)
    for content in (b"a\nb\n", gzip.compress(b"\xff\n\n"), path.read_bytes()[:-9]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"labels\.txt\.gz is no gzip file"):
            load_dataset("tiny", data_home=home)


@pytest.mark.parametrize(
    ("name", "shape", "n_labels"),
    [
        ("bibtex", (4880, 1836), 159),
        ("clinc150", (18000, 35165), 150),
        ("debian-depends", (43274, 24138), 26538),
        ("delicious", (12920, 500), 983),
        ("rcv1sub1", (3000, 47236), 101),
    ],
)
def test_real_data(name, shape, n_labels):
    if not (get_data_home() / name).is_dir():
        pytest.skip(f"no {name} in {get_data_home()}; set SKXMC_DATA")
    data = load_dataset(name)
    assert data.X_train.shape == shape
    assert data.Y_test.shape[1] == n_labels
    assert data.X_train.dtype == np.float32
    assert data.DESCR.startswith(f"# {name}")
