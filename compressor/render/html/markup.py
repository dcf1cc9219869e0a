"""Write HTML and SVG elements, in which everything that is not markup already is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

from compressor.render import figures

_VOID = frozenset({"meta", "br"})


class Markup(str):
    """Text that is markup; any other text comes from a model, a path or a user, and is escaped."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Leave markup as it is; of other text, spell out control characters and escape what HTML gives a meaning."""
    return text if isinstance(text, Markup) else Markup(html.escape(figures.printable(text)))


def joined(parts: Iterable[str]) -> Markup:
    """Put parts one behind the other."""
    return Markup("".join(map(escaped, parts)))


def tag(element: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """Write an element. In attributes, ``_`` stands for ``-`` and one at the end is dropped; None leaves one out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(_spelled(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if element in _VOID:
        return Markup(f"<{element}{written}>")
    return Markup(f"<{element}{written}>{joined(children)}</{element}>")


def _spelled(value: str | float) -> str:
    """Spell numbers with two digits behind the point: a hundredth of a pixel is not seen."""
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
