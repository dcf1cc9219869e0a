from __future__ import annotations

from dataclasses import replace

from compressor.render.findings import (
    closing,
    counts_of,
    drift_of,
    group_skips,
    samples_of,
    steps_with_sizes_before,
    time_of,
    timing_of,
)
from compressor.report import Fidelity, Outcome, Report, Size, Skip, Step


def test_groups_reasons_that_differ_only_in_figures_and_names() -> None:
    groups = group_skips(
        [
            Skip(candidate="a", reason="weight 'a' has 768 elements, fewer than 1,024", weight_bytes=3),
            Skip(candidate="b", reason="weight 'b' has 96 elements, fewer than 1,024", weight_bytes=5),
        ]
    )
    assert [group.reason for group in groups] == ["weight … has … elements, fewer than 1,024"]
    assert [skip.candidate for skip in groups[0].skips] == ["b", "a"]
    assert groups[0].weight_bytes == 8


def test_keeps_a_common_reason_word_for_word() -> None:
    groups = group_skips([Skip(candidate=name, reason="axis 1 of 2 is not 'last'") for name in "ab"])
    assert [group.reason for group in groups] == ["axis 1 of 2 is not 'last'"]


def test_keeps_different_reasons_apart_and_puts_the_heaviest_first() -> None:
    groups = group_skips(
        [
            Skip(candidate="a", reason="holds NaN", weight_bytes=1),
            Skip(candidate="b", reason="is a graph output", weight_bytes=9),
            Skip(candidate="c", reason="operator Add takes no int8 weights"),
        ]
    )
    assert [group.reason[:9] for group in groups] == ["is a grap", "holds NaN", "operator "]


def test_counts_read_as_facts_and_an_idle_pass_says_so(report: Report) -> None:
    first, second, _ = report.steps
    idle = replace(first, counts={}, outcome=Outcome.UNCHANGED)
    assert counts_of(first, report.original) == "77 initializers merged"
    assert counts_of(idle, first.size) == "nothing to do"
    assert counts_of(idle, report.original) == "nothing to do (writing the file anew makes the difference in size)"
    assert counts_of(second, first.size).startswith("rolled back: it promises")


def test_pairs_each_step_with_the_size_before_it(report: Report) -> None:
    sizes = [before.total_bytes for _, before in steps_with_sizes_before(report.original, report.steps)]
    assert sizes == [358_548_619, 47_200_000, 47_200_000]


def test_drift_names_only_what_was_measured(report: Report) -> None:
    first, _, last = report.steps
    assert drift_of(first.fidelity) == ["bit-identical"]
    assert drift_of(last.fidelity) == ["max rel 3.1e-02", "cosine 0.98503", "top-1 98.3 %"]
    assert drift_of(None) == ["not measured"]
    assert drift_of(Fidelity(samples=0, batches=0, generated=True, outputs=())) == ["not measured"]


def test_drift_of_outputs_that_are_not_numbers_is_not_called_zero(report: Report) -> None:
    assert report.steps[2].fidelity is not None
    output = replace(
        report.steps[2].fidelity.outputs[0],
        cosine_mean=None,
        cosine_min=None,
        sqnr_db=None,
        max_abs=None,
        max_rel=None,
        top1_agreement=None,
    )
    assert drift_of(replace(report.steps[2].fidelity, outputs=(output,))) == ["not bit-identical"]


def test_says_which_samples_stand_behind_a_figure(report: Report) -> None:
    fidelity = report.steps[0].fidelity
    assert fidelity is not None
    assert samples_of(fidelity) == "24 generated samples"
    assert samples_of(replace(fidelity, samples=1, generated=False)) == "1 given sample"


def test_closing_warns_of_generated_inputs_only_where_they_are(report: Report) -> None:
    assert "indicative only" in closing(report)
    last = report.steps[-1]
    assert last.fidelity is not None
    given = replace(last, fidelity=replace(last.fidelity, generated=False))
    assert "indicative" not in closing(replace(report, steps=(*report.steps[:-1], given)))


def test_closing_says_that_accuracy_was_not_measured(unverified_report: Report) -> None:
    said = closing(unverified_report)
    assert "Accuracy was not measured" in said
    assert "host" not in said, "no latency was measured, so none may be compared"


def test_closing_does_not_hide_growth_or_slowness(report: Report, unverified_report: Report) -> None:
    assert "2.1 times LARGER" in closing(unverified_report)
    assert report.steps[-1].latency is not None
    slow = replace(report.steps[-1], latency=replace(report.steps[-1].latency, median_ms=122.468))
    assert "2.00 times SLOWER" in closing(replace(report, steps=(slow,)))


def test_closing_does_not_read_a_speed_out_of_noise(report: Report) -> None:
    assert report.steps[-1].latency is not None
    same = replace(report.steps[-1], latency=replace(report.steps[-1].latency, median_ms=60.0))
    assert "no faster or slower (within 5 %)" in closing(replace(report, steps=(same,)))


def test_closing_of_an_empty_chain_claims_nothing(report: Report) -> None:
    said = closing(replace(report, steps=()))
    assert said.startswith("The size stays 358.55 MB. Accuracy was not measured")


def test_notes_follow_the_counts() -> None:
    step = Step(
        name="fuse",
        outcome=Outcome.KEPT,
        size=Size(total_bytes=1, weight_bytes={}),
        counts={"attention_fused": 12},
        reason="own rules",
    )
    assert counts_of(step, step.size) == "12 attention fused; own rules"


def test_a_speed_up_is_named_only_where_the_original_was_timed_in_turns(report: Report) -> None:
    last = report.steps[-1]
    assert time_of(last) == ["37.00 ms", "(1.65x)"]
    assert time_of(replace(last, original_latency=None)) == ["37.00 ms"]
    assert time_of(replace(last, latency=None)) == ["not measured"]


def test_names_the_fewest_runs_behind_any_time(report: Report, unverified_report: Report) -> None:
    last = report.steps[-1]
    assert last.latency is not None
    hasty = replace(last, latency=replace(last.latency, runs=3))
    assert "at least 3 runs" in timing_of(replace(report, steps=(*report.steps[:-1], hasty)))
    assert timing_of(unverified_report) == "not measured"
