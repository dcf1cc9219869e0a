"""Show where the bytes are, before and after: treemaps to one scale, and a table with the same figures."""

from __future__ import annotations

from collections import Counter

from compressor.render import figures
from compressor.render.html.markup import Markup, tag
from compressor.render.html.page import section
from compressor.render.html.tables import Cell, scrolling, table
from compressor.render.html.treemap import treemap, treemap_to_scale
from compressor.render.html.waterfall import key
from compressor.report import Layer, Size

_ROWS_SHOWN = 400
"""Layers in the table; what the others hold is added up in the last row."""

_ENLARGED_FROM = 1.3
"""Ratio of sizes from which on a drawing to scale is too small to show what is in it."""


def layers_section(before: tuple[Layer | None, Size], after: tuple[Layer | None, Size]) -> Markup:
    """Draw the model before and after; nothing where the layers are not known."""
    (old, old_size), (new, new_size) = before, after
    if old is None or new is None:
        return Markup()
    whole = max(old_size.total_bytes, new_size.total_bytes)
    drawn = [
        _figure(f"{what}: {figures.size(size.total_bytes)}", treemap_to_scale(layers, size, whole))
        for what, layers, size in (("Before", old, old_size), ("After, to the same scale", new, new_size))
    ]
    if whole > _ENLARGED_FROM * new_size.total_bytes:
        times = figures.times(whole / max(1, new_size.total_bytes))
        drawn.append(_figure(f"After, enlarged: each area is {times} times what it is above", treemap(new, new_size)))
    return section(
        "Where the bytes are",
        tag("p", "Each tile is a layer's weights of one kind; its area is their bytes. A weight that several layers "
            "use is drawn once, in the first of them.", class_="note"),
        key((old_size, new_size)),
        *drawn,
        _details(old, new),
    )  # fmt: skip


def _figure(caption: str, drawing: Markup) -> Markup:
    return tag("figure", tag("figcaption", caption), scrolling(drawing, caption))


def _details(old: Layer, new: Layer) -> Markup:
    before, after = _own_bytes(old), _own_bytes(new)
    paths = sorted(before | after, key=lambda path: (-max(before[path], after[path]), path))
    rows = [_row(path or "(without a layer)", before[path], after[path]) for path in paths[:_ROWS_SHOWN]]
    if rest := paths[_ROWS_SHOWN:]:
        rows.append(
            _row(f"{len(rest):,} more layers", sum(before[path] for path in rest), sum(after[path] for path in rest))
        )
    columns = ("layer", "before", "after", "change", "relative")
    laid_out = table(columns, rows, caption="Bytes of weights by layer, before and after")
    return tag("details", tag("summary", f"The same as a table: {figures.plural(len(paths), 'layer')}"), laid_out)


def _own_bytes(layer: Layer, path: str = "") -> Counter[str]:
    """Bytes that are in each layer and in no part of it, by path."""
    own = layer.all_weight_bytes - sum(part.all_weight_bytes for part in layer.parts)
    found = Counter({path: own} if own else {})
    for part in layer.parts:
        found.update(_own_bytes(part, f"{path}.{part.name}" if path else part.name))
    return found


def _row(name: str, before: int, after: int) -> list[Cell]:
    relative = figures.relative_change(before, after) if before else "new"
    return [
        Cell(name),
        Cell(figures.size(before), before),
        Cell(figures.size(after), after),
        Cell(figures.size_change(before, after), after - before),
        Cell(relative, (after - before) / before if before else None),
    ]
