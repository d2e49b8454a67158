"""Numbers in fewer bits, against the numbers themselves."""

import copy

import numpy as np
import pytest

from skxmc._stored import STORAGES, StoredRows, chunks

each_storage = pytest.mark.parametrize("storage", STORAGES)


def matrix(shape=(300, 150), seed=0):
    """Draw rows of very different sizes, one of them zero."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal(shape) * 10.0 ** rng.integers(-2, 3, size=(shape[0], 1))
    A[1] = 0
    return A.astype(np.float32)


@each_storage
@pytest.mark.parametrize("n_columns", [0, 1, 63, 64, 150])
def test_entries_are_rounded_no_further_than_said(storage, n_columns):
    A = matrix((50, n_columns))
    decoded = StoredRows(A, storage)[:]
    assert decoded.dtype == np.float32
    assert decoded.shape == A.shape
    block = 128 if storage == "int4" else max(1, n_columns)
    for start in range(0, n_columns, block):
        part, given = decoded[:, start : start + block], A[:, start : start + block]
        largest = np.abs(given).max(axis=1, keepdims=True)
        error = {
            "int8": 0.5001 * largest / 127,
            "int4": 0.5001 * largest / 7 * (1 + 2**-11) + largest * 2**-10,
            "float16": np.abs(given) * 2**-11 + 1e-7,
        }[storage]
        assert (np.abs(part - given) <= error).all()


def test_blocks_of_64_columns_that_share_a_scale_are_still_read():
    A, rows = matrix((50, 150)), StoredRows(matrix((50, 150)), "int8", n_exact=3)
    starts = [0, 64, 128]
    rows.scales = np.maximum.reduceat(np.abs(A[:, :147]), starts, axis=1) / 127
    scales = np.repeat(rows.scales, [64, 64, 19], axis=1)
    rows.data = np.rint(A[:, :147] / np.where(scales > 0, scales, 1)).astype(np.int8)
    assert (np.abs(rows[:][:, :147] - A[:, :147]) <= 0.5001 * scales).all()
    assert np.array_equal(rows[:][:, 147:], A[:, 147:])
    assert not rows.has_one_scale


@each_storage
@pytest.mark.parametrize("n_exact", [0, 3])
def test_parts_of_a_file_that_do_not_fit_each_other_are_seen(storage, n_exact):
    rows = StoredRows(matrix(), storage, n_exact)
    assert rows.is_consistent
    assert StoredRows(matrix(), storage, n_exact=150).is_consistent
    wrong = [("data", rows.data[1:]), ("shape", (300, 148)), ("shape", (299, 150))]
    wrong += [("data", rows.data.astype({"int8": np.uint8}.get(storage, np.int8)))]
    if storage == "float16":
        wrong += [("scales", np.ones(300, np.float32))]
    else:
        wrong += [("scales", None), ("scales", rows.scales[1:])]
    for name, value in wrong:
        other = copy.copy(rows)
        setattr(other, name, value)
        assert not other.is_consistent, (name, value)


@pytest.mark.parametrize(
    ("storage", "n_exact"), [("int8", 0), ("int8", 2), ("int4", 2)]
)
def test_whole_numbers_stand_for_what_is_decoded(storage, n_exact):
    rows = StoredRows(matrix(), storage, n_exact)
    decoded = rows[:][:, : 150 - n_exact]
    numbers, scales = rows.whole(slice(None))
    assert numbers.dtype == np.int8
    assert numbers.shape == decoded.shape
    assert scales.shape == (300,)
    error = np.abs(numbers * scales[:, None] - decoded)
    steps = np.abs(decoded).max(axis=1, keepdims=True) / 127
    assert (error <= (0 if storage == "int8" else 0.501) * steps).all()
    some = np.array([5, 1, 5])
    for part, all_ in zip(rows.whole(some), (numbers, scales), strict=True):
        assert np.array_equal(part, all_[some])


@each_storage
@pytest.mark.parametrize(
    "rows", [slice(3, 9), np.array([7, 2, 2]), slice(None), np.array([], dtype=int)]
)
def test_rows_are_decoded_alike_however_they_are_read(storage, rows):
    A = StoredRows(matrix(), storage, n_exact=2)
    assert np.array_equal(A[rows], A[:][rows])


@each_storage
def test_the_last_columns_can_be_kept_as_they_are(storage):
    A = matrix()
    assert np.array_equal(StoredRows(A, storage, n_exact=3)[:][:, -3:], A[:, -3:])


@pytest.mark.parametrize(
    ("storage", "share"), [("float16", 0.5), ("int8", 0.27), ("int4", 0.13)]
)
def test_less_memory_is_taken(storage, share):
    A = matrix((300, 640))
    assert StoredRows(A, storage).nbytes < share * A.nbytes + 1


def test_four_bits_hold_fifteen_numbers():
    A = np.arange(-7, 8, dtype=np.float32)[None]
    assert np.array_equal(StoredRows(A, "int4")[:], A)


def test_what_float16_cannot_hold_stays_finite():
    A = np.array([[1e30, -1e30]], dtype=np.float32)
    assert StoredRows(A, "float16")[:].tolist() == [[65504, -65504]]


def test_chunks_are_all_rows():
    A = matrix((9000, 3))
    assert np.array_equal(np.concatenate([*chunks(A)]), A)
    assert np.array_equal(np.concatenate([*chunks(A, 100, 2000)]), A[100:2000])
    assert np.array_equal(np.concatenate([*chunks(A, 8000, 9999)]), A[8000:])
    assert all(len(part) <= 512 for part in chunks(A))
