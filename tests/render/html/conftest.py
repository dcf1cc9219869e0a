"""A report in which everything that a page can show occurs, and a browser to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from compressor.report import Attempt, Quantization, Report, TaskScore, WeightNoise, WorstSample
from tests.render.drawn import DRIFTED, fidelity
from tests.render.html.browser import Browser, find_browser, running


def scored(value: float) -> TaskScore:
    return TaskScore(
        task="classification", metric="accuracy", value=value, low=value - 0.03, high=value + 0.03, samples=308
    )


def attempt(total_bytes: int, cosine: float, *broken: str, is_chosen: bool = False) -> Attempt:
    return Attempt(
        weights={"dynamic": 70, "float": 4},
        total_bytes=total_bytes,
        fidelity=fidelity(replace(DRIFTED, cosine_min=cosine)),
        score=None,
        speedup=1.5,
        broken_limits=broken,
        is_chosen=is_chosen,
    )


@pytest.fixture
def full(report: Report) -> Report:
    last = report.steps[-1]
    worst = tuple(
        WorstSample(output="logits", row=row, cosine=1 - 0.015 / row, excerpt=f"text {row}") for row in range(1, 6)
    )
    assert last.fidelity is not None
    steps = (
        *report.steps[:-1],
        replace(
            last,
            fidelity=replace(last.fidelity, worst_samples=worst),
            score=replace(scored(0.89), wins=2, losses=6, p_value=0.29),
            quantization=Quantization(
                quantized_bytes=34_000_000,
                float_bytes=440_000,
                worst=(WeightNoise(name="layer.0.ffn", weight_bytes=9_000_000, sqnr_db=31.5),),
            ),
        ),
    )
    return replace(
        report,
        steps=steps,
        original_score=scored(0.90),
        broken_limits=("the size is 12.31 MB, 0.31 MB above the limit of 12 MB",),
        attempts=(
            attempt(9_000_000, 0.95, "the cosine similarity of the worst row is 0.95, below the limit of 0.98"),
            attempt(12_310_000, 0.985, is_chosen=True),
            attempt(14_000_000, 0.98),
            attempt(40_000_000, 0.9999),
        ),
        samples="24 rows made from the graph's signature",
        recipe='[[pass]]\nname = "quantize"\n',
    )


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    with running(program, tmp_path_factory.mktemp("profile")) as found:
        yield found
