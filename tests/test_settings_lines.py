"""A problem names the line where its key stands, however the file spells it."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from emolytics.settings_lines import KeyPath, key_lines

SPELLINGS: list[tuple[str, str, KeyPath, int | None]] = [
    ("a key", "a = 1\nb = 2", ("b",), 2),
    ("a table", "\n[a]\n", ("a",), 2),
    ("a key of a table", "[a]\n\nb = 1", ("a", "b"), 3),
    ("the table around a dotted header", "\n[a.b]\nc = 1", ("a",), 2),
    ("a dotted key", "[a]\nb.c.d = 1", ("a", "b", "c", "d"), 2),
    ("a dotted key with spaces", "a . b = 1\nc = 2", ("c",), 2),
    ("a quoted key", '["a.b"]\n"c \\"d\\"" = 1', ("a.b", 'c "d"'), 2),
    ("a key with an escape", '\n"\\u00e9" = 1', ("é",), 2),
    ("a literal key", "[a]\n'c:\\d' = 1", ("a", "c:\\d"), 2),
    ("a key of an inline table", "\na = { b = 1, c = { d = 2 } }", ("a", "c", "d"), 2),
    ("a key after an inline table", "a = { b = 1 }\nc = 2", ("c",), 2),
    ("an element", 'a = [\n  "x",\n  "y", # why\n  "z",\n]', ("a", 2), 4),
    ("an element of an element", "a = [[1, 2], [\n3,\n4]]", ("a", 1, 1), 3),
    ("a table in an array", "a = [\n{ b = 1 },\n{ b = 2 }]", ("a", 1, "b"), 3),
    ("a key after an array", "a = [ 1,\n 2 ]\nb = 3", ("b",), 3),
    ("an array of tables", "[[a]]\nb = 1\n[[a]]\nb = 2", ("a", 1, "b"), 4),
    ("a table of the last element", "[[a]]\n[a.b]\nc = 1\n[[a]]\n[a.b]\nc = 2", ("a", 1, "b", "c"), 6),
    ("nested arrays of tables", "[[a]]\n[[a.b]]\nc = 1\n[[a.b]]\nc = 2", ("a", 0, "b", 1, "c"), 5),
    ("after a multi-line string", 'a = """\nb = 1\n[c]\n"""\nb = 2', ("b",), 5),
    ("after a multi-line literal", "a = '''\nb = 1\n'''\nb = 2", ("b",), 4),
    ("after quotes at a string's end", 'a = """x"""""\nb = """\\""""\nc = 3', ("c",), 3),
    ("after a hash in a string", 'a = "# not a comment"\nb = 2', ("b",), 2),
    ("after an escaped quote", 'a = "\\"[b]"\nb = 2', ("b",), 2),
    ("after comments", "# a = 1\n  # [b]\nc = 3", ("c",), 3),
    ("after a date with a space", "a = 1979-05-27 07:32:00\nb = 2", ("b",), 2),
    ("with carriage returns", "a = 1\r\n[b]\r\nc = 3\r\n", ("b", "c"), 3),
    ("a key that is not there, in a table that is", "a = 1\n[b]\nc = 1", ("b", "missing"), 2),
    ("a table that is not there", "a = 1", ("b",), None),
]

PIECES = [
    *(
        "a",
        "b",
        '"a"',
        "'b'",
        ".",
        "=",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        '"""',
        "'''",
        '"',
        "'",
        "#",
        "\\",
        "\n",
    ),
    *(
        "\r\n",
        " ",
        "\t",
        ",",
        "1",
        '"x"',
        "a = 1\n",
        "[a]\n",
        "[[a]]\n",
        "[a.b]\n",
        "a.b = ",
        "a = [",
        "a = {b = ",
    ),
]


@pytest.mark.parametrize(
    ("text", "path", "line"), [row[1:] for row in SPELLINGS], ids=[row[0] for row in SPELLINGS]
)
def test_the_line_of(text: str, path: KeyPath, line: int | None) -> None:
    tomllib.loads(text)

    assert key_lines(text).line(path) == line


@pytest.mark.parametrize(
    "text", ["a", "a = ", '"\\1"', "[a", "a = [1", '"a', "= 1", "a = {b", "[[a]", "]", "a = \n" * 3]
)
def test_text_that_is_no_toml_is_read_as_far_as_it_goes(text: str) -> None:
    assert key_lines(f"first = 1\n{text}").line(("first",)) == 1


def test_arrays_deeper_than_the_stack_end_the_search() -> None:
    assert key_lines("a = 1\nb = " + "[" * 100_000).line(("a",)) == 1


@profile(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_it_never_fails_and_knows_every_key_of_valid_toml(text: str) -> None:
    lines = key_lines(text)

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(_paths(document)) <= set(lines.lines)


def _paths(value: Any, at: KeyPath = ()) -> list[KeyPath]:
    match value:
        case dict():
            inner = list(value.items())
        case list():
            inner = list(enumerate(value))
        case _:
            return []
    return [found for part, each in inner for found in ((*at, part), *_paths(each, (*at, part)))]
