"""Random models with shared weights: every pass, and every ordered pair, keeps what the model computes."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from compressor.model.load import load
from compressor.model.save import save
from compressor.passes.contract import Pass
from compressor.passes.deduplicate import DeduplicateInitializers
from compressor.passes.fuse import FuseTransformer
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantize import QuantizeDynamic
from tests.fuzz.random_models import RandomModel

ROUNDING = 1e-4
"""Largest norm of the difference, relative to that of the output, that float32 rounding makes over a few products."""

INT8 = 0.2
"""The same for operands rounded to 8 bits, seven steps deep; a scale on the wrong axis gives more than 0.5."""

PASSES: tuple[Pass, ...] = (
    DeduplicateInitializers(),
    FuseTransformer(engines=()),
    QuantizeDynamic(min_elements=1),
    QuantizeDynamic(scheme=Scheme.WEIGHT_ONLY, min_elements=1),
    QuantizeDynamic(scheme=Scheme.BLOCKWISE_8, min_elements=1),
    QuantizeDynamic(scheme=Scheme.FP16, min_elements=1),
)
CHAINS = [(one,) for one in PASSES] + list(permutations(PASSES, 2))


def run(path: Path, feeds: list[dict[str, Any]]) -> list[Any]:
    session = ort.InferenceSession(path)
    return [session.run(None, feed)[0] for feed in feeds]


@pytest.mark.parametrize("seed", range(10, 40))
def test_passes_keep_what_a_random_model_computes(seed: int, tmp_path: Path) -> None:
    drawn = RandomModel(seed)
    source = tmp_path / "model.onnx"
    onnx.save(drawn.proto(), source)
    feeds = [drawn.feeds(1), drawn.feeds(3)]
    expected = run(source, feeds)
    for chain in CHAINS:
        allowed = INT8 if any(isinstance(step, QuantizeDynamic) for step in chain) else ROUNDING
        model = load(source)
        for step in chain:
            model = step.run(model).model
            assert not step.run(model.clone()).is_changed, step.name
        save(model, tmp_path / "out.onnx", overwrite=True)
        for before, after in zip(expected, run(tmp_path / "out.onnx", feeds), strict=True):
            assert before.shape == after.shape
            assert np.linalg.norm(before - after) <= allowed * np.linalg.norm(before)
