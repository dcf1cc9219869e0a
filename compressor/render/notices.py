"""Say what a reader must know before believing the figures: a line each, together."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from compressor.render import figures


def notices(warnings: Iterable[str], broken_limits: Iterable[str], undone: Iterable[str] = ()) -> list[RenderableType]:
    """Lay out what was undone, warnings, and limits that are broken; nothing where there are none."""
    said = [Text(figures.printable(text), style="red") for text in undone]
    said += [Text(f"warning: {figures.printable(text)}", style="yellow") for text in warnings]
    said += [Text(f"limit broken: {figures.printable(text)}", style="red") for text in broken_limits]
    return [Group(*said)] if said else []
