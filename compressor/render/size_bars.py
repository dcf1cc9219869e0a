"""Draw sizes as bars of characters, a kind of bytes in a kind of character, readable without colour."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from compressor.render.composition import Kind, largest, seen_of
from compressor.report import Size

_NARROWEST, _WIDEST = 8, 40
_GONE, _GONE_IN_ASCII = "·", "_"

_BLOCKS = {
    Kind.FLOAT: "█", Kind.HALF: "▓", Kind.INT8: "▒", Kind.INT4: "░", Kind.OTHER: ":", Kind.GRAPH: "=",
    Kind.METADATA: "-",
}  # fmt: skip
_ASCII = {
    Kind.FLOAT: "#", Kind.HALF: "%", Kind.INT8: "o", Kind.INT4: ".", Kind.OTHER: ":", Kind.GRAPH: "=",
    Kind.METADATA: "-",
}  # fmt: skip
_COLOURS = {
    Kind.FLOAT: "blue", Kind.HALF: "cyan", Kind.INT8: "green", Kind.INT4: "bright_green", Kind.OTHER: "magenta",
    Kind.GRAPH: "yellow", Kind.METADATA: "red",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SizeBar:
    """A model as a bar whose full width stands for `whole` bytes."""

    size: Size
    whole: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        glyphs = _glyphs(options)
        for kind, cells in cells_by_kind(self.size, self.whole, options.max_width):
            yield Segment(glyphs[kind] * cells, Style(color=_COLOURS[kind]))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_NARROWEST, min(_WIDEST, options.max_width)).clamp(max_width=options.max_width)


@dataclass(frozen=True, slots=True)
class Remainder:
    """What is left of a model as a bar whose full width, marked to its end, stands for what the model was."""

    original: Size
    final: Size

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(_NARROWEST, options.max_width)
        whole = largest((self.original, self.final))
        cells = sum(count for _, count in cells_by_kind(self.final, whole, width))
        yield from SizeBar(self.final, whole).__rich_console__(console, options.update_width(width))
        yield Segment((_GONE if _takes_blocks(options) else _GONE_IN_ASCII) * (width - cells), Style(dim=True))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_NARROWEST, _NARROWEST).clamp(max_width=options.max_width)


@dataclass(frozen=True, slots=True)
class BarLegend:
    """A line that says which character of the bars stands for what, as far as any is drawn."""

    sizes: tuple[Size, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        glyphs = _glyphs(options)
        whole = largest(self.sizes)
        seen = {kind for size in self.sizes for kind in seen_of(size, whole)}
        yield Text("  ").join(
            Text.assemble((f"{glyphs[kind]} ", _COLOURS[kind]), (kind.value, "dim")) for kind in Kind if kind in seen
        )


def cells_by_kind(size: Size, whole: int, width: int) -> list[tuple[Kind, int]]:
    """Share out as many of `width` cells as `size` is of `whole`, at least one, by largest remainders."""
    parts = seen_of(size, whole)
    if not parts:
        return []
    cells = max(1, round(width * size.total_bytes / max(1, whole)))
    exact = {kind: cells * count / sum(parts.values()) for kind, count in parts.items()}
    shared = {kind: int(count) for kind, count in exact.items()}
    by_remainder = sorted(exact, key=lambda kind: shared[kind] - exact[kind])
    for kind in by_remainder[: cells - sum(shared.values())]:
        shared[kind] += 1
    return [(kind, count) for kind, count in shared.items() if count]


def _glyphs(options: ConsoleOptions) -> dict[Kind, str]:
    return _BLOCKS if _takes_blocks(options) else _ASCII


def _takes_blocks(options: ConsoleOptions) -> bool:
    try:
        "".join((*_BLOCKS.values(), _GONE)).encode(options.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
