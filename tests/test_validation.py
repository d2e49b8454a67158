"""Checks of sparse structure, of indicators and of sizes."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from skxmc import _validation
from skxmc._validation import check_dense_fits, check_indicator, check_structure

FORMATS = ["csr", "csc", "coo", "bsr", "lil", "dok", "dia"]
KINDS = ["array", "matrix"]


def sample(fmt, kind="array"):
    """Build a 4 x 6 matrix of six entries; blocks of a bsr are 2 x 3."""
    dense = np.zeros((4, 6), dtype=np.float32)
    dense[[0, 0, 1, 2, 3, 3], [1, 5, 0, 2, 3, 4]] = 1
    options = {"blocksize": (2, 3)} if fmt == "bsr" else {}
    return getattr(sp, f"{fmt}_{kind}")(dense, **options)


def parts_of(M):
    return [M.data, *(M.coords if M.format == "coo" else (M.indices, M.indptr))]


def as_bytes(M):
    return [(part.tobytes(), part.dtype) for part in parts_of(M)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fmt", FORMATS)
def test_consistent_matrices_of_every_format_pass(fmt, kind):
    check_structure(sample(fmt, kind), "X")
    check_structure(getattr(sp, f"{fmt}_{kind}")((3, 0), dtype=np.float32), "X")


@pytest.mark.parametrize("anything", [None, [[1, 2]], np.ones(3), "text"])
def test_structure_of_what_is_not_sparse_is_not_looked_at(anything):
    check_structure(anything, "X")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [-1, 10**6])
@pytest.mark.parametrize(
    ("fmt", "axis"), [("csr", "column"), ("csc", "row"), ("bsr", "column")]
)
def test_an_index_out_of_range_is_named(fmt, axis, value, kind):
    M = sample(fmt, kind)
    M.indices[2] = value
    with pytest.raises(ValueError, match=f"X has {axis} index {value} but only"):
        check_structure(M, "X")


@pytest.mark.parametrize("value", [-1, 6])
@pytest.mark.parametrize(("axis", "name"), [(0, "row"), (1, "column")])
def test_a_coordinate_out_of_range_is_named(axis, name, value):
    M = sample("coo")
    M.coords[axis][3] = value
    size = M.shape[axis]
    if value < 0 or value >= size:
        message = f"Y has {name} index {value} but only {size} {name}s; build it anew"
        with pytest.raises(ValueError, match=message):
            check_structure(M, "Y")


@pytest.mark.parametrize("fmt", ["csr", "csc", "bsr"])
@pytest.mark.parametrize(
    "break_pointers",
    [
        lambda p: np.append(p[:-1], p[-1] + 1),  # beyond the stored values
        lambda p: np.append(1, p[1:]),  # does not begin at 0
        lambda p: np.append(p[:1], p[:0:-1]),  # decreases
        lambda p: np.append(-1, p[1:]),
        lambda p: p[:-1],
        lambda p: np.append(p, p[-1]),
        lambda p: p[:0],
    ],
    ids=["beyond", "late", "decreasing", "negative", "short", "long", "empty"],
)
def test_inconsistent_pointers_are_refused(fmt, break_pointers):
    M = sample(fmt)
    M.indptr = break_pointers(M.indptr)
    with pytest.raises(ValueError, match=r"X has an inconsistent indptr for its shape"):
        check_structure(M, "X")


@pytest.mark.parametrize("fmt", ["csr", "csc"])
def test_values_missing_for_indices_are_counted(fmt):
    M = sample(fmt)
    M.data = M.data[:-2]
    with pytest.raises(ValueError, match="X has 6 indices but 4 values"):
        check_structure(M, "X")


@settings(deadline=None)
@given(
    st.lists(st.integers(-1, 4), max_size=6),
    st.lists(st.integers(-1, 7), min_size=1, max_size=5),
)
def test_csr_passes_if_and_only_if_every_entry_can_be_walked(indices, indptr):
    M = sp.csr_array((3, 4), dtype=np.float32)
    M.indices, M.data = np.array(indices, int), np.ones(len(indices), np.float32)
    M.indptr = np.array(indptr)
    good = (
        len(indptr) == 4
        and indptr == sorted(indptr)
        and indptr[0] == 0
        and indptr[-1] <= len(indices)
        and all(0 <= i < 4 for i in indices)
    )
    try:
        check_structure(M, "X")
    except ValueError:
        assert not good
    else:
        assert good


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fmt", FORMATS)
def test_indicator_of_any_format_becomes_canonical_csr(fmt, kind):
    M = sample(fmt, kind)
    Y = check_indicator(M)
    assert isinstance(Y, sp.csr_array)
    assert Y.dtype == np.float32
    assert Y.has_canonical_format
    assert Y.nnz == 6
    np.testing.assert_array_equal(Y.toarray(), M.toarray())


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from([0, 1]))),
    st.sampled_from([np.int8, np.int64, np.float32, np.float64]),
    st.sampled_from(["csr", "csc", "coo"]),
)
def test_indicator_sums_entries_on_a_copy_and_refuses_other_sums(entries, dtype, fmt):
    dense = np.zeros((3, 4), dtype=int)
    for i, j, value in entries:
        dense[i, j] += value
    i, j, values = np.array(entries, dtype=int).reshape(-1, 3).T
    M = sp.coo_array((values.astype(dtype), (i, j)), shape=(3, 4))
    if fmt != "coo":  # keeps duplicates and zeros as they are
        major, minor, n_major = (i, j, 3) if fmt == "csr" else (j, i, 4)
        order = np.argsort(major, kind="stable")
        indptr = np.append(0, np.cumsum(np.bincount(major, minlength=n_major)))
        parts = values[order].astype(dtype), minor[order], indptr
        M = getattr(sp, f"{fmt}_array")(parts, shape=(3, 4))
    before = as_bytes(M)
    if dense.max() <= 1:
        Y = check_indicator(M)
        np.testing.assert_array_equal(Y.toarray(), dense)
        assert Y.has_canonical_format
        assert (Y.data == 1).all()
        Y.data[:], Y.indices[:] = 9, 0
    else:
        with pytest.raises(ValueError, match=r"Y must contain only 0 and 1; found \d"):
            check_indicator(M)
    assert as_bytes(M) == before


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        (np.ones(3), r"T has shape \(3,\); pass a 0/1 indicator of shape"),
        (np.ones((0, 3)), r"T has shape \(0, 3\); .* at least one row"),
        (sp.coo_array(np.ones(3)), r"T has shape \(3,\); pass a 0/1 indicator"),
        (np.array([[1j, 0]]), "T has dtype complex128, but a multilabel indicator"),
        (np.array([["0", "1"]]), "T has dtype <U1, .*MultiLabelBinarizer"),
        (np.array([[0, None]]), "T has dtype object, but a multilabel indicator"),
        ([[0, 1], [0.5, 1]], "T must contain only 0 and 1; found 0.5"),
        ([[0, -1]], r"found -1.* Pass \(T > 0\).astype\('float32'\)"),
        ([[np.nan, 1]], "T must contain only 0 and 1; found nan"),
    ],
)
def test_what_is_no_indicator_is_refused(Y, message):
    with pytest.raises(ValueError, match=message):
        check_indicator(Y, name="T")


def test_indicator_checks_the_structure_first():
    Y = sample("csr")
    Y.indices[0] = 99
    with pytest.raises(ValueError, match="Y has column index 99 but only 6 columns"):
        check_indicator(Y)


@pytest.mark.parametrize("shape", [(25,), (5, 5), (100_000, 0), (1, 24)])
def test_arrays_up_to_the_limit_fit(shape, monkeypatch):
    monkeypatch.setattr(_validation, "MAX_DENSE_BYTES", 100)
    check_dense_fits(shape, "do without")


def test_larger_arrays_are_refused_with_both_sizes_and_a_way_out(monkeypatch):
    shape = (10**9, 10**9, 10**9)  # beyond what int64 can count
    size = f"{4 * math.prod(shape) / 1e9:.1f}"
    with pytest.raises(ValueError, match=rf"{size} GB, above the limit of 8.6 GB; do"):
        check_dense_fits(shape, "do without")
    monkeypatch.setattr(_validation, "MAX_DENSE_BYTES", 100)
    with pytest.raises(ValueError, match=r"shape \(26,\)"):
        check_dense_fits((26,), "do without")
