"""Random models with shared weights: every scheme, alone and for the standard, keeps what the model computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from compressor import Recipe
from compressor.model.load import load
from compressor.model.save import save
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantize import QuantizeDynamic
from compressor.passes.target import Target
from tests.fuzz.random_models import RandomModel

ALLOWED = {
    Scheme.DYNAMIC: 0.2,
    Scheme.WEIGHT_ONLY: 0.1,
    Scheme.BLOCKWISE_8: 0.1,
    Scheme.BLOCKWISE_4: 0.6,
    Scheme.FP16: 0.01,
}
"""Largest norm of the difference, relative to the output's, over a few products; a scale on the wrong axis gives more
than the first, twice the size more than any."""


def outputs(path: Path, drawn: RandomModel, feeds: list[dict[str, np.ndarray]]) -> list[np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [session.run(None, feed)[0] for feed in feeds]


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("scheme", Scheme)
@pytest.mark.parametrize("seed", range(200, 206))
def test_a_scheme_keeps_what_a_random_model_computes(seed: int, scheme: Scheme, target: Target, tmp_path: Path) -> None:
    drawn, source, out = RandomModel(seed), tmp_path / "model.onnx", tmp_path / "out.onnx"
    onnx.save(drawn.proto(), source)
    feeds = [drawn.feeds(1), drawn.feeds(3)]
    model = load(source)
    steps = (*Recipe.from_names(["deduplicate", "fuse"]).passes, QuantizeDynamic(scheme=scheme, min_elements=1))
    for step in Recipe(steps).for_target(target).passes:
        model = step.run(model).model
    save(model, out)
    domains = {node.domain for node in onnx.load(out).graph.node}
    assert target is not Target.STANDARD or domains <= {"", "ai.onnx"}
    for before, after in zip(outputs(source, drawn, feeds), outputs(out, drawn, feeds), strict=True):
        assert before.shape == after.shape
        assert np.linalg.norm(before - after) <= ALLOWED[scheme] * np.linalg.norm(before)
