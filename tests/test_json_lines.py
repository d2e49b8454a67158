"""Texts and labels in JSON lines."""

import json

import pytest

from skxmc._json_lines import format_ranking, read_json_lines, read_labelled


def test_lines_are_read_with_what_labels_they_have():
    lines = [b'{"text": "a", "labels": ["x"], "id": 3}', b'{"text": "b"}\n']
    assert list(read_json_lines(lines, "f")) == [("a", ["x"]), ("b", None)]


def test_text_may_be_of_any_language_and_begin_with_a_mark():
    line = b"\xef\xbb\xbf" + '{"text": "日本", "labels": "ü"}'.encode()
    assert read_labelled([line], "f") == (["日本"], ["ü"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "no JSON"),
        (b"\n", "no JSON"),
        (b'{"text": "\xff"}', "no JSON"),
        (b'["text"]', "no text"),
        (b'{"text": 3}', "no text"),
        (b'{"text": "a"}', 'no "labels"'),
        (b'{"text": "a", "labels": {"x": 1}}', "labels are"),
    ],
)
def test_bad_line_is_named(line, message):
    good = b'{"text": "a", "labels": []}'
    with pytest.raises(ValueError, match=rf"file, line 2: .*{message}"):
        read_labelled([good, line], "file")


def test_ranking_is_one_line_of_json():
    line = format_ranking(["ü", "\n"], [0.123456789, 0.5])
    assert line.count("\n") == 1
    assert json.loads(line) == {"labels": ["ü", "\n"], "scores": [0.123457, 0.5]}
