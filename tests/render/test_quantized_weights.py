"""What is said of quantized weights: one line, the ten worst on request, and how rows depend on their batch."""

from __future__ import annotations

import math
from dataclasses import replace

from compressor.render.quantized_weights import quantization_lines
from compressor.report import Batching, Quantization, Report, WeightNoise

WORST = (
    WeightNoise(name="encoder.0\x1b[2J", weight_bytes=2_359_296, sqnr_db=31.46),
    WeightNoise(name="table", weight_bytes=93_763_584, sqnr_db=math.inf),
)
FOUND = Quantization(quantized_bytes=435_000_000, float_bytes=612_000, worst=WORST)
BATCHED = Batching(rows=4, max_rel=0.0123, cosine_min=0.99876, original_max_rel=3.1e-7)


def test_says_nothing_where_nothing_was_quantized(report: Report) -> None:
    assert list(quantization_lines(report.steps[0], verbose=True)) == []


def test_folds_weights_into_a_line(report: Report) -> None:
    step = replace(report.steps[-1], quantization=FOUND)
    assert list(quantization_lines(step, verbose=False)) == ["weights: 435.00 MB quantized, 0.61 MB stay float"]


def test_unfolds_the_worst(report: Report) -> None:
    step = replace(report.steps[-1], quantization=FOUND)
    assert list(quantization_lines(step, verbose=True)) == [
        "weights: 435.00 MB quantized, 0.61 MB stay float; the most noise is in",
        "  encoder.0\\x1b[2J (31.5 dB, 2.36 MB)",
        "  table (no noise, 93.76 MB)",
    ]


def test_a_ratio_that_overflowed_is_not_known(report: Report) -> None:
    unknown = WeightNoise(name="w", weight_bytes=8, sqnr_db=math.nan)
    step = replace(report.steps[-1], quantization=replace(FOUND, worst=(unknown,)))
    assert list(quantization_lines(step, verbose=True))[1:] == ["  w (noise not known, 8 B)"]


def test_says_how_rows_depend_on_their_batch(report: Report) -> None:
    step = replace(report.steps[-1], batching=BATCHED)
    assert list(quantization_lines(step, verbose=False)) == [
        "a row in a batch against the same row alone: max rel 1.2e-02, cosine 0.99876 "
        "(original: max rel 3.1e-07; 4 rows)"
    ]
    (line,) = quantization_lines(replace(step, batching=replace(BATCHED, cosine_min=None, rows=1)), verbose=False)
    assert "cosine" not in line
    assert line.endswith("1 row)")
