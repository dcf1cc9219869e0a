"""What a search tried, the smallest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import RenderableType

from compressor.render.as_table import report_as_table
from compressor.render.search_as_table import ROWS_SHOWN, is_dominated, search_as_table
from compressor.report import Attempt, Fidelity, Report
from tests.render.drawn import DRIFTED, fidelity


def near(cosine: float) -> Fidelity:
    return fidelity(replace(DRIFTED, cosine_min=cosine))


SMALL = Attempt(
    weights={"blockwise-4": 9, "float": 2}, total_bytes=700_000, fidelity=near(0.97), score=None, speedup=0.7,
    broken_limits=("the cosine similarity of the worst row is 0.97, 0.02 below the limit of 0.99",),
)  # fmt: skip
FAST = Attempt(
    weights={"dynamic": 11}, total_bytes=1_000_000, fidelity=near(0.995), score=None, speedup=1.8, broken_limits=(),
    is_chosen=True,
)  # fmt: skip
SLOW = replace(FAST, weights={"weight-only": 11}, total_bytes=1_100_000, speedup=0.9, is_chosen=False)
CLEAN = replace(SLOW, weights={"float": 11}, total_bytes=4_000_000, fidelity=near(0.9999))
FAILED = replace(SMALL, weights={"fp16": 11}, total_bytes=2_000_000, fidelity=None, speedup=None)
ALL = (CLEAN, SLOW, FAST, SMALL, FAILED)


def test_attempts_are_sorted_by_size_and_judged(printed: Callable[[RenderableType], str]) -> None:
    lines = [" ".join(line.split()) for line in printed(search_as_table(ALL)).splitlines()[2:]]
    assert lines == [
        "9 blockwise-4, 2 float 0.70 MB 0.97000 0.70x breaks a limit",
        "11 dynamic 1.00 MB 0.99500 1.80x chosen",
        "11 weight-only 1.10 MB 0.99500 0.90x beaten",
        "11 fp16 2.00 MB - - does not run",
        "11 float 4.00 MB 0.99990 0.90x on the Pareto front",
    ]


@pytest.mark.parametrize(("chosen", "first"), [(0, 0), (2, 0), (8, 5), (15, 9)])
def test_of_many_attempts_those_near_the_chosen_one_are_shown(
    printed: Callable[[RenderableType], str], chosen: int, first: int
) -> None:
    many = [replace(CLEAN, total_bytes=(at + 1) * 10**6, is_chosen=at == chosen) for at in range(16)]
    lines = printed(search_as_table(many)).splitlines()
    assert [line.split()[2] for line in lines[2:-1]] == [f"{first + at + 1}.00" for at in range(ROWS_SHOWN)]
    assert lines[-1] == "and 9 more, larger or smaller (-v shows all)"
    assert sum("chosen" in line for line in lines) == 1
    assert len(printed(search_as_table(many, verbose=True)).splitlines()) == 2 + 16


@pytest.mark.parametrize(("attempt", "expected"), [(SMALL, False), (FAST, False), (SLOW, True), (CLEAN, False)])
def test_an_attempt_is_beaten_by_one_that_is_better_in_something_and_worse_in_nothing(
    attempt: Attempt, expected: bool
) -> None:
    assert is_dominated(attempt, ALL) is expected


def test_a_report_holds_the_table_where_there_was_a_search(
    report: Report, printed: Callable[[RenderableType], str]
) -> None:
    assert "weights by scheme" not in printed(report_as_table(report))
    assert "weights by scheme" in printed(report_as_table(replace(report, attempts=ALL)))
