"""Parts of a rectangle: areas in proportion, nothing lost, nothing twice, as square as may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressor.render.html.squarify import Box, squarify

BOX = Box(3.0, 5.0, 600.0, 400.0)


def overlap(one: Box, other: Box) -> float:
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(0.0, width) * max(0.0, height)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=40))
def test_areas_are_in_proportion_and_parts_fill_the_box_without_overlap(counts: list[int]) -> None:
    ordered = sorted(counts, reverse=True)
    boxes = squarify(ordered, BOX)
    for count, box in zip(ordered, boxes, strict=True):
        assert box.area == pytest.approx(BOX.area * count / sum(counts), rel=1e-6, abs=1e-6)
        assert box.x >= BOX.x - 1e-6
        assert box.y >= BOX.y - 1e-6
        assert box.x + box.width <= BOX.x + BOX.width + 1e-6
        assert box.y + box.height <= BOX.y + BOX.height + 1e-6
    assert sum(overlap(a, b) for at, a in enumerate(boxes) for b in boxes[:at]) < 1e-3


def test_the_example_of_the_paper_comes_out_as_there() -> None:
    boxes = squarify([6, 6, 4, 3, 2, 2, 1], Box(0, 0, 6, 4))
    assert [(round(box.width, 2), round(box.height, 2)) for box in boxes] == [
        (3, 2), (3, 2), (1.71, 2.33), (1.29, 2.33), (1.2, 1.67), (1.2, 1.67), (0.6, 1.67),
    ]  # fmt: skip


def test_nothing_to_lay_out_makes_no_boxes() -> None:
    assert squarify([], BOX) == []
