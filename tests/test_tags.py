"""Columns of texts and tags, and the indicator they become."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MultiLabelBinarizer

from skxmc._tags import (
    check_texts,
    decode_tags,
    encode_tags,
    learn_names,
    read_tags,
    texts_of,
    unknown_tags_message,
)

COLUMNS = [list, tuple, pd.Series, lambda values: np.array(values, dtype=object)]
NAMES = st.one_of(st.text(max_size=3), st.sampled_from(["red", "C++", "日本"]))


@pytest.mark.parametrize("column", COLUMNS)
def test_texts_of_all_columns_are_read(column):
    assert check_texts(column(["a b", "", "c"])) == ["a b", "", "c"]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, 3, b"text"])
def test_row_that_is_no_text_is_named(missing):
    with pytest.raises(TypeError, match=r"texts\[2\] is"):
        check_texts(pd.Series(["a", "b", missing], index=[7, 8, 9], dtype=object))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", "single text"),
        ((text for text in "ab"), r"pass list\(texts\)"),
        ({"a", "b"}, "no rows in order"),
        ({"a": "b"}, "no rows in order"),
        (7, "int"),
    ],
)
def test_what_is_no_column_of_texts_is_refused(texts, message):
    with pytest.raises(TypeError, match=message):
        check_texts(texts)


def test_table_in_place_of_a_column_is_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 1\)"):
        check_texts(pd.DataFrame({"text": ["a"]}))


@pytest.mark.parametrize("column", [list, tuple, pd.Series])
@pytest.mark.parametrize("row", [list, tuple, set, frozenset, np.array])
def test_rows_of_all_kinds_are_lists_of_names(column, row):
    rows, is_single = read_tags(column([row(["red"]), row(["red", "old"])]))
    assert [sorted(tags) for tags in rows] == [["red"], ["old", "red"]]
    assert not is_single


@pytest.mark.parametrize("tags", [["red", "old"], np.array(["red", "old"])])
def test_one_name_a_row_is_single_label(tags):
    assert read_tags(tags) == ([["red"], ["old"]], True)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([["red"], "old"], r"tags\[1\] is 'old'"),
        ([["red"], None], r"tags\[1\] is None"),
        (["red", None], r"tags\[1\] holds None"),
        ([["red"], ["old", 3]], r"tags\[1\] holds 3"),
        ([[1], [2.5]], r"tags\[1\] holds 2.5"),
        ([["red"], [["old"]]], r"tags\[1\] holds \['old'\]"),
        ([[True]], r"tags\[0\] holds True"),
        ("red", "single text"),
    ],
)
def test_tags_that_are_no_names_are_refused_by_row(tags, message):
    with pytest.raises(TypeError, match=message):
        read_tags(tags)


def test_indicator_in_place_of_names_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        read_tags(np.eye(2))


@given(st.lists(st.lists(NAMES, max_size=4), min_size=1, max_size=8))
def test_indicator_and_names_are_those_of_scikit_learn(rows):
    binarizer = MultiLabelBinarizer().fit(rows)
    if not len(binarizer.classes_):
        return
    names = learn_names(rows, 1)
    assert names.tolist() == binarizer.classes_.tolist()
    Y = encode_tags(rows, names)
    expected = binarizer.transform(rows)
    np.testing.assert_array_equal(Y.toarray(), expected)
    assert decode_tags(Y, names) == binarizer.inverse_transform(expected)


def test_names_occur_in_enough_rows_and_count_once_a_row():
    rows = [["a", "a", "b"], ["b"], []]
    assert learn_names(rows, 2).tolist() == ["b"]
    with pytest.raises(ValueError, match=r"min_label_count=3 .* in 2 of 3 rows"):
        learn_names(rows, 3)


def test_names_may_be_numbers():
    rows = read_tags([[30, np.int64(4)], [4]])[0]
    names = learn_names(rows, 1)
    assert names.dtype == np.int64
    assert decode_tags(encode_tags(rows, names), names) == [(4, 30), (4,)]


def test_unknown_tags_are_counted_and_left_out():
    names = np.array(["a", "b"], dtype=object)
    rows = [["a", "x"], ["y"], [], ["b"]]
    assert encode_tags(rows, names).toarray().tolist() == [[1, 0], [0, 0]] * 1 + [
        [0, 0],
        [0, 1],
    ]
    assert "2, such as 'x'. They are left out; 1 of 4" in unknown_tags_message(
        rows, names
    )
    assert unknown_tags_message([["a"]], names) is None


def test_names_become_words_unless_a_dict_says_more():
    names = np.array(["HTTPError", "parse_args", "readLine2x", "c++"], dtype=object)
    assert texts_of(names, "names") == ["HTTP Error", "parse args", "read Line2x", "c"]
    assert texts_of(names, {"c++": "a language"})[-1] == "a language"
