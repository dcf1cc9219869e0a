"""Several models, a line each: figures first, bars where there is room, and what was refused is called that."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from compressor.render.each_as_table import each_as_table
from compressor.render.findings_of_each import closing_of_each
from compressor.render.models_as_table import ModelsTable
from compressor.render.set_as_table import set_as_table
from compressor.render.size_bars import Remainder
from compressor.report import EachReport, Report, SetReport
from tests.render.drawn import weighing

Printed = Callable[[RenderableType], str]


def test_models_for_themselves_read_well_at_80_columns(
    each_report: EachReport, printed: Printed, golden: Callable[[str, str], None]
) -> None:
    golden("each.txt", printed(each_as_table(each_report)))


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_no_line_is_wider_than_the_terminal(
    each_report: EachReport, set_report: SetReport, printed: Printed, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for lines in (printed(each_as_table(each_report)).splitlines(), printed(set_as_table(set_report)).splitlines()):
        assert max(map(len, lines)) <= int(columns)
        assert any("·" in line for line in lines) is (columns != "40")
    assert "29.1x" in printed(each_as_table(each_report))


def test_speed_has_no_column_where_nothing_was_timed(unverified_report: Report, printed: Printed) -> None:
    assert "speed" not in printed(ModelsTable((("a.onnx", unverified_report),), "after"))


def test_what_was_refused_alone_is_told_too(each_report: EachReport, printed: Printed) -> None:
    refused = replace(each_report, endings=each_report.endings[2:])
    text = printed(each_as_table(refused))
    assert "page.onnx: refused: is a web page" in text
    assert "None of 1 model was compressed." in text
    assert "x smaller" not in text


def test_the_closing_names_the_worst_of_all_models_and_what_could_not_be_measured(each_report: EachReport) -> None:
    said = closing_of_each(each_report)
    assert said.startswith("2 of 3 models compressed: ")
    assert "worst case: max rel 3.1e-02, cosine 0.98503" in said
    assert "1 model could not be measured" in said


def test_what_was_held_back_by_a_limit_is_not_called_compressed(each_report: EachReport, printed: Printed) -> None:
    first, *others = each_report.endings
    assert first.report is not None
    held_back = replace(first.report, output=None, broken_limits=("the size is 9 bytes",))
    text = " ".join(
        printed(each_as_table(replace(each_report, endings=(replace(first, report=held_back), *others)))).split()
    )
    assert "breaks a limit" in text
    assert "albert[v2].onnx: the size is 9 bytes" in text
    assert "1 model not written; --keep writes the results all the same" in text
    assert "1 of 3 models compressed (1 not written, as a limit is broken): 413 B became 871 B" in text


def test_a_bar_of_what_is_left_is_marked_to_its_end() -> None:
    def drawn(remainder: Remainder, encoding: str) -> str:
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        Console(file=file, width=40, color_system=None).print(remainder, end="")
        file.flush()
        file.seek(0)
        return file.read().rstrip("\n")

    half = Remainder(weighing(10**9), weighing(5 * 10**8))
    assert drawn(half, "utf-8") == "████····"
    assert drawn(half, "ascii") == "####____"
    assert drawn(Remainder(weighing(10**9), weighing(2 * 10**9)), "utf-8") == "████████"
