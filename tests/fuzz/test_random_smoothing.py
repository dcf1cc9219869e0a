"""Random models with shared weights, smoothed whatever it brings, give the same bytes as before."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from compressor.evaluation.contract import Samples
from compressor.evaluation.observe import Observer
from compressor.model.load import load
from compressor.model.session import open_session
from compressor.passes.deduplicate import DeduplicateInitializers
from compressor.passes.smooth import SmoothActivations
from tests.fuzz.random_models import RandomModel

SEEDS = range(100, 160)
ALWAYS = SmoothActivations(most_error=1.0, min_elements=1, strength=0.6)


def smoothed(seed: int, folder: Path) -> int:
    """Smooth a model of loud and quiet features; how many activations that concerned."""
    drawn = RandomModel(seed)
    onnx.save(drawn.proto(), folder / "model.onnx")
    samples = Samples(batches=(drawn.feeds(1), drawn.feeds(3)), generated=False, description="drawn")
    original = load(folder / "model.onnx")
    result = next(ALWAYS.attempts(DeduplicateInitializers().run(original.clone()).model, Observer(samples)))
    before, after = open_session(original, is_optimized=False), open_session(result.model, is_optimized=False)
    for feeds in (*samples.batches, drawn.feeds(5)):
        first, second = before.run(None, dict(feeds))[0], after.run(None, dict(feeds))[0]
        assert first.tobytes() == second.tobytes(), seed
    return result.counts.get("activations_smoothed", 0)


@pytest.mark.parametrize("start", range(SEEDS.start, SEEDS.stop, 20))
def test_smoothing_changes_no_bit_of_a_random_model(start: int, tmp_path: Path) -> None:
    assert sum(smoothed(seed, tmp_path) for seed in range(start, start + 20)) > 0
