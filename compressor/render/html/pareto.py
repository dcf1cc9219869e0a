"""Draw what a search tried: size against quality, and the line of those that nothing beats in both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compressor.render import figures
from compressor.render.html.markup import Markup, tag
from compressor.render.html.page import section
from compressor.render.html.tables import Cell, scrolling, table
from compressor.render.html.ticks import cosine_ticks, even_ticks, score_ticks
from compressor.render.search_as_table import measure_of, quality_of, schemes_of, standing_of, value_of
from compressor.report import Attempt

_WIDTH, _HEIGHT = 760.0, 340.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 84.0, 24.0, 16.0, 52.0
_SMALLEST_DISTANCE = 1e-7
"""Distance of a cosine from 1 below which float32 cannot tell it from none."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


def search_section(attempts: Sequence[Attempt]) -> Markup:
    """Draw and list `attempts`; nothing where there was no search."""
    if not attempts:
        return Markup()
    note = (
        "Each mark is a choice of schemes. Farther left is smaller, higher is better; the line joins those that "
        "nothing beats in both. Speed is in the table."
    )
    drawn = [_figure(attempts, measure) for measure in _measures(attempts)]
    return section("What the search tried", tag("p", note, class_="note"), *drawn, _legend(), _listed(attempts))


def front_of(attempts: Sequence[Attempt], height: Callable[[Attempt], float | None]) -> list[Attempt]:
    """Those that no smaller one equals in `height`, the smallest first."""
    known = [
        (attempt.total_bytes, -value, at)
        for at, attempt in enumerate(attempts)
        if (value := height(attempt)) is not None
    ]
    best, front = -math.inf, []
    for _, negative, at in sorted(known):
        if -negative > best:
            best = -negative
            front.append(attempts[at])
    return front


def nines(attempt: Attempt) -> float | None:
    """How near the worst cosine is to 1, on a scale on which 0.9, 0.99 and 0.999 are equally far apart."""
    cosine = attempt.fidelity.worst_cosine if attempt.fidelity else None
    return None if cosine is None else -math.log10(max(_SMALLEST_DISTANCE, 1 - cosine))


def _score(attempt: Attempt) -> float | None:
    return None if attempt.score is None else value_of(attempt)


@dataclass(frozen=True, slots=True)
class _Measure:
    """What is drawn upwards, and how the axis spells it."""

    name: str
    height: Callable[[Attempt], float | None]
    ticks: Callable[[float, float], list[tuple[float, str]]]


def _measures(attempts: Sequence[Attempt]) -> list[_Measure]:
    known = [_Measure(measure_of(attempts), _score, score_ticks), _Measure("worst cosine", nines, cosine_ticks)]
    return [measure for measure in known if any(measure.height(attempt) is not None for attempt in attempts)]


def _figure(attempts: Sequence[Attempt], measure: _Measure) -> Markup:
    shown = {at: height for at, attempt in enumerate(attempts) if (height := measure.height(attempt)) is not None}
    across = _fitting([attempts[at].total_bytes for at in shown], _LEFT, _WIDTH - _RIGHT)
    up = _fitting(list(shown.values()), _HEIGHT - _BOTTOM, _TOP)

    def place(attempt: Attempt) -> tuple[float, float]:
        return across.place(attempt.total_bytes), up.place(measure.height(attempt) or 0.0)

    front = _staircase([place(attempt) for attempt in front_of(attempts, measure.height)])
    marked = sorted((attempts[at] for at in shown), key=lambda attempt: attempt.is_chosen)
    name = f"Size against {measure.name} of {figures.plural(len(shown), 'attempt')}; the table has the same figures"
    drawing = tag(
        "svg", *_axes(across, up, measure), tag("polyline", points=front, class_="front"),
        *(_mark(attempt, attempts, *place(attempt)) for attempt in marked),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}", class_="pareto", role="img", aria_label=name,
    )  # fmt: skip
    caption = f"Size against {measure.name}"
    return tag("figure", tag("figcaption", caption), scrolling(drawing, caption))


def _staircase(points: Sequence[tuple[float, float]]) -> str:
    """Join points by what can be had at each size: the best of those that are no larger, not something between two."""
    corners = [(x, before) for (x, _), (_, before) in zip(points[1:], points, strict=False)]
    walked = [point for pair in zip(points, [*corners, points[-1]], strict=True) for point in pair]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in walked)


def _legend() -> Markup:
    names = (
        ("point chosen", "chosen"),
        ("point on-front", "unbeaten in size, quality and speed together"),
        ("point beaten", "beaten"),
        ("point broken", "breaks a limit"),
    )
    dots = (tag("svg", _dot(name, 8, 8), viewBox="0 0 16 16", class_="dot") for name, _ in names)
    return tag("ul", *(tag("li", dot, f" {text}") for dot, (_, text) in zip(dots, names, strict=True)), class_="key")


def _fitting(values: Sequence[float], start: float, end: float) -> _Scale:
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return _Scale(low - margin, high + margin, start, end)


def _axes(across: _Scale, up: _Scale, measure: _Measure) -> list[Markup]:
    drawn = []
    for size in even_ticks(across.low, across.high):
        x = across.place(size)
        drawn.append(tag("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="grid"))
        drawn.append(tag("text", figures.size(round(size)), x=x, y=_HEIGHT - _BOTTOM + 18, text_anchor="middle"))
    for height, spelled in measure.ticks(up.low, up.high):
        y = up.place(height)
        drawn.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        drawn.append(tag("text", spelled, x=_LEFT - 8, y=y + 4, text_anchor="end"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    drawn.append(tag("text", "size", x=middle, y=_HEIGHT - 10, text_anchor="middle", class_="axis"))
    return drawn


def _mark(attempt: Attempt, attempts: Sequence[Attempt], x: float, y: float) -> Markup:
    standing = standing_of(attempt, attempts)
    class_ = {"chosen": "chosen", "breaks a limit": "broken", "beaten": "beaten"}.get(standing, "on-front")
    title = f"{schemes_of(attempt)}: {figures.size(attempt.total_bytes)}, {quality_of(attempt)}, {standing}"
    return tag("g", tag("title", title), _dot(f"point {class_}", x, y))


def _dot(class_: str, x: float, y: float) -> Markup:
    """A disc, or a cross for what breaks a limit: the difference must not be one of colour alone."""
    if "broken" in class_:
        return tag("path", d=f"M{x - 5:.1f},{y - 5:.1f}l10,10m0,-10l-10,10", class_=class_)
    return tag("circle", cx=x, cy=y, r=7.0 if "chosen" in class_ else 5.0, class_=class_)


def _listed(attempts: Sequence[Attempt]) -> Markup:
    any_broken = any(attempt.broken_limits for attempt in attempts)
    rows = [
        [
            Cell(schemes_of(attempt)),
            Cell(figures.size(attempt.total_bytes), attempt.total_bytes),
            Cell(quality_of(attempt), value_of(attempt)),
            Cell("-") if attempt.speedup is None else Cell(f"{attempt.speedup:.2f}x", attempt.speedup),
            Cell(standing_of(attempt, attempts), class_="good" if attempt.is_chosen else None),
            *([Cell("; ".join(attempt.broken_limits))] if any_broken else []),
        ]
        for attempt in sorted(attempts, key=lambda attempt: attempt.total_bytes)
    ]
    broken = ["limits broken"] if any_broken else []
    columns = ("weights by scheme", "size", measure_of(attempts), "speed", "standing", *broken)
    return table(columns, rows, caption="What the search tried, the smallest first")
