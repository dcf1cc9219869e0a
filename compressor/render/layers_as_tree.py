"""Draw where the weights of a model are as a tree of its layers, the heavy ones open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from compressor.render import figures
from compressor.render.folding import FoldedLayer, fold
from compressor.report import Layer

ROWS_SHOWN = 16
"""Layers shown before the light ones are left out."""

_OWN = "(its own weights)"


def layers_as_tree(root: Layer, *, verbose: bool = False) -> RenderableType:
    """Lay out the layers in `root` with their bytes and share of all; `verbose` shows the lightest, too."""
    return _Tree(fold(root), verbose)


@dataclass(frozen=True, slots=True)
class _Row:
    depth: int
    name: str
    count: int
    weights: int


@dataclass(frozen=True, slots=True)
class _Tree:
    root: FoldedLayer
    verbose: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = max(1, self.root.all_weight_bytes)
        rows = list(_rows(self.root))
        shown = rows if self.verbose else _heaviest(rows)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(overflow="fold")
        for _ in range(3):
            table.add_column(justify="right", no_wrap=True)
        for row in shown:
            share = f"{row.count / whole:.1%}".replace("%", " %")
            name = Text("  " * row.depth + figures.printable(row.name))
            table.add_row(name, figures.size(row.count), share, figures.plural(row.weights, "weight"))
        yield table
        if hidden := len(rows) - len(shown):
            yield Text(f"and {figures.plural(hidden, 'lighter layer')} (-v shows all)", style="dim")


def _rows(layer: FoldedLayer, depth: int = 0) -> Iterator[_Row]:
    """A row a layer, what is in it below it; what is in no part of a layer gets a row of its own."""
    if layer.name:
        yield _Row(depth, layer.name, layer.all_weight_bytes, layer.weights)
        depth += 1
    own = layer.all_weight_bytes - sum(part.all_weight_bytes for part in layer.parts)
    left = layer.weights - sum(part.weights for part in layer.parts)
    for part in layer.parts:
        yield from _rows(part, depth)
    if left and (layer.parts or not layer.name):
        yield _Row(depth, _OWN if layer.name else "(weights without a layer)", own, left)


def _heaviest(rows: list[_Row]) -> list[_Row]:
    """Keep the heaviest in their places; a layer is at least as heavy as its parts, so none loses the one it is in."""
    if len(rows) <= ROWS_SHOWN:
        return rows
    by_weight = sorted(range(len(rows)), key=lambda place: (-rows[place].count, place))
    return [rows[place] for place in sorted(by_weight[:ROWS_SHOWN])]
