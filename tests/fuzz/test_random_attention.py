"""Random attention, and what only looks like it: fused or not, it computes the same, rows of padding included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from compressor.model.load import load
from compressor.model.save import save
from compressor.passes.fuse import FuseTransformer
from compressor.passes.target import Target
from tests.fuzz.random_attention import RandomAttention

ROUNDING = 1e-3
"""Largest difference, relative to the largest output. Scores of a row in which -10000 was added to each have 1e-3 of
rounding in float32; an axis, a mask or a scale that is wrong moves outputs by 1e-2 and more."""

SEEDS_AT_ONCE = 40


def run(path: Path, feeds: dict[str, Any]) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return ort.InferenceSession(path, options).run(None, feeds)[0]


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("start", range(0, 200, SEEDS_AT_ONCE))
def test_fusing_keeps_what_random_attention_computes(start: int, target: Target, tmp_path: Path) -> None:
    source, out = tmp_path / "model.onnx", tmp_path / "out.onnx"
    fused = 0
    for seed in range(start, start + SEEDS_AT_ONCE):
        drawn = RandomAttention(seed)
        onnx.save(drawn.proto(), source)
        result = FuseTransformer(engines=(), target=target).run(load(source))
        fused += result.counts.get("attention_fused", 0)
        save(result.model, out, overwrite=True)
        feeds = drawn.feeds()
        before, after = run(source, feeds), run(out, feeds)
        defined = np.isfinite(before)  # a query without any key has no number, or 0 from the standard's operator
        assert np.abs(np.where(defined, after - before, 0)).max() <= ROUNDING * np.abs(before[defined]).max(
            initial=1
        ), seed
    assert SEEDS_AT_ONCE // 8 < fused < SEEDS_AT_ONCE, "some are fused, some are not"
