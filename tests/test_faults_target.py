"""Faults in y: refused with a reason, or learned and answered in the form of y."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from _faults import (
    CORRUPTIONS,
    N_LABELS,
    N_SAMPLES,
    arrays,
    assert_fit_refuses,
    assert_same_answers,
    contents,
    corrupted,
    each_estimator,
    fitted,
    fresh,
    in_subprocess,
    literal,
    n_bytes,
    outcome,
    problem,
)
from sklearn.exceptions import DataConversionWarning

from skxmc import DECLAREClassifier, _validation

FORMATS = ["csr", "csc", "coo", "lil", "dok"]
each_container = pytest.mark.parametrize("make", [np.asarray, sp.csr_array])


def assert_refused(estimator, y, message):
    assert_fit_refuses(estimator, problem()[0], y, ValueError, message)


def with_entry(value, make):
    """Give Y as float64 with one entry replaced."""
    Y = problem()[1].toarray().astype(np.float64)
    Y[3, 4] = value
    return make(Y)


@each_estimator
@pytest.mark.parametrize("form", ["array", "dense", "classes"])
def test_y01_other_number_of_rows(estimator, form):
    Y = problem()[1][:50]
    y = {"array": Y, "dense": Y.toarray(), "classes": np.arange(50) % 3}[form]
    message = "inconsistent numbers of samples: [60, 50]"
    assert_refused(estimator, y, literal(message))


@each_estimator
def test_y02_no_y(estimator):
    message = "estimator requires y to be passed, but the target y is None"
    assert_refused(estimator, None, f"{type(estimator).__name__} {message}")


@each_estimator
@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float32"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", FORMATS)
def test_y03_every_sparse_format_is_answered_in_kind(estimator, form, kind, dtype):
    X, Y = problem()
    y = getattr(sp, f"{form}_{kind}")(Y.astype(dtype))
    before = contents(y)
    model = fresh(estimator, n_top_labels=3).fit(X, y)
    assert contents(y) == before
    P, predicted = model.predict_proba(X), model.predict(X)
    for result in (P, predicted):
        assert type(result) is getattr(sp, f"csr_{kind}")
        assert result.shape == Y.shape
        assert np.diff(result.indptr).max() <= 3
    assert predicted.dtype == dtype
    assert set(predicted.data) <= {1}
    # The scores are those of the CSR.
    reference = fitted(estimator, n_top_labels=3)
    assert contents(model.predict_topk(X)[1]) == contents(reference.predict_topk(X)[1])
    assert (reference.predict_proba(X) != P).nnz == 0
    assert (predicted != reference.predict(X).astype(dtype)).nnz == 0


@each_estimator
def test_y03_dense_y_is_answered_with_arrays(estimator):
    X, Y = problem()
    model = fresh(estimator).fit(X, Y.toarray())
    P, predicted = model.predict_proba(X), model.predict(X)
    for result in (P, predicted):
        assert type(result) is np.ndarray
        assert result.shape == Y.shape
    assert predicted.dtype == Y.dtype
    assert contents(model.predict_topk(X)[0]) == contents(
        fitted(estimator).predict_topk(X)[0]
    )


@each_estimator
@each_container
@pytest.mark.parametrize(
    ("value", "text"), [(2, "2.0"), (3, "3.0"), (0.5, "0.5"), (-1, "-1.0")]
)
def test_y04_values_other_than_0_and_1(estimator, make, value, text):
    message = f"Y must contain only 0 and 1; found {text}"
    hint = "(Y > 0).astype("
    y = with_entry(value, make)
    assert_refused(estimator, y, f"{literal(message)}.*{literal(hint)}")


@each_estimator
@each_container
def test_y04_minus_1_and_1(estimator, make):
    y = make(2 * problem()[1].toarray() - 1)
    assert_refused(estimator, y, "must contain only 0 and 1; found -1")


@each_estimator
@each_container
@pytest.mark.parametrize(
    ("value", "text"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
def test_y05_nan_or_infinity(estimator, make, value, text):
    assert_refused(estimator, with_entry(value, make), f"Input y contains {text}")


@each_estimator
def test_y06_stored_zeros_are_no_labels(estimator):
    X, Y = problem()
    parts = (
        Y.toarray().ravel(),
        np.tile(np.arange(N_LABELS), N_SAMPLES),
        np.arange(N_SAMPLES + 1) * N_LABELS,
    )
    y = sp.csr_array(parts, shape=Y.shape)
    assert y.nnz > Y.nnz
    before = contents(y)
    model = fresh(estimator).fit(X, y)
    assert contents(y) == before
    assert_same_answers(model, fitted(estimator), X)


def stored_twice(form, dtype):
    """Return Y with every entry stored two times."""
    Y = problem()[1]
    ones = np.ones(2 * Y.nnz, dtype=dtype)
    parts = ones, np.repeat(Y.indices, 2), Y.indptr * 2
    y = sp.csr_array(parts, shape=Y.shape).asformat(form)
    assert y.nnz == 2 * Y.nnz
    assert y.dtype == dtype
    return y


@each_estimator
@pytest.mark.parametrize("dtype", ["int8", "int64", "float32"])
@pytest.mark.parametrize("form", ["csr", "coo"])
def test_y07_duplicate_entries_are_not_guessed_at(estimator, form, dtype):
    message = "Y must contain only 0 and 1; found 2.*duplicate entries"
    assert_refused(estimator, stored_twice(form, dtype), message)


@each_estimator
@pytest.mark.parametrize("form", ["csr", "coo"])
def test_y07_duplicate_true_entries_are_true(estimator, form):
    # As in scipy, where True + True is True: there is nothing to guess.
    X, Y = problem()
    y = stored_twice(form, "bool")
    assert np.array_equal(y.toarray(), Y.toarray() == 1)
    before = contents(y)
    model = fresh(estimator).fit(X, y)
    assert contents(y) == before
    assert contents(model.predict_topk(X)[1]) == contents(
        fitted(estimator).predict_topk(X)[1]
    )


@each_estimator
@pytest.mark.parametrize(
    "y",
    [
        [[1, 2], [3]] * 30,
        [["a", "b"], ["c"]] * 30,
        [("a", "b"), ("c",)] * 30,
        [{"a", "b"}, {"c"}] * 30,
        np.array([[1, 2], [3]] * 30, dtype=object),
    ],
    ids=["numbers", "strings", "tuples", "sets", "ndarray"],
)
def test_y08_lists_of_labels(estimator, y):
    assert_refused(estimator, y, "(?s)legacy multi-label.*MultiLabelBinarizer")


@each_estimator
@pytest.mark.parametrize("y", [[[1, 2], [3, 4]] * 30, [["a", "b"], ["c", "d"]] * 30])
def test_y08_lists_of_equally_many_labels(estimator, y):
    # No one can tell these from an indicator of two labels, but for the values.
    assert_refused(estimator, y, r"found 2|MultiLabelBinarizer")


@each_estimator
@pytest.mark.parametrize(
    "classes", [[7, 3, -1], ["tea", "coffee", "mate"], [True, False]]
)
def test_y09_class_labels_are_answered_with_class_labels(estimator, classes):
    X, _ = problem()
    y = np.array(classes)[np.arange(N_SAMPLES) % len(classes)]
    before = contents(y)
    model = fresh(estimator).fit(X, y)
    assert contents(y) == before
    assert model.classes_.tolist() == sorted(classes)
    predicted, P = model.predict(X), model.predict_proba(X)
    assert predicted.dtype == y.dtype
    assert predicted.shape == y.shape
    assert set(predicted) <= set(classes)
    assert type(P) is np.ndarray
    assert P.shape == (N_SAMPLES, len(classes))
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-5)
    assert (model.classes_[P.argmax(axis=1)] == predicted).all()
    assert model.score(X, y) == np.mean(predicted == y)


@each_estimator
def test_y10_continuous_y(estimator):
    y = np.linspace(0, 1, N_SAMPLES)
    assert_refused(estimator, y, "Unknown label type: continuous")


@each_estimator
@pytest.mark.parametrize("dtype", ["<U1", object])
def test_y11_strings_in_two_dimensions(estimator, dtype):
    y = np.full((N_SAMPLES, 3), "a", dtype=dtype)
    message = f"Y has dtype {y.dtype}, but a multilabel indicator of 0 and 1 is"
    assert_refused(estimator, y, literal(message))


@each_estimator
def test_y12_one_sparse_column_is_one_label(estimator):
    X, Y = problem()
    y = Y[:, :1]
    model = fresh(estimator, threshold=0.01).fit(X, y)
    P, predicted = model.predict_proba(X), model.predict(X)
    assert type(P) is type(predicted) is sp.csr_array
    assert P.shape == predicted.shape == (N_SAMPLES, 1)
    assert np.isfinite(P.data).all()
    assert np.array_equal(predicted.toarray(), P.toarray() >= 0.01)
    indices, _ = model.predict_topk(X, k=1)
    assert (indices == 0).all()


@each_estimator
def test_y12_one_dense_column_counts_as_class_labels(estimator):
    X, Y = problem()
    y = Y[:, :1].toarray()
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        model = fresh(estimator).fit(X, y)
    same = fresh(estimator).fit(X, y.ravel())
    assert contents(model.predict(X)) == contents(same.predict(X))
    assert contents(model.predict_proba(X)) == contents(same.predict_proba(X))


@each_estimator
@each_container
def test_y13_no_columns(estimator, make):
    assert_refused(estimator, make(np.zeros((N_SAMPLES, 0))), "0 labels")


@each_estimator
@each_container
def test_y14_labels_in_no_or_all_rows_give_one_warning(estimator, make):
    X, Y = problem()
    y = Y.toarray()
    y[:, [1, 4]], y[:, 6] = 0, 1
    y = make(y)
    before = contents(y)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fresh(estimator, max_epochs=40).fit(X, y)
    assert [warning.category for warning in caught] == [UserWarning]
    text = str(caught[0].message)
    assert "Of 8 labels, 2 have no positive row" in text
    assert "1 have only positive rows" in text
    assert caught[0].filename == __file__
    assert contents(y) == before
    indices, scores = model.predict_topk(X, k=8)
    assert np.bincount(indices.ravel(), scores.ravel()).argmax() == 6
    place = (indices == 6).argmax(axis=1)
    assert (place < 2).mean() > 0.95
    assert (place < 3).all()  # with other true labels it may come third


@each_estimator
@each_container
def test_y15_no_label_anywhere(estimator, make):
    X, Y = problem()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fresh(estimator).fit(X, make(np.zeros(Y.shape, dtype=np.int8)))
    assert [warning.category for warning in caught] == [UserWarning]
    assert "Of 8 labels, 8 have no positive row" in str(caught[0].message)
    assert all(np.isfinite(array).all() for array in arrays(model))
    predicted = model.predict(X)
    assert predicted.shape == Y.shape
    assert predicted.sum() == 0
    indices, scores = model.predict_topk(X, k=N_LABELS)
    assert (np.sort(indices) == np.arange(N_LABELS)).all()
    # Votes are exactly 0; a sigmoid is below what one row in the 60 would give.
    assert scores.max() <= (0 if isinstance(estimator, DECLAREClassifier) else 0.015)
    P = model.predict_proba(X)
    assert np.isfinite(P.data).all()


@each_estimator
@each_container
def test_y16_rows_without_labels_are_learned(estimator, make):
    X, Y = problem()
    truth = Y.toarray()
    truth[:20] = 0
    y = make(truth)
    model = fresh(estimator).fit(X, y)
    assert all(np.isfinite(array).all() for array in arrays(model))
    # They count in precision, though no prediction can be right there.
    best = model.predict_topk(X, k=1)[0][:, 0]
    right = truth[np.arange(N_SAMPLES), best]
    assert model.score(X, y) == pytest.approx(right.sum() / N_SAMPLES)
    assert 0 < model.score(X, y) <= 2 / 3


def outcomes_of_corrupt_y(estimator):
    """Try all corruptions, in a process that may crash."""
    X, Y = problem()
    return {
        fault: outcome(fresh(estimator).fit, X, corrupted(Y, fault))
        for fault in CORRUPTIONS
    }


@each_estimator
def test_y17_inconsistent_indices_are_never_a_crash(estimator):
    result = in_subprocess(outcomes_of_corrupt_y, estimator)
    assert result.returncode == 0
    wrong = {
        fault: text
        for fault, text in result.value.items()
        if not str(text).startswith("ValueError: ")
    }
    assert wrong == {}


@each_estimator
@pytest.mark.parametrize("fault", CORRUPTIONS)
def test_y17_inconsistent_indices_are_named(estimator, fault):
    y = corrupted(problem()[1], fault)
    text = CORRUPTIONS[fault].format(n_rows=N_SAMPLES, n_columns=N_LABELS)
    assert_refused(estimator, y, f"Y has .*{literal(text)}")


@each_estimator
@pytest.mark.parametrize("form", ["dense", "classes"])
def test_y18_dense_probabilities_beyond_the_limit(estimator, form, monkeypatch):
    X, Y = problem()
    y = Y.toarray() if form == "dense" else np.arange(N_SAMPLES) % N_LABELS
    model = fresh(estimator).fit(X, y)
    before, size = contents(model.predict_proba(X)), n_bytes(model)
    monkeypatch.setattr(_validation, "MAX_DENSE_BYTES", 4 * N_SAMPLES * N_LABELS - 1)
    message = "(?s)" + literal("shape (60, 8) would need") + ".* GB.*sparse"
    with pytest.raises(ValueError, match=message) as caught:
        model.predict_proba(X)
    assert type(caught.value) is ValueError
    # One row less is below the limit, and so is the limit itself.
    assert model.predict_proba(X[1:]).shape == (N_SAMPLES - 1, N_LABELS)
    monkeypatch.setattr(_validation, "MAX_DENSE_BYTES", 4 * N_SAMPLES * N_LABELS)
    assert contents(model.predict_proba(X)) == before
    assert n_bytes(model) == size


@each_estimator
def test_y18_sparse_probabilities_need_no_dense_array(estimator, monkeypatch):
    model = fitted(estimator, n_top_labels=2)
    monkeypatch.setattr(_validation, "MAX_DENSE_BYTES", 4 * N_SAMPLES * 2)
    assert model.predict_proba(problem()[0]).nnz <= 2 * N_SAMPLES


def test_y18_the_size_is_given_in_gigabytes():
    with pytest.raises(ValueError, match=r"would need 120\.0 GB"):
        _validation.check_dense_fits((10_000, 3_000_000), "do otherwise")
