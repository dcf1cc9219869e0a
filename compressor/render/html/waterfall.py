"""Draw the size after every pass: what is left, by kind, and what the pass took away or added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compressor.render import figures
from compressor.render.composition import Kind, composition, largest
from compressor.render.html.markup import Markup, tag
from compressor.report import Size

_WIDTH, _HEIGHT = 1000.0, 20

_UNSEEN = 0.0005
"""Share of a model that no drawing shows: half a pixel of a bar."""


def bars(sizes: Sequence[Size]) -> list[Markup]:
    """A bar for each size, all to one scale; each but the first shows what changed since the one before it."""
    whole = max(1, largest(sizes))
    return [_bar(size, before, whole) for size, before in zip(sizes, (None, *sizes), strict=False)]


def key(sizes: Iterable[Size], gone: str = "") -> Markup:
    """Say which colour stands for what, as far as it occurs; `gone` is what bars lack of those before them."""
    found = {kind for size in sizes for kind, count in composition(size).items() if count > _UNSEEN * size.total_bytes}
    marks = [(f"mark {kind_class(kind)}", kind.value) for kind in Kind if kind in found]
    if gone:
        marks.append(("mark gone", gone))
    return tag("ul", *(tag("li", tag("span", class_=name), f" {text}") for name, text in marks), class_="key")


def kind_class(kind: Kind) -> str:
    """The class that colours bytes of this kind."""
    return f"kind-{kind.name.lower()}"


def _bar(size: Size, before: Size | None, whole: int) -> Markup:
    parts = {kind: count for kind, count in composition(size).items() if count}
    # Weights that share bytes of a file add up to more than the file.
    scale = _WIDTH / whole * min(1.0, size.total_bytes / max(1, sum(parts.values())))
    drawn, end = [], 0.0
    for kind, count in parts.items():
        drawn.append(_rectangle(end, count * scale, kind_class(kind), f"{kind.value}: {figures.size(count)}"))
        end += count * scale
    if before is not None and before.total_bytes > size.total_bytes:
        gone = before.total_bytes - size.total_bytes
        drawn.append(_rectangle(end, gone * _WIDTH / whole, "gone", f"removed: {figures.size(gone)}"))
    words = "; ".join(f"{kind.value} {figures.size(count)}" for kind, count in parts.items())
    return tag(
        "svg", *drawn, viewBox=f"0 0 {_WIDTH:g} {_HEIGHT}", preserveAspectRatio="none", class_="bar", role="img",
        aria_label=f"{figures.size(size.total_bytes)}: {words}",
    )  # fmt: skip


def _rectangle(x: float, width: float, class_: str, title: str) -> Markup:
    return tag("rect", tag("title", title), x=x, y=0, width=width, height=_HEIGHT, class_=class_)
