"""Lay out tables that can be sorted by any column, and are complete without a script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from compressor.render.html.markup import Markup, tag

_SHORT = 8
"""Letters of a column's name that is not folded."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a table: text or a drawing, and the number to sort by where it stands for one."""

    text: str
    value: float | None = None
    class_: str | None = None


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, caption: str) -> Markup:
    """Lay out `rows`; a column of numbers stands to the right. `caption` is what a screen reader announces."""
    numeric = [
        any(row[at].value is not None and not isinstance(row[at].text, Markup) for row in rows)
        for at in range(len(columns))
    ]
    head = [
        tag("th", name, scope="col", class_=_head(name, is_number))
        for name, is_number in zip(columns, numeric, strict=True)
    ]
    body = [tag("tr", *(_cell(cell, at, numeric[at]) for at, cell in enumerate(row))) for row in rows]
    laid_out = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *body), class_="sortable"
    )
    return scrolling(laid_out, caption)


def facts(rows: Sequence[tuple[str, str]], *, caption: str) -> Markup:
    """Lay out names and what they stand for; there is nothing to sort in that."""
    body = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows]
    return scrolling(tag("table", tag("caption", caption), tag("tbody", *body)), caption)


def scrolling(content: str, name: str) -> Markup:
    """Let wide content scroll by itself, by keyboard too."""
    return tag("div", content, class_="wide", tabindex="0", role="region", aria_label=name)


def _head(name: str, is_number: bool) -> str | None:
    """Short names stay on one line, above figures that are no wider."""
    classes = ("number" if is_number else "", "short" if len(name) <= _SHORT else "")
    return " ".join(filter(None, classes)) or None


def _cell(cell: Cell, at: int, is_number: bool) -> Markup:
    value = None if cell.value is None or math.isnan(cell.value) else repr(cell.value)
    kind = "drawn" if isinstance(cell.text, Markup) else "number" if is_number else None
    classes = " ".join(filter(None, (kind, cell.class_))) or None
    if at == 0:
        return tag("th", cell.text, scope="row", data_value=value, class_=classes)
    return tag("td", cell.text, data_value=value, class_=classes)
