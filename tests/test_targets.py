"""The form of targets, remembered and encoded."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import DataConversionWarning

from skxmc._targets import encode_known_targets, encode_targets, form_of

ONES = [[0, 1, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0]]
SPARSE = [
    getattr(sp, f"{fmt}_{kind}")
    for fmt in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
    for kind in ("array", "matrix")
]


def as_bytes(y):
    if not sp.issparse(y):
        return y.tobytes()
    parts = (y.data, y.indices, y.indptr)
    return [part.tobytes() for part in parts], [part.dtype for part in parts]


def assert_canonical(Y):
    assert isinstance(Y, sp.csr_array)
    assert Y.dtype == np.float32
    assert Y.has_canonical_format
    assert (Y.data == 1).all()


@pytest.mark.parametrize(
    ("y", "classes", "dtype"),
    [
        ([3, -1, 3, 7], [-1, 3, 7], np.int64),
        (["b", "a", "b", "ccc"], ["a", "b", "ccc"], "<U3"),
        (np.array(["b", "a"], dtype=object), ["a", "b"], object),
        (np.array([True, False, True]), [False, True], bool),
        (np.array([2.0, 1.0], dtype=np.float32), [1.0, 2.0], np.float32),
        ([5, 5, 5], [5], np.int64),
    ],
)
def test_class_labels_become_one_column_each_and_come_back(y, classes, dtype):
    Y, form = encode_targets(y)
    assert_canonical(Y)
    assert form.classes.tolist() == classes
    expected = [[label == c for c in classes] for label in y]
    np.testing.assert_array_equal(Y.toarray(), expected)
    assert form.classes[Y.toarray().argmax(axis=1)].tolist() == list(y)
    assert form.classes.dtype == form.dtype == dtype
    assert form.is_single_label
    assert not form.is_sparse
    assert form.n_labels == len(classes)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, float])
@pytest.mark.parametrize("make", [np.array, *SPARSE])
def test_indicators_of_any_container_and_type_are_encoded(make, dtype):
    y = make(np.array(ONES, dtype=dtype))
    Y, form = encode_targets(y)
    assert_canonical(Y)
    np.testing.assert_array_equal(Y.toarray(), ONES)
    if isinstance(y, np.ndarray):
        kind = "dense"
    else:
        kind = "array" if isinstance(y, sp.sparray) else "matrix"
    assert form.kind == kind
    assert form.is_sparse == (kind != "dense")
    assert form.dtype == dtype
    assert form.classes.tolist() == [0, 1, 2]
    assert not form.is_single_label


def test_a_list_of_rows_is_a_dense_indicator():
    Y, form = encode_targets(ONES)
    np.testing.assert_array_equal(Y.toarray(), ONES)
    assert form.kind == "dense"


def test_a_dense_column_counts_as_class_labels_with_a_warning():
    column = np.array([[4], [2], [4]])
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        Y, form = encode_targets(column)
    expected, flat_form = encode_targets(column.ravel())
    np.testing.assert_array_equal(Y.toarray(), expected.toarray())
    assert form.kind == flat_form.kind == "classes"
    assert form.classes.tolist() == flat_form.classes.tolist()


@pytest.mark.parametrize("make", [sp.csr_array, sp.csr_matrix])
def test_a_sparse_column_is_an_indicator_of_one_label(make):
    Y, form = encode_targets(make(np.array([[1], [0], [1]])))
    assert Y.toarray().ravel().tolist() == [1, 0, 1]
    assert form.is_sparse
    assert form.n_labels == 1


@pytest.mark.parametrize(
    "y",
    [
        np.array(ONES, order="F"),
        np.array([2, 0, 1, 2]),
        # Unsorted, with a duplicate and explicit zeros: made canonical on a copy.
        sp.csr_array(
            ([0.5, 0.0, 0.5, 1.0, 0.0], [2, 1, 2, 0, 0], [0, 4, 5]), shape=(2, 3)
        ),
    ],
    ids=["dense", "classes", "sparse"],
)
def test_encoding_leaves_y_unchanged_bit_for_bit_and_shares_nothing(y):
    before = as_bytes(y)
    Y, _ = encode_targets(y)
    Y.data[:], Y.indices[:] = 9, 0
    assert as_bytes(y) == before


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.5, 1.25], "Unknown label type: continuous"),
        (np.ones((2, 3, 1)), r"Y has shape \(2, 3, 1\); pass a 0/1 indicator"),
        (None, r"Y has shape \(\); pass a 0/1 indicator"),
        (sp.csr_array((0, 2)), r"Y has shape \(0, 2\); .* at least one row"),
        ([[0, 1], [2, 1]], "Y must contain only 0 and 1; found 2"),
        ([["a", "b"], ["c", "d"]], "Y has dtype <U1, .*MultiLabelBinarizer"),
    ],
)
def test_what_is_no_target_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        encode_targets(y)


@pytest.mark.parametrize(
    ("before", "new"),
    [
        ([0, 1], ["new"]),
        (["a", "b"], [7]),
        ([False, True], [2]),
        ([0, 1], [7.5]),
        (np.array(["a", "b"], dtype=object), np.array([7], dtype=object)),
    ],
)
def test_new_classes_of_another_type_are_refused(before, new):
    form = encode_targets(before)[1]
    with pytest.raises(ValueError, match="pass classes of that type"):
        form.extended(1, new)


@pytest.mark.parametrize(
    ("before", "new"),
    [
        ([0, 1], np.array([9], dtype=np.int8)),
        ([1.0, 2.0], [3]),
        (["a", "b"], ["longer"]),
        (np.array(["a", "b"], dtype=object), ["c"]),
    ],
)
def test_new_classes_of_one_type_come_after_the_others(before, new):
    classes = encode_targets(before)[1].extended(1, new).classes
    assert classes.tolist() == [*before, *np.asarray(new).tolist()]


@pytest.mark.parametrize("classes", [[], [[0, 1]], 3])
def test_classes_of_a_first_part_are_one_each(classes):
    with pytest.raises(ValueError, match="pass all classes there will be"):
        form_of([0, 1], classes)


def test_classes_of_a_first_part_may_be_a_set():
    assert form_of([0, 1], {2, 0, 1}).classes.tolist() == [0, 1, 2]


def test_a_dense_column_counts_as_class_labels_the_second_time_too():
    form = encode_targets([2, 0, 1])[1]
    with pytest.warns(DataConversionWarning):
        Y = encode_known_targets(np.array([[0], [2]]), form)
    assert Y.toarray().tolist() == [[1, 0, 0], [0, 0, 1]]


def test_classes_without_an_order_are_named():
    form = encode_targets(np.array(["a", "b"], dtype=object))[1]
    with pytest.raises(ValueError, match="y holds 3, of another type"):
        encode_known_targets([3, 4], form)
