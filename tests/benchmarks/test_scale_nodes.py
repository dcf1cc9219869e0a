"""Graphs of very many nodes: that they are what they are said to be, and that work on them grows with them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import onnx
import onnxruntime
import pytest
import scale_nodes
from scale_graphs import KINDS, WIDTH, write_graph

from compressor.inspection import inspect
from compressor.model.load import load
from compressor.model.save import save
from compressor.passes.contract import Pass
from compressor.passes.deduplicate import DeduplicateInitializers
from compressor.passes.fuse import FuseTransformer
from compressor.passes.quantize import QuantizeDynamic

NODES = 294
"""Three pairs of layers."""

MOST_GROWTH = 2.15
"""Steps for twice the nodes, against those for the nodes: 2, and a little for rounding up and sorting."""


def written(folder: Path, kind: str, nodes: int) -> Path:
    path = folder / f"{kind}.{nodes}.onnx"
    write_graph(kind, nodes, str(path))
    return path


def steps_of(work: Callable[[], object]) -> int:
    """Calls, of Python's functions and of others, that `work` makes."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: object) -> None:
        calls[event] += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls["call"] + calls["c_call"]


def growth_of(work: Callable[[int], Callable[[], object]], nodes: int) -> float:
    work(nodes // 4)()  # what is imported or looked up at first
    return steps_of(work(2 * nodes)) / steps_of(work(nodes))


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_have_half_as_many_initializers_as_nodes_and_run(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind, 400)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert len(model.graph.node) == pytest.approx(400, rel=0.3)
    assert len(model.graph.initializer) == pytest.approx(len(model.graph.node) / 2, rel=0.2)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    shape = {"chain": (2, 256), "fan": (2, 8), "layers": (2, 3, WIDTH)}[kind]
    (y,) = session.run(None, {"x": np.random.default_rng(0).standard_normal(shape, np.float32)})
    assert np.isfinite(y).all()
    assert y.std() > 0


def test_layers_are_fused_and_quantized(tmp_path: Path) -> None:
    model = load(written(tmp_path, "layers", 400))
    assert DeduplicateInitializers().run(model).counts["initializers_merged"] > 0
    fused = FuseTransformer().run(model).counts
    assert fused["attention_fused"] == fused["gelu_fused"] == fused["layer_normalization_fused"] / 2
    assert QuantizeDynamic().run(model).counts["weights_quantized"] > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "step", [DeduplicateInitializers(), FuseTransformer(), QuantizeDynamic()], ids=lambda s: s.name
)
def test_steps_of_a_pass_grow_with_the_nodes(tmp_path: Path, kind: str, step: Pass) -> None:
    def work(nodes: int) -> Callable[[], object]:
        model = load(written(tmp_path, kind, nodes))
        return lambda: step.run(model)

    assert growth_of(work, NODES) < MOST_GROWTH


@pytest.mark.parametrize("kind", KINDS)
def test_steps_of_reading_and_writing_grow_with_the_nodes(tmp_path: Path, kind: str) -> None:
    def work(nodes: int) -> Callable[[], object]:
        path = written(tmp_path, kind, nodes)
        return lambda: save(load(path), tmp_path / "out.onnx", overwrite=True)

    assert growth_of(work, NODES) < MOST_GROWTH


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_steps_of_an_inspection_grow_with_the_nodes(tmp_path: Path, kind: str) -> None:
    def work(nodes: int) -> Callable[[], object]:
        path = written(tmp_path, kind, nodes)
        return lambda: inspect(path, run=False)

    assert growth_of(work, NODES) < MOST_GROWTH


def test_the_table_tells_how_processor_time_grew() -> None:
    rows = [
        scale_nodes.Row(
            kind="chain",
            nodes=nodes,
            job="inspect",
            wall_seconds=seconds,
            cpu_seconds=seconds / 2,
            peak_rss_bytes=10**8,
        )
        for nodes, seconds in ((1000, 2.0), (2000, 5.0))
    ]
    head, _, line = scale_nodes.table(rows).splitlines()
    assert head == "| graph | job | 1,000 | 2,000 | CPU, last / first | peak RSS MB |"
    assert line == "| chain | inspect | 2.0 (1.0) | 5.0 (2.5) | 2.5 | 100 |"
