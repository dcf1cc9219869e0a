"""Tables from files that nobody vouches for."""

from __future__ import annotations

from pathlib import Path

import pytest

from compressor import OptionError
from compressor.evaluation.data import table
from compressor.evaluation.data.table import read_table


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_quoted_fields_hold_commas_quotes_and_lines(tmp_path: Path) -> None:
    found = read_table(write(tmp_path, "d.csv", 'a,b\r\n"x, ""y""\nz",2\r\n'), None, 0)
    assert found.column("a") == ['x, "y"\nz']
    assert found.columns == ("a", "b")


def test_tabs_separate_whatever_quotes_there_are(tmp_path: Path) -> None:
    found = read_table(write(tmp_path, "d.tsv", 'a\tb\n"he said\t1\nno" \t2\n'), None, 0)
    assert found.column("a") == ['"he said', 'no" ']


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "d.csv", b"\xef\xbb\xbftext\nx\n"), None, 0).columns == ("text",)


def test_only_rows_that_are_drawn_are_kept(tmp_path: Path) -> None:
    found = read_table(write(tmp_path, "d.csv", "a\n" + "".join(f"{n}\n" for n in range(100))), 7, 3)
    assert found.total == 100
    assert [int(str(value)) + 1 for value in found.column("a")] == list(found.numbers)
    assert len(found.rows) == 7


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.csv", "", "is empty; its first line names the columns"),
        ("d.csv", "a,b\n", "holds no rows"),
        ("d.csv", "a,b\n1,2\n1\n", "row 2 has 1 fields, the heading has 2; put fields with commas in quotes"),
        ("d.csv", "a,b\n1,2,3\n", "row 1 has 3 fields, the heading has 2"),
        ("d.csv", "a,a\n1,2\n", "column 'a' of the heading is empty or there twice"),
        ("d.csv", 'a\n"x', "is not separated values: unexpected end of data"),
        ("d.csv", "a\n" + "x" * 140_000, "is not separated values: field larger than field limit"),
        ("d.csv", b"a\n\xff\xfe\n", "is not UTF-8 text"),
        ("d.tsv", "a\tb\n1\n", "row 1 has 1 fields, the heading has 2; a field must not hold a tab"),
        ("d.jsonl", "\n\n", "holds no rows"),
        ("d.jsonl", '{"a": 1}\n{"a": -1e400}', "row 2 is not JSON: '-1e400' is too large a number"),
        ("d.jsonl", '{"a": 1}\n{"a": \n', "row 2 is not JSON"),
        ("d.jsonl", "[1]\n", "row 1 is a JSON list; each line holds one object"),
        ("d.jsonl", "[" * 200_000, "row 1 is not JSON"),
        ("d.jsonl", '{"a": ' + "9" * 5000 + "}", "row 1 is not JSON"),
    ],
)
def test_malformed_files_are_refused_in_one_sentence(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(OptionError) as refused:
        read_table(write(tmp_path, name, content), None, 0)
    assert message in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / name))
    assert "\n" not in str(refused.value)


def test_a_line_without_an_end_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LONGEST_LINE", 1000)
    for name in ("d.csv", "d.jsonl"):
        with pytest.raises(OptionError, match="a line is longer than 1,000 characters"):
            read_table(write(tmp_path, name, "x" * 1001), None, 0)


def test_a_hundred_thousand_columns_are_read_in_steps_that_grow_with_them(tmp_path: Path) -> None:
    """Counting every name among all of them took an hour; a column among 784 was looked for in all rows each time."""
    names = [f"c{number}" for number in range(100_000)]
    found = read_table(write(tmp_path, "d.csv", f"{','.join(names)}\n{','.join('1' for _ in names)}\n"), None, 0)
    assert found.columns is found.columns, "they are gathered once"
    with pytest.raises(OptionError, match=r"its columns: c0, c1, .* and 99,980 more") as refused:
        found.column("none")
    assert len(str(refused.value)) < 1000


def test_too_many_rows_are_to_be_drawn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MOST_ROWS", 3)
    path = write(tmp_path, "d.csv", "a\n1\n2\n3\n4\n")
    with pytest.raises(OptionError, match="has 4 rows, at most 3 are run; draw some with --samples N"):
        read_table(path, None, 0)
    assert len(read_table(path, 3, 0).rows) == 3


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    found = read_table(write(tmp_path, "d.csv", "a,b\n1,2\n"), None, 0)
    with pytest.raises(OptionError, match="has no column 'c'; its columns: a, b"):
        found.column("c")


def test_a_row_without_a_value_is_named(tmp_path: Path) -> None:
    found = read_table(write(tmp_path, "d.jsonl", '{"a": 1}\n{"b": 1}\n'), None, 0)
    with pytest.raises(OptionError, match="row 2, column 'a': holds no value"):
        found.column("a")
