"""Faults in X: refused with a reason, or handled the same in every container."""

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from _faults import (
    CORRUPTIONS,
    N_FEATURES,
    N_LABELS,
    N_SAMPLES,
    answers,
    arrays,
    assert_fit_refuses,
    assert_predict_refuses,
    assert_same_answers,
    contents,
    corrupted,
    each_estimator,
    fitted,
    fresh,
    in_subprocess,
    literal,
    outcome,
    problem,
)

from skxmc._checked_data import _to_csr
from skxmc._nn._sparse import SparseRows
from skxmc._validation import check_indicator, check_structure

INFINITE = literal(
    "Input X contains infinity or a value too large for dtype('float32')."
)
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]
KINDS = ["array", "matrix"]
each_container = pytest.mark.parametrize("make", [np.asarray, sp.csr_array])


def with_entry(value, make):
    """Give X as float64 with one entry replaced."""
    X = problem()[0].toarray().astype(np.float64)
    X[3, 4] = value
    return make(X)


def assert_refused(estimator, X, message):
    """Assert that neither `fit` nor predictions take X."""
    assert_fit_refuses(estimator, X, problem()[1], ValueError, message)
    assert_predict_refuses(estimator, X, ValueError, message)


@each_estimator
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(N_SAMPLES), "Expected 2D array, got 1D array instead"),
        (list(range(N_SAMPLES)), "Expected 2D array, got 1D array instead"),
        (sp.coo_array(np.ones(N_SAMPLES)), "Expected 2D input, got input with shape"),
    ],
    ids=["ndarray", "list", "sparse"],
)
def test_x01_x_of_one_dimension(estimator, X, message):
    assert_refused(estimator, X, f"(?s){message}.*array.reshape\\(-1, 1\\)")


@each_estimator
@pytest.mark.parametrize("make", [np.asarray, sp.coo_array])
def test_x02_x_of_three_dimensions(estimator, make):
    X = make(np.ones((N_SAMPLES, 3, 2)))
    assert_refused(estimator, X, "Found array with dim 3")


@each_estimator
@each_container
def test_x03_no_rows(estimator, make):
    X = make(np.zeros((0, N_FEATURES)))
    message = r"Found array with 0 sample\(s\) \(shape=\(0, 20\)\)"
    y = np.zeros((0, N_LABELS), int)
    assert_fit_refuses(estimator, X, y, ValueError, message)
    assert_predict_refuses(estimator, X, ValueError, message)


@each_estimator
@each_container
def test_x04_no_columns(estimator, make):
    X = make(np.zeros((N_SAMPLES, 0)))
    assert_refused(estimator, X, r"Found array with 0 feature\(s\) \(shape=\(60, 0\)\)")


@each_estimator
@each_container
def test_x05_nan_in_x(estimator, make):
    assert_refused(estimator, with_entry(np.nan, make), literal("Input X contains NaN"))


@each_estimator
@each_container
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_x06_infinity_in_x(estimator, make, value):
    assert_refused(estimator, with_entry(value, make), INFINITE)


@each_estimator
@each_container
def test_x07_value_beyond_float32(estimator, make):
    assert_refused(estimator, with_entry(1e300, make), INFINITE)


@each_estimator
@each_container
def test_x08_complex_x(estimator, make):
    X = with_entry(1, make).astype(complex)
    assert_refused(estimator, X, "Complex data not supported")


@each_estimator
@pytest.mark.parametrize(
    "X",
    [np.full((N_SAMPLES, N_FEATURES), "a"), [["a"] * N_FEATURES] * N_SAMPLES],
    ids=["ndarray", "list"],
)
def test_x09_strings_in_x(estimator, X):
    assert_refused(estimator, X, "could not convert string to float.*'a'")


@each_estimator
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
def test_x10_every_sparse_format_gives_the_same(estimator, form, kind):
    X, Y = problem()
    other = getattr(sp, f"{form}_{kind}")(X)
    before = contents(other)
    model = fresh(estimator).fit(other, Y)
    assert_same_answers(model, fitted(estimator), other, X)
    assert contents(other) == before


@each_estimator
def test_x11_int64_indices_give_the_same(estimator):
    X, Y = problem()
    X64 = X.copy()
    X64.indices, X64.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    before = contents(X64)
    model = fresh(estimator).fit(X64, Y)
    assert_same_answers(model, fitted(estimator), X64, X)
    assert contents(X64) == before


def reversed_rows(X):
    """Return X with the entries of each row stored in descending order."""
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    order = np.lexsort((-X.indices, rows))
    parts = X.data[order], X.indices[order], X.indptr.copy()
    return sp.csr_array(parts, shape=X.shape)


def halved_twice(X):
    """Return X with each entry stored as two halves of it."""
    parts = np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), X.indptr * 2
    return sp.csr_array(parts, shape=X.shape)


def with_stored_zeros(X):
    """Return X as a CSR that stores all entries, zero or not."""
    n, d = X.shape
    parts = X.toarray().ravel(), np.tile(np.arange(d), n), np.arange(n + 1) * d
    return sp.csr_array(parts, shape=X.shape)


def assert_stored_otherwise_gives_the_same(estimator, other):
    X, Y = problem()
    before = contents(other)
    model = fresh(estimator).fit(other, Y)
    assert_same_answers(model, fitted(estimator), other, X)
    assert contents(other) == before


@each_estimator
def test_x12_unsorted_indices_give_the_same(estimator):
    other = reversed_rows(problem()[0])
    assert not other.has_sorted_indices
    assert_stored_otherwise_gives_the_same(estimator, other)


@each_estimator
@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_x13_duplicates_are_summed(estimator, form):
    X = problem()[0]
    other = halved_twice(X).asformat(form)
    if form == "csc":  # scipy sums duplicates on the way from CSR, not on that back
        T = halved_twice(X.T.tocsr())
        other = sp.csc_array((T.data, T.indices, T.indptr), shape=X.shape)
    assert other.nnz == 2 * X.nnz
    assert_stored_otherwise_gives_the_same(estimator, other)


@each_estimator
def test_x14_stored_zeros_change_nothing(estimator):
    other = with_stored_zeros(problem()[0])
    assert other.nnz == N_SAMPLES * N_FEATURES
    assert_stored_otherwise_gives_the_same(estimator, other)


def outcomes_of_corrupt_x(estimator):
    """Try all corruptions, in a process that may crash."""
    X, Y = problem()
    model = fitted(estimator)
    return {
        fault: [
            outcome(fresh(estimator).fit, corrupted(X, fault), Y),
            outcome(model.predict, corrupted(X, fault)),
        ]
        for fault in CORRUPTIONS
    }


@each_estimator
def test_x15_inconsistent_indices_are_never_a_crash(estimator):
    result = in_subprocess(outcomes_of_corrupt_x, estimator)
    assert result.returncode == 0
    wrong = {
        fault: texts
        for fault, texts in result.value.items()
        if not all(str(text).startswith("ValueError: ") for text in texts)
    }
    assert wrong == {}


@each_estimator
@pytest.mark.parametrize("fault", sorted(CORRUPTIONS))
def test_x15_inconsistent_indices_are_named(estimator, fault):
    X = corrupted(problem()[0], fault)
    text = CORRUPTIONS[fault].format(n_rows=N_SAMPLES, n_columns=N_FEATURES)
    assert_refused(estimator, X, f"X has .*{literal(text)}")


@each_estimator
@each_container
@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int16", "int32", "int64", "uint8", "float16", "float64"]
)
def test_x16_every_numeric_type_gives_the_same(estimator, make, dtype):
    X, Y = problem()
    X = (X.toarray() > 0).astype(np.float32)
    if make is sp.csr_array and dtype == "float16":
        with pytest.raises(ValueError, match="float16"):  # scipy has no such matrix
            make(X.astype(dtype))
        return
    other = make(X.astype(dtype))
    before = contents(other)
    model = fresh(estimator).fit(other, Y)
    assert_same_answers(model, fresh(estimator).fit(make(X), Y), other, make(X))
    assert contents(other) == before


@each_estimator
@pytest.mark.parametrize("n_empty", [1, 30, N_SAMPLES])
def test_x17_empty_rows_have_finite_and_equal_scores(estimator, n_empty):
    X, Y = problem()
    X = X.toarray()
    X[:n_empty] = 0
    model = fresh(estimator).fit(sp.csr_array(X), Y)
    some, scores = model.predict_topk(sp.csr_array((5, N_FEATURES)), k=N_LABELS)
    assert np.isfinite(scores).all()
    assert (some == some[0]).all()
    assert (scores == scores[0]).all()
    # The same beside other rows, as an array, and in every form of prediction.
    indices, beside = model.predict_topk(X, k=N_LABELS)
    assert (beside[:n_empty] == scores[0]).all()
    assert (indices[:n_empty] == some[0]).all()
    assert all(np.isfinite(array).all() for array in arrays(model))
    assert np.isfinite(model.predict_proba(X).data).all()


@each_estimator
def test_x18_columns_without_entries_do_no_harm(estimator):
    X, Y = problem()
    wide = sp.csr_array((X.data, X.indices, X.indptr), shape=(N_SAMPLES, 500))
    model = fresh(estimator).fit(wide, Y)
    assert all(np.isfinite(array).all() for array in arrays(model))
    # What was never seen in training has finite scores, too.
    assert np.isfinite(model.predict_topk(np.ones((1, 500)), k=N_LABELS)[1]).all()


@each_estimator
@each_container
def test_x19_read_only_memory_map(estimator, make, tmp_path):
    X, Y = problem()
    X, Y = make(X.toarray()), make(Y.toarray())
    joblib.dump((X, Y), tmp_path / "data")
    mapped_X, mapped_Y = joblib.load(tmp_path / "data", mmap_mode="r")
    part = mapped_X.data if sp.issparse(mapped_X) else mapped_X
    assert isinstance(part, np.memmap)
    assert not part.flags.writeable
    before = contents(mapped_X), contents(mapped_Y)
    model = fresh(estimator).fit(mapped_X, mapped_Y)
    assert_same_answers(model, fresh(estimator).fit(X, Y), mapped_X, X)
    assert (contents(mapped_X), contents(mapped_Y)) == before


@each_estimator
@each_container
def test_x20_other_number_of_features(estimator, make):
    name = type(estimator).__name__
    message = f"X has 10 features, but {name} is expecting 20 features as input"
    assert_predict_refuses(estimator, make(np.ones((5, 10))), ValueError, message)


@each_estimator
def test_x21_data_frame_with_other_column_names(estimator):
    X, Y = problem()
    frame = pd.DataFrame(X.toarray(), columns=[f"word {i}" for i in range(N_FEATURES)])
    model = fresh(estimator).fit(frame, Y)
    assert list(model.feature_names_in_) == list(frame.columns)
    assert_same_answers(model, fresh(estimator).fit(X.toarray(), Y), frame, X.toarray())
    other = frame.rename(columns={"word 3": "term"})
    before, was = contents(other), answers(model, frame)
    with pytest.raises(ValueError, match=r"(?s)feature names should match.*term"):
        model.predict(other)
    assert contents(other) == before
    assert list(map(contents, answers(model, frame))) == list(map(contents, was))


@each_estimator
def test_x22_lists_give_the_same_as_arrays(estimator):
    X, Y = (M.toarray() for M in problem())
    model = fresh(estimator).fit(X.tolist(), Y.tolist())
    assert_same_answers(model, fresh(estimator).fit(X, Y.astype(int)), X.tolist(), X)


def test_x23_columns_beyond_int32_do_not_wrap():
    far = 2**32 + 5
    parts = np.ones(1, np.float32), np.array([far]), np.array([0, 1])
    M = sp.csr_array(parts, shape=(1, far + 1))
    for kept in (_to_csr(M), check_indicator(M)):
        assert kept.shape == M.shape
        assert kept.indices.tolist() == [far]
    assert SparseRows.from_csr(M).indices.tolist() == [far]
    M.indices[0] = far + 1
    with pytest.raises(ValueError, match=f"index {far + 1} but only {far + 1} columns"):
        check_structure(M, "X")


def test_x23_more_entries_than_int32_counts_do_not_wrap():
    n_rows, per_row = 4, 2**30
    # 2 ** 32 entries that all lie on one: nothing of that size is allocated.
    M = sp.csr_array((n_rows, 8), dtype=np.float32)
    M.indptr = np.arange(n_rows + 1) * per_row
    M.indices = np.broadcast_to(np.int64(0), 1)
    M.data = np.broadcast_to(np.float32(1), 1)
    assert SparseRows.from_csr(M).offsets.tolist() == M.indptr.tolist()
    with pytest.raises(ValueError, match="inconsistent indptr"):
        check_structure(M, "X")


@each_estimator
@pytest.mark.parametrize(
    "lay_out",
    [np.asfortranarray, lambda X: np.repeat(X, 2, axis=1)[:, ::2], lambda X: X[::-1]],
    ids=["fortran", "strided", "reversed"],
)
def test_x24_memory_layout_does_not_matter(estimator, lay_out):
    X, Y = (M.toarray() for M in problem())
    other = lay_out(X)
    before = contents(other)
    same = np.ascontiguousarray(other)
    model = fresh(estimator).fit(other, Y)
    assert_same_answers(model, fresh(estimator).fit(same, Y), other, same)
    assert contents(other) == before
