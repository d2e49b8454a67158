"""Texts and labels in JSON lines: one object a line, with "text" and "labels"."""

import json


def read_json_lines(lines, name):
    """Yield the text and the labels of each line.

    Parameters
    ----------
    lines : iterable of bytes
        Lines such as ``{"text": "red wine", "labels": ["drink", "red"]}``; other keys
        are not looked at.
    name : str
        Name of the file in errors.

    Yields
    ------
    text : str
    labels : list of str or int, str, int, or None where the line has none

    Raises
    ------
    ValueError
        If a line is no such object. The message has the file and the line.
    """
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(
                f"{name}, line {number}: this is no JSON ({error}); write one object "
                'a line, {"text": "...", "labels": ["...", "..."]}.'
            ) from error
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise ValueError(
                f"{name}, line {number}: there is no text; write "
                '{"text": "...", "labels": ["...", "..."]}.'
            )
        labels = record.get("labels")
        if isinstance(labels, dict | float | bool):
            raise ValueError(
                f"{name}, line {number}: labels are {labels!r}; write a list of names, "
                "or one name."
            )
        yield record["text"], labels


def read_labelled(lines, name):
    """Return texts and labels of all lines as two lists, or say which has no labels.

    Parameters
    ----------
    lines : iterable of bytes
        As for `read_json_lines`.
    name : str
        Name of the file in errors.

    Returns
    -------
    texts : list of str
    labels : list
    """
    texts, labels = [], []
    for number, (text, found) in enumerate(read_json_lines(lines, name), start=1):
        if found is None:
            raise ValueError(
                f'{name}, line {number}: there are no "labels"; write a list of names, '
                "which may be empty."
            )
        texts.append(text)
        labels.append(found)
    return texts, labels


def format_ranking(labels, scores):
    """Return a line of JSON, as `read_json_lines` reads it but for the text."""
    row = {"labels": labels, "scores": [round(score, 6) for score in scores]}
    return json.dumps(row, ensure_ascii=False) + "\n"
