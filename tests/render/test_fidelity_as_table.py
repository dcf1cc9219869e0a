"""Every measure of every output, and the worst samples, in lines that fit a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import RenderableType

from compressor.render.as_table import report_as_table
from compressor.render.comparison_as_table import comparison_as_table
from compressor.render.fidelity_as_table import outputs_as_table, worst_as_table
from compressor.report import Fidelity, Report, WorstSample
from tests.render.drawn import DRIFTED, IDENTICAL, fidelity

Printed = Callable[[RenderableType], str]
WORST = (WorstSample(output="logits", row=13, cosine=0.985), WorstSample(output="pooled", row=2, cosine=0.99))


def found() -> Fidelity:
    first = replace(DRIFTED, top5_agreement=0.9999, kl_mean=0.00123)
    return replace(fidelity(first), outputs=(first, replace(IDENTICAL, name="pooled")), worst_samples=WORST)


def test_outputs_have_a_line_each_and_measures_a_column(printed: Printed) -> None:
    text = printed(outputs_as_table(found()))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "logits 4.0e-01 3.1e-02 17.5 dB 0.99500 0.98503 98.3 % 99.9 % 1.2e-03" in lines
    assert "pooled 0 0 inf 1.00000 1.00000 100.0 % - -" in lines


def test_a_measure_that_no_output_has_gets_no_column(printed: Printed) -> None:
    assert "KL" not in printed(outputs_as_table(fidelity(DRIFTED)))


def test_as_many_of_the_worst_samples_are_named_as_asked_for(printed: Printed) -> None:
    text = printed(worst_as_table(found(), 1))
    assert "row 13 0.98500 logits" in " ".join(text.split())
    assert "pooled" not in text
    assert "no sample's row differs" in printed(worst_as_table(fidelity(IDENTICAL), 5))


def test_the_worst_samples_are_shown_by_what_they_begin_with(printed: Printed) -> None:
    named = replace(WORST[0], excerpt="where is my [card]?\x1b[2J")
    text = printed(worst_as_table(replace(found(), worst_samples=(named, WORST[1])), 2))
    assert "row 13 0.98500 logits where is my [card]?\\x1b[2J" in " ".join(text.split())


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_a_text_gives_way_to_figures(printed: Printed, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    named = replace(WORST[0], excerpt="word " * 11 + "end")
    lines = printed(worst_as_table(replace(found(), worst_samples=(named,)), 1)).splitlines()
    assert lines[-1].startswith("row 13  0.98500  logits")
    assert max(map(len, lines)) <= int(columns)
    assert lines[-1].endswith("end" if columns == "200" else "…")


def test_an_output_that_is_the_only_one_is_not_named(printed: Printed) -> None:
    text = printed(worst_as_table(replace(fidelity(DRIFTED), worst_samples=WORST[:1]), 1))
    assert "logits" not in text
    assert "it begins" not in text


def test_a_report_shows_them_only_when_asked(report: Report, printed: Printed) -> None:
    report = replace(report, steps=(*report.steps[:-1], replace(report.steps[-1], fidelity=found())))
    assert "SQNR" not in printed(report_as_table(report))
    assert "SQNR" in printed(report_as_table(report, verbose=True))
    assert "row 13" in printed(report_as_table(report, worst=2))


def test_a_comparison_shows_every_measure(comparison: object, printed: Printed) -> None:
    assert "SQNR" in printed(comparison_as_table(comparison))  # type: ignore[arg-type]  # the fixture is one
