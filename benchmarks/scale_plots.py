"""Draw time and memory against size, one line for each job on each kind of storage, in plain SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from scale_page import Row

WIDTH, HEIGHT, GAP, TOP, LEGEND = 300, 180, 70, 40, 24
"""Pixels: of a panel, between panels, of the head, of a line of the legend."""

COLOURS = ("#9aa5ad", "#2f6f9f", "#d1603d", "#5a8f3c", "#7a5aa0")
"""Of jobs, in order; the copy, which comes first, in grey."""

DASHES = ("", "6 3", "2 2", "8 2 2 2")
"""Of kinds of storage, in order."""

_TICKS = 4


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing: what it shows, with the unit, and how to read it from a row; zero where there is no figure."""

    title: str
    read: Callable[[Row], float]


@dataclass(frozen=True, slots=True)
class _Style:
    """How a line is drawn."""

    colour: str
    dashes: str

    @staticmethod
    def of(job: int, storage: int) -> _Style:
        return _Style(COLOURS[job % len(COLOURS)], DASHES[storage % len(DASHES)])

    @property
    def drawn(self) -> str:
        return f'stroke="{self.colour}" stroke-width="2" fill="none" stroke-dasharray="{self.dashes}"'


_Styles = Mapping[tuple[str, str], _Style]
"""By job and storage."""

PANELS = (
    Panel("wall time, s", lambda row: row.wall_seconds),
    Panel("CPU time, s", lambda row: row.cpu_seconds),
    Panel("peak RSS, MB", lambda row: row.peak_rss_bytes / 1e6),
    Panel("peak anonymous memory, MB", lambda row: row.peak_anonymous_bytes / 1e6),
)


def as_svg(rows: Sequence[Row]) -> str:
    """Draw all panels, each over the size of the source in GB, and below them what the lines are."""
    lines = list(dict.fromkeys((row.job, row.storage) for row in rows))
    jobs, storages = (list(dict.fromkeys(names)) for names in zip(*lines, strict=True))
    width = 2 * (WIDTH + GAP) + 20
    height = 2 * (HEIGHT + GAP) + TOP + LEGEND * math.ceil(len(lines) / 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    styles = {(job, storage): _Style.of(jobs.index(job), storages.index(storage)) for job, storage in lines}
    for number, panel in enumerate(PANELS):
        at = (GAP + number % 2 * (WIDTH + GAP), TOP + number // 2 * (HEIGHT + GAP))
        parts += _panel(panel, rows, styles, at)
    below = 2 * (HEIGHT + GAP) + TOP
    for number, (line, style) in enumerate(styles.items()):
        x, y = GAP + number % 2 * (WIDTH + GAP), below + number // 2 * LEGEND
        parts.append(f'<line x1="{x}" y1="{y}" x2="{x + 40}" y2="{y}" {style.drawn}/>')
        parts.append(f'<text x="{x + 48}" y="{y + 4}">{escape(", ".join(line))}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, rows: Sequence[Row], styles: _Styles, at: tuple[int, int]) -> Iterator[str]:
    left, top = at
    most = _round_up(max(row.source_bytes for row in rows) / 1e9), _round_up(max(map(panel.read, rows)))
    yield f'<text x="{left}" y="{top - 10}" font-weight="bold">{escape(panel.title)}</text>'
    for tick in range(_TICKS + 1):
        x, y = left + WIDTH * tick / _TICKS, top + HEIGHT - HEIGHT * tick / _TICKS
        yield f'<line x1="{left}" y1="{y:.1f}" x2="{left + WIDTH}" y2="{y:.1f}" stroke="#e3e6e8"/>'
        yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{most[1] * tick / _TICKS:g}</text>'
        yield f'<text x="{x:.1f}" y="{top + HEIGHT + 16}" text-anchor="middle">{most[0] * tick / _TICKS:g}</text>'
    yield f'<text x="{left + WIDTH / 2}" y="{top + HEIGHT + 32}" text-anchor="middle">GB of the source</text>'
    for (job, storage), style in styles.items():
        found = [row for row in rows if (row.job, row.storage) == (job, storage) and panel.read(row)]
        points = [
            (left + WIDTH * row.source_bytes / 1e9 / most[0], top + HEIGHT - HEIGHT * panel.read(row) / most[1])
            for row in sorted(found, key=lambda row: row.source_bytes)
        ]
        yield f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" {style.drawn}/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{style.colour}"/>' for x, y in points)


def _round_up(figure: float) -> float:
    """Find the next number that four ticks divide well: 1, 2, 4 or 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(figure, 1e-9)))
    return next(factor * power for factor in (1, 2, 4, 8, 10) if factor * power >= figure)
