"""Draw graphs, fuse them, and hold the result against the graph as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from compressor.passes.contract import PassResult
from compressor.passes.fuse import FuseTransformer

Array = NDArray[Any]
TOLERANCE = 2e-6
"""Largest difference, relative to the largest output: a few roundings of float32 in graphs this small."""


def draw(text: str, weights: Mapping[str, Array] | None = None, opset: int = 17) -> ir.Model:
    """Parse a graph in ONNX text; `weights` become initializers."""
    imports = f'"" : {opset}, "com.microsoft" : 1' if "com.microsoft." in text else f'"" : {opset}'
    proto = onnx.parser.parse_model(f"<ir_version: 8, opset_import: [{imports}]> {text}")
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in (weights or {}).items())
    return ir.from_proto(proto)


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run(model: ir.Model, feeds: Mapping[str, Array]) -> list[Array]:
    """Run a model as it is written: without the fusions ONNX Runtime would make itself."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, ["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))


def operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.all_nodes())


def fuse(model: ir.Model, *feeds: Mapping[str, Array], tolerance: float = TOLERANCE, **options: Any) -> PassResult:
    """Fuse all kinds in a copy of `model`, and make sure that it computes the same of all `feeds` and is valid."""
    result = FuseTransformer(**{"without": frozenset(), **options}).run(model.clone())
    onnx.checker.check_model(ir.to_proto(result.model))
    for feed in feeds:
        for before, after in zip(run(model, feed), run(result.model, feed), strict=True):
            assert before.shape == after.shape
            assert (np.isnan(before) == np.isnan(after)).all()
            np.testing.assert_allclose(
                after, before, rtol=0, atol=tolerance * max(1.0, float(np.nanmax(np.abs(before), initial=0)))
            )
    assert result.model.graph.num_nodes() <= model.graph.num_nodes()
    return result


def assert_left_alone(model: ir.Model, *feeds: Mapping[str, Array], **options: Any) -> PassResult:
    """Make sure that nothing in `model` is replaced by a fused operator."""
    before = operators(model)
    result = fuse(model, *feeds, **options)
    assert operators(result.model) == before
    return result


def reasons(result: PassResult) -> list[str]:
    return [skip.reason for skip in result.skipped]
