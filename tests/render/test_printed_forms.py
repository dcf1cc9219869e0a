"""Each printed form against a text that was read once; see the fixture `golden` for how to renew one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from rich.console import RenderableType

from compressor.comparison import Comparison
from compressor.inspection import Inspection
from compressor.render.as_markdown import MARK, report_as_markdown, set_as_markdown
from compressor.render.as_table import report_as_table
from compressor.render.comparison_as_table import comparison_as_table
from compressor.render.inspection_as_table import inspection_as_table
from compressor.render.set_as_table import set_as_table
from compressor.report import Report, SetReport, Skip

Golden: TypeAlias = Callable[[str, str], None]
Printed: TypeAlias = Callable[[RenderableType], str]


def test_report_reads_well_at_80_columns(report: Report, printed: Printed, golden: Golden) -> None:
    golden("report.txt", printed(report_as_table(report)))


def test_a_report_of_many_candidates_still_fits_a_screen(report: Report, printed: Printed) -> None:
    skips = tuple(Skip(candidate=f"n{i}", reason=f"reason {'x' * (i % 30)}", weight_bytes=i) for i in range(5000))
    steps = tuple(replace(step, skipped=skips) for step in (*report.steps, *report.steps))
    assert len(printed(report_as_table(replace(report, steps=steps))).splitlines()) <= 40


def test_verbose_report_unfolds_every_candidate(report: Report, printed: Printed, golden: Golden) -> None:
    golden("report_verbose.txt", printed(report_as_table(report, verbose=True)))


def test_unverified_report_claims_nothing(unverified_report: Report, printed: Printed, golden: Golden) -> None:
    golden("report_unverified.txt", printed(report_as_table(unverified_report)))


def test_report_as_markdown(report: Report, golden: Golden) -> None:
    golden("report.md", report_as_markdown(report))


def test_set_reads_well_at_80_columns(set_report: SetReport, printed: Printed, golden: Golden) -> None:
    golden("set.txt", printed(set_as_table(set_report)))


def test_set_as_markdown(set_report: SetReport, golden: Golden) -> None:
    golden("set.md", set_as_markdown(set_report))


def test_verbose_set_shows_every_pass_of_every_model(set_report: SetReport, printed: Printed) -> None:
    text = printed(set_as_table(set_report, verbose=True))
    for report in set_report.reports:
        assert f"{report.source} -> {report.output}" in text
    assert text.count("deduplicate (0.41 s): 77 initializers merged") == 2
    assert text.endswith(printed(set_as_table(set_report)))


def test_unverified_set_claims_nothing(unverified_report: Report, set_report: SetReport, printed: Printed) -> None:
    verified = set_report.reports[0]
    neither, one = (replace(set_report, reports=reports) for reports in (
        (unverified_report, unverified_report), (unverified_report, verified)
    ))  # fmt: skip
    assert "Accuracy was not measured" in words(printed(set_as_table(neither)))
    assert "; 1 model could not be measured; generated inputs" in words(printed(set_as_table(one)))
    assert "bit-identical" not in printed(set_as_table(neither))


def test_set_that_shares_nothing_says_so(set_report: SetReport, printed: Printed) -> None:
    text = words(printed(set_as_table(replace(set_report, shared_bytes=0))))
    assert "No weight is in more than one model." in text
    inside = replace(set_report, files=set_report.files[:2], shared_bytes=0)
    assert "Each model holds its own weights." in words(printed(set_as_table(inside)))
    assert "stored once" not in text


def test_names_in_a_set_are_printed_as_they_are(set_report: SetReport, printed: Printed) -> None:
    hostile = replace(set_report.reports[1], source=Path("[red]x\x1b[2J.onnx"), warnings=("[v2]\x07",))
    found = replace(set_report, reports=(set_report.reports[0], hostile))
    text = printed(set_as_table(found))
    assert "[red]x\\x1b[2J.onnx" in words(text).replace(" ", "")
    assert "[v2]\\x07" in text
    assert not {"\x1b", "\x07"} & set(text)


def words(text: str) -> str:
    """Undo the wrapping of lines."""
    return " ".join(text.split())


def test_comparison_reads_well_at_80_columns(comparison: Comparison, printed: Printed, golden: Golden) -> None:
    golden("comparison.txt", printed(comparison_as_table(comparison)))


def test_comparison_of_models_that_cannot_be_run(comparison: Comparison, printed: Printed, golden: Golden) -> None:
    failed = replace(
        comparison,
        checks=(replace(comparison.checks[1], holds=False, finding="the original has a; the candidate has b"),),
        samples="",
        fidelity=None,
        original_latency=None,
        candidate_latency=None,
        warnings=(),
    )
    golden("comparison_failed.txt", printed(comparison_as_table(failed)))


def test_inspection_reads_well_at_80_columns(inspection: Inspection, printed: Printed, golden: Golden) -> None:
    golden("inspection.txt", printed(inspection_as_table(inspection)))


def test_verbose_inspection_hides_nothing(inspection: Inspection, printed: Printed) -> None:
    text = printed(inspection_as_table(inspection, verbose=True))
    assert "Operator9" in text
    assert "albert.layer.9.ffn.weight" in text
    assert "bias (3.1 kB)" in text
    assert "other operators" not in text
    assert "more like it" not in text


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_no_line_but_that_of_the_paths_is_wider_than_the_terminal(
    report: Report, printed: Printed, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    paths, *lines = printed(report_as_table(report)).splitlines()
    assert paths == "models/albert[v2].onnx -> models/albert[v2].compressed.onnx"
    assert max(map(len, lines)) <= int(columns)


def test_a_long_path_can_be_copied(
    report: Report, comparison: Comparison, inspection: Inspection, printed: Printed
) -> None:
    path = Path("/models") / ("x" * 90) / "a b.onnx"
    for form in (
        report_as_table(replace(report, output=path)),
        comparison_as_table(replace(comparison, candidate_path=path)),
        inspection_as_table(replace(inspection, file_bytes={path: 1})),
    ):
        assert str(path) in printed(form)


def test_reasons_are_folded_to_a_count_and_unfolded_on_request(report: Report, printed: Printed) -> None:
    skips = tuple(Skip(candidate=f"n{i}", reason=f"reason {'x' * i}") for i in range(9))
    one = replace(report, steps=(replace(report.steps[0], skipped=skips),))
    folded, unfolded = (printed(report_as_table(one, verbose=verbose)) for verbose in (False, True))
    assert "left alone: 9 candidates; -v gives 9 reasons" in folded
    assert "1 x reason" not in folded
    assert unfolded.count("1 x reason") == 9
    assert "-v gives" not in unfolded


def test_a_reason_that_keeps_much_of_the_model_as_it_was_is_given_unasked(report: Report, printed: Printed) -> None:
    total = report.steps[0].size.total_bytes
    skips = tuple(
        Skip(candidate=name, reason=f"is {name}", weight_bytes=weight)
        for name, weight in (("heavy", total // 20), ("light", total // 20 - 1))
    )
    text = printed(report_as_table(replace(report, steps=(replace(report.steps[0], skipped=skips),))))
    assert "1 x is heavy" in text
    assert "is light" not in text
    assert "-v gives 1 more reason" in text


def test_names_with_markup_or_escapes_are_printed_as_they_are(report: Report, printed: Printed) -> None:
    hostile = Skip(candidate="[red]x[/red]\x1b[2J", reason="is [bold]odd\x07")
    one = replace(report, steps=(replace(report.steps[0], skipped=(hostile,)),), warnings=("[v2]\x1b]0;title\x07",))
    text = printed(report_as_table(one, verbose=True))
    assert "[red]x[/red]\\x1b[2J" in text
    assert "is [bold]odd\\x07" in text
    assert "[v2]\\x1b]0;title\\x07" in text
    assert "\x1b" not in text


def test_markdown_cannot_be_broken_by_names(report: Report) -> None:
    step = replace(report.steps[0], counts={}, reason="left | right <script> `x`\n# title")
    text = report_as_markdown(replace(report, steps=(step,)))
    row = next(line for line in text.splitlines() if line.startswith("| deduplicate"))
    assert "left \\| right \\<script\\> \\`x\\`\\\\n\\# title" in row


def test_markdown_can_be_told_from_other_files(report: Report) -> None:
    assert report_as_markdown(report).startswith(MARK)
