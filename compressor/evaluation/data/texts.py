"""Find the text columns of a table."""

from __future__ import annotations

from collections.abc import Sequence

from compressor.errors import OptionError
from compressor.evaluation.data.table import Table
from compressor.evaluation.data.text import Text
from compressor.evaluation.wording import listed, shown

PAIRS = (
    ("text", "text_pair"),
    ("premise", "hypothesis"),
    ("question", "context"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("query", "passage"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("sentence_a", "sentence_b"),
)
"""Columns of pairs, as the data sets that are used most name them."""

SINGLES = (
    "text",
    "sentence",
    "tokens",
    "words",
    "question",
    "utterance",
    "query",
    "review",
    "content",
    "title",
    "body",
)


def find_text_columns(table: Table, named: Sequence[str], taken: Sequence[str]) -> tuple[str, ...]:
    """Take the columns that are named, else those with known names, else the only one that holds text.

    Raises:
        OptionError: there is no such column, or nothing tells which it is.
    """
    if named:
        for name in named:
            table.column(name)
        return tuple(named)
    left = [name for name in table.columns if name not in taken]
    for pair in PAIRS:
        if set(pair) <= set(left):
            return pair
    for name in SINGLES:
        if name in left:
            return (name,)
    texts = [name for name in left if all(_is_text(row.get(name)) for row in table.rows)]
    if len(texts) == 1:
        return (texts[0],)
    raise OptionError(
        f"{table.path}: which column holds the text is not clear ({listed(left) or 'none is left'}); "
        "name it with --text-column, or two with a comma"
    )


def holds_text(table: Table, taken: Sequence[str]) -> bool:
    """Tell whether any column that is left holds text."""
    left = [name for name in table.columns if name not in taken]
    return any(_is_text(value) or isinstance(value, list) for row in table.rows[:1] for value in map(row.get, left))


def read_texts(table: Table, columns: Sequence[str], *, are_words: bool) -> list[tuple[Text, ...]]:
    """Take the texts of each row.

    Raises:
        OptionError: a row holds something else.
    """
    cells = [[_text(v, table.place(r, name), are_words) for r, v in enumerate(table.column(name))] for name in columns]
    return list(zip(*cells, strict=True))


def _text(value: object, place: str, are_words: bool) -> Text:
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return list(value) if are_words else " ".join(value)
    if not isinstance(value, str):
        raise OptionError(f"{place}: holds {shown(value)}, a text is wanted")
    return value.split() if are_words else value


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False
