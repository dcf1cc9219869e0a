"""Draw where the bytes of a model are as areas: a tile for each layer and kind of bytes, layers side by side."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from compressor.render import figures
from compressor.render.composition import Kind, by_kind, composition
from compressor.render.html.markup import Markup, tag
from compressor.render.html.squarify import Box, squarify
from compressor.render.html.waterfall import kind_class
from compressor.report import Layer, Size

_WHOLE = Box(0.0, 0.0, 1000.0, 320.0)

_SMALLEST_AREA = 60.0
"""Square pixels below which a layer is one tile, whatever is in it: parts of it would not be seen."""

_SEEN_AREA = 4.0
"""Square pixels below which parts of a layer are drawn as one."""

_OUTLINED_AREA = 4000.0
"""Square pixels from which on a layer is set off from its neighbours."""

_LETTER, _LINE = 6.2, 14.0
"""Pixels that a letter and a line of a label take."""

_FEWEST_LETTERS = 8
"""Letters of a cut name that still tell something."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Bytes of one kind in one layer, and where they are drawn; a group is drawn as its outline."""

    path: tuple[str, ...]
    box: Box
    count: int
    kind: Kind | None


@dataclass(frozen=True, slots=True)
class _Item:
    """What a layer is made of: a layer inside it, or bytes of one kind."""

    count: int
    kind: Kind
    layer: Layer | None = None


def treemap(layers: Layer, size: Size) -> Markup:
    """Draw a model over the whole width."""
    return _drawing(tiles(layers, size, _WHOLE), f"Treemap of {figures.size(size.total_bytes)}")


def treemap_to_scale(layers: Layer, size: Size, whole: int) -> Markup:
    """Draw a model so that its area is to the frame around it as its bytes are to `whole`."""
    factor = math.sqrt(min(1.0, size.total_bytes / max(1, whole)))
    box = Box(0.0, 0.0, _WHOLE.width * factor, _WHOLE.height * factor)
    frame = tag("rect", x=0, y=0, width=_WHOLE.width, height=_WHOLE.height, class_="frame")
    name = f"Treemap of {figures.size(size.total_bytes)}, in a frame of {figures.size(whole)}"
    return _drawing(tiles(layers, size, box), name, frame)


def tiles(layers: Layer, size: Size, box: Box) -> list[Tile]:
    """Give every byte of the model its share of `box`."""
    parts = composition(size)
    rest = [_Item(parts[kind], kind) for kind in (Kind.GRAPH, Kind.METADATA)]
    return list(_tiles((), [*_items(layers), *rest], box))


def _tiles(path: tuple[str, ...], items: list[_Item], box: Box) -> Iterator[Tile]:
    ordered = sorted(_lumped(items, box.area), key=lambda item: -item.count)
    for item, place in zip(ordered, squarify([item.count for item in ordered], box), strict=True):
        if item.layer is None:
            yield Tile(path, place, item.count, item.kind)
            continue
        inner = (*path, item.layer.name)
        if place.area < _SMALLEST_AREA:
            yield Tile(inner, place, item.count, item.kind)
            continue
        yield from _tiles(inner, _items(item.layer), place)
        if place.area >= _OUTLINED_AREA:
            yield Tile(inner, place, item.count, None)


def _lumped(items: list[_Item], area: float) -> list[_Item]:
    """Take together, by kind, what is too small to be seen."""
    smallest = _SEEN_AREA * sum(item.count for item in items) / max(1e-9, area)
    small: Counter[Kind] = Counter()
    for item in items:
        if item.count < smallest:
            small[item.kind] += item.count
    kept = [item for item in items if item.count and item.count >= smallest]
    return kept + [_Item(count, kind) for kind, count in small.items() if count]


def _items(layer: Layer) -> list[_Item]:
    own = Counter(layer.weight_bytes)
    for part in layer.parts:
        own.subtract(part.weight_bytes)
    parts = [_Item(part.all_weight_bytes, _main_kind(part), part) for part in layer.parts]
    return parts + [_Item(count, kind) for kind, count in by_kind(own).items() if count > 0]


def _main_kind(layer: Layer) -> Kind:
    found = by_kind(layer.weight_bytes)
    return max(found, key=lambda kind: found[kind])


def _drawing(found: list[Tile], name: str, *behind: str) -> Markup:
    # Outlines come last, over the tiles that they hold together.
    ordered = sorted(found, key=lambda tile: tile.kind is None)
    return tag(
        "svg", *behind, *map(_drawn, ordered), viewBox=f"0 0 {_WHOLE.width:g} {_WHOLE.height:g}", class_="treemap",
        role="img", aria_label=f"{name}; the table of layers has the same figures",
    )  # fmt: skip


def _drawn(tile: Tile) -> Markup:
    box = tile.box
    place = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    if tile.kind is None:
        return tag("rect", class_="group", stroke_width=_outline(box), **place)
    title = tag("title", f"{_name(tile)}: {figures.size(tile.count)} of {tile.kind.value}")
    return tag("g", title, tag("rect", class_=kind_class(tile.kind), **place), *_label(tile))


def _outline(box: Box) -> float:
    """Set the larger layers off from each other by wider gaps."""
    return 1.0 + min(2.0, math.sqrt(box.area) / 66)


def _name(tile: Tile) -> str:
    if tile.path:
        return ".".join(tile.path)
    return "graph" if tile.kind is Kind.GRAPH else "metadata" if tile.kind is Kind.METADATA else "without a layer"


def _label(tile: Tile) -> Iterator[Markup]:
    """Name a tile as far as there is room, and give its size where there is a second line."""
    box = tile.box
    letters, lines = int((box.width - 8) / _LETTER), int((box.height - 4) / _LINE)
    name = _shortened(figures.printable(_name(tile)), letters)
    if not name or lines < 1:
        return
    yield tag("text", name, x=box.x + 4, y=box.y + _LINE)
    spelled = figures.size(tile.count)
    if lines > 1 and len(spelled) <= letters:
        yield tag("text", spelled, x=box.x + 4, y=box.y + 2 * _LINE)


def _shortened(name: str, letters: int) -> str:
    """Keep the end of a path, whole parts of it if one fits; nothing where too little would be left to read."""
    if len(name) <= letters:
        return name
    end = name[len(name) - letters :]
    _, dot, whole_parts = end.partition(".")
    if dot and whole_parts:
        return whole_parts
    return f"…{end[1:]}" if letters >= _FEWEST_LETTERS else ""
