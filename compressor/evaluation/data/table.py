"""Read tables: ``.csv``, ``.tsv``, ``.jsonl``; only the rows that were drawn are kept."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from compressor.errors import OptionError
from compressor.evaluation.data.rows import draw
from compressor.evaluation.wording import listed, shown

MOST_ROWS = 1_000_000
"""Rows kept; more take days to run, and ``--samples`` draws some of them."""

LONGEST_LINE = 16 << 20
"""Characters of one line."""

SUFFIXES = (".csv", ".tsv", ".jsonl")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that were drawn from a file.

    Attributes:
        path: the file.
        rows: each a mapping from column to value: text from ``.csv`` and ``.tsv``, any JSON value from ``.jsonl``.
        numbers: the row of the file each is, counted from 1 without the heading.
        total: rows in the file.
    """

    path: Path
    rows: Sequence[Mapping[str, object]]
    numbers: Sequence[int]
    total: int

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Name the columns, in the order in which they appear."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row))

    def place_of_row(self, row: int) -> str:
        """Say where a row is."""
        return f"{self.path}: row {self.numbers[row]}"

    def place(self, row: int, column: str) -> str:
        """Say where a value is."""
        return f"{self.place_of_row(row)}, column {column!r}"

    def column(self, name: str) -> Sequence[object]:
        """Take the values of one column.

        Raises:
            OptionError: there is no such column, or a row has no value in it.
        """
        if name not in self.columns:
            raise OptionError(f"{self.path}: has no column {name!r}; its columns: {listed(self.columns)}")
        for row, values in enumerate(self.rows):
            if values.get(name) is None:
                raise OptionError(f"{self.place(row, name)}: holds no value")
        return [values[name] for values in self.rows]


def read_table(path: Path, samples: int | None, seed: int) -> Table:
    """Read the rows that chance draws.

    Raises:
        OptionError: the file is missing, malformed or empty, or has too many rows.
    """
    total = sum(1 for _ in _rows(path))
    if total == 0:
        raise OptionError(f"{path}: holds no rows")
    chosen = draw(total, samples, seed)
    if len(chosen) > MOST_ROWS:
        raise OptionError(f"{path}: has {total:,} rows, at most {MOST_ROWS:,} are run; draw some with --samples N")
    wanted = set(chosen)
    rows = [row for number, row in enumerate(_rows(path)) if number in wanted]
    return Table(path=path, rows=rows, numbers=[number + 1 for number in chosen], total=total)


def _rows(path: Path) -> Iterator[Mapping[str, object]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            bounded = _bounded(path, lines)
            yield from (_json_rows if path.suffix.lower() == ".jsonl" else _delimited_rows)(path, bounded)
    except OSError as error:
        raise OptionError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{path}: is not UTF-8 text: {error.reason}; save it as UTF-8") from error


def _delimited_rows(path: Path, lines: Iterator[str]) -> Iterator[Mapping[str, object]]:
    """Read comma- or tab-separated values. Tabs have no quoting (IANA text/tab-separated-values), commas RFC 4180's."""
    is_tabbed = path.suffix.lower() == ".tsv"
    reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if is_tabbed else csv.reader(lines, strict=True)
    try:
        heading = next((fields for fields in reader if fields), [])
        _check_heading(path, heading)
        for number, fields in enumerate((fields for fields in reader if fields), start=1):
            if len(fields) != len(heading):
                raise OptionError(
                    f"{path}: row {number} has {len(fields)} fields, the heading has {len(heading)}; "
                    + ("a field must not hold a tab" if is_tabbed else "put fields with commas in quotes")
                )
            yield dict(zip(heading, fields, strict=True))
    except csv.Error as error:
        raise OptionError(f"{path}: line {reader.line_num} is not separated values: {error}") from error


def _check_heading(path: Path, heading: Sequence[str]) -> None:
    if not heading:
        raise OptionError(f"{path}: is empty; its first line names the columns")
    twice = [name for name, count in Counter(heading).items() if count > 1 or not name.strip()]
    if twice:
        raise OptionError(f"{path}: column {shown(twice[0])} of the heading is empty or there twice; give each a name")


def _json_rows(path: Path, lines: Iterator[str]) -> Iterator[Mapping[str, object]]:
    number = 0
    for line in lines:
        if not line.strip():
            continue
        number += 1
        try:
            row = read_json(line)
        except (ValueError, RecursionError) as error:
            raise OptionError(f"{path}: row {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise OptionError(f"{path}: row {number} is a JSON {type(row).__name__}; each line holds one object")
        yield row


def read_json(text: str) -> Any:
    """Read JSON, in which a number beyond all that float64 holds is a mistake and not infinity.

    Raises:
        ValueError: it is not JSON, or holds such a number.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_float=_finite)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{shown(text)} is too large a number")
    return value


def _bounded(path: Path, lines: TextIO) -> Iterator[str]:
    while line := lines.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise OptionError(f"{path}: a line is longer than {LONGEST_LINE:,} characters; give one row a line")
        yield line
