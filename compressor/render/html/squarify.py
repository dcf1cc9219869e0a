"""Cut a rectangle into parts of given areas that are as square as they can be.

The method is that of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000): parts are laid along the shorter side
of what is left, and a new row is begun where one more part would make the worst one longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle by its upper left corner and its sides."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Width times height."""
        return self.width * self.height


def squarify(counts: Sequence[float], box: Box) -> list[Box]:
    """Cut `box` into one part for each of `counts`, which are positive and fall; areas are in proportion to them."""
    whole = sum(counts)
    areas = [count * box.area / whole for count in counts] if whole else []
    boxes: list[Box] = []
    while areas:
        side = min(box.width, box.height)
        taken = _row_length(areas, side)
        row, box = _lay(areas[:taken], box)
        boxes += row
        areas = areas[taken:]
    return boxes


def _row_length(areas: Sequence[float], side: float) -> int:
    """How many parts make a row along `side` before the worst of them gets longer."""
    total, worst = 0.0, float("inf")
    for taken, area in enumerate(areas):
        total += area
        longest = _worst_ratio(areas[0], area, total, side)
        if longest > worst:
            return taken
        worst = longest
    return len(areas)


def _worst_ratio(most: float, least: float, total: float, side: float) -> float:
    """The largest ratio of sides in a row whose areas lie between `least` and `most`."""
    if not least or not side:
        return float("inf")
    return max(side * side * most / (total * total), total * total / (side * side * least))


def _lay(areas: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """Lay a row along the shorter side of `box`; give its parts and what is left of `box`."""
    is_column = box.width >= box.height
    side = box.height if is_column else box.width
    depth = sum(areas) / side if side else 0.0
    boxes, at = [], box.y if is_column else box.x
    for area in areas:
        length = area / depth if depth else 0.0
        boxes.append(Box(box.x, at, depth, length) if is_column else Box(at, box.y, length, depth))
        at += length
    if is_column:
        return boxes, Box(box.x + depth, box.y, max(0.0, box.width - depth), box.height)
    return boxes, Box(box.x, box.y + depth, box.width, max(0.0, box.height - depth))
