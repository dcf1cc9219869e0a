from __future__ import annotations

from xml.etree import ElementTree

import plots
import pytest

from tests.benchmarks import results

NAMESPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def drawing() -> ElementTree.Element:
    return ElementTree.fromstring(plots.as_svg(results.model("a <model>.onnx")))


def bars(drawing: ElementTree.Element, colour: str) -> list[ElementTree.Element]:
    return [bar for bar in drawing.iter(f"{NAMESPACE}rect") if bar.get("fill") == colour]


def words(drawing: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in drawing.iter(f"{NAMESPACE}text")]


def test_every_contender_has_a_row_and_the_model_its_name(drawing: ElementTree.Element) -> None:
    shown = words(drawing)
    assert "a <model>.onnx" in shown
    for name in ("(original)", "copy", "compressor default", "onnx_ir deduplicate", "onnxsim", "onnxslim"):
        assert name in shown


def test_a_figure_has_a_bar_and_stands_beside_it(drawing: ElementTree.Element) -> None:
    ours = bars(drawing, plots.OURS)
    assert len(ours) == len(plots.MEASURES)  # one contender of ours, with every figure
    assert {"1.0", "2.0e-02", "2.00", "3.0", "100"} <= set(words(drawing))


def test_the_longest_bar_of_a_column_is_as_long_as_there_is_room(drawing: ElementTree.Element) -> None:
    of_size = [bar for bar in drawing.iter(f"{NAMESPACE}rect") if bar.get("x") == f"{plots.LABELS:.1f}"]
    lengths = sorted(float(bar.get("width", "0")) for bar in of_size)
    assert lengths[-1] == pytest.approx(plots.BAR)
    assert lengths[0] == pytest.approx(plots.BAR / 10)  # 1 MB of 10


def test_what_is_stored_twice_is_marked_at_its_share(drawing: ElementTree.Element) -> None:
    marks = bars(drawing, plots.COPIES)
    assert len(marks) == 2  # the original and its copy
    assert all(float(mark.get("width", "0")) == pytest.approx(plots.BAR * 0.6) for mark in marks)


def test_who_left_no_result_says_so_in_place_of_bars(drawing: ElementTree.Element) -> None:
    assert words(drawing).count("left no result") == 1


def test_nothing_is_drawn_outside_the_drawing(drawing: ElementTree.Element) -> None:
    *_, width, height = map(float, drawing.get("viewBox", "").split())
    for bar in drawing.iter(f"{NAMESPACE}rect"):
        left, top = float(bar.get("x", "0")), float(bar.get("y", "0"))
        assert left + float(bar.get("width", "0")) <= width
        assert top + float(bar.get("height", "0")) <= height
