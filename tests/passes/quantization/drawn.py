"""Draw small graphs in ONNX text, quantize them, and run both forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper

from compressor.model.session import open_session
from compressor.model.skeleton import to_skeleton
from compressor.model.tensors import all_graphs
from compressor.passes.contract import PassResult
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantize import QuantizeDynamic

Array = NDArray[Any]

LEAST_SQNR_DB = 25.0
"""Rounding both operands to 8 bits leaves 35 to 45 dB on normal random numbers; a wrong scale or axis under 10."""

LEAST_SQNR_DB_OF_4_BITS = 12.0
"""Rounding weights to 4 bits leaves 16 to 22 dB."""

BY_CHANNEL = (Scheme.DYNAMIC, Scheme.WEIGHT_ONLY)
"""Schemes with a scale for each channel of a weight."""

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'


def normal(*shape: int, seed: int = 0) -> Array:
    """Random float32 numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def uneven(*shape: int, seed: int = 0) -> Array:
    """Random float32 numbers whose channels differ in size, so that a scale on the wrong axis is seen."""
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape)
    for axis, size in enumerate(shape):
        values *= np.geomspace(0.3, 3, size).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return values.astype(np.float32)


def draw(text: str, **weights: Array) -> onnx.ModelProto:
    """Parse ONNX text (under the usual header if it has none) and give its graph these initializers."""
    model = onnx.parser.parse_model(text if text.lstrip().startswith("<") else HEADER + text)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return model


def quantize(model: onnx.ModelProto, **options: Any) -> PassResult:
    """Quantize a copy of `model`, however small its weights."""
    copy = ir.from_proto(onnx.ModelProto.FromString(model.SerializeToString()))
    return QuantizeDynamic(**{"min_elements": 1, **options}).run(copy)


def operators(result: PassResult) -> list[str]:
    """Operators of the main graph, in order."""
    return [node.op_type for node in result.model.graph]


def reasons(result: PassResult) -> dict[str, str]:
    """Why each weight was left alone."""
    return {skip.candidate: skip.reason for skip in result.skipped}


def run_both(model: onnx.ModelProto, result: PassResult, **feeds: Array) -> list[tuple[Array, Array]]:
    """Pairs of the original's and the quantized model's outputs; the latter is run as it stands and optimized."""
    onnx.checker.check_model(_checkable(result.model))
    expected = ort.InferenceSession(model.SerializeToString()).run(None, feeds)
    pairs = []
    for is_optimized in (False, True):
        session = open_session(result.model, is_optimized=is_optimized)
        pairs += list(zip(expected, session.run(None, feeds), strict=True))
    return pairs


def assert_near(model: onnx.ModelProto, result: PassResult, channel_axis: int | None = -1, **feeds: Array) -> None:
    """Every channel of every output is near the original's, and shapes and types are the same.

    One number may come out near zero by chance, so outputs with a number a channel are judged as a whole (None).
    """
    for expected, actual in run_both(model, result, **feeds):
        assert expected.shape == actual.shape
        assert expected.dtype == actual.dtype
        worst = worst_sqnr(expected, actual, channel_axis)
        assert worst > least_sqnr(result), worst


def least_sqnr(result: PassResult) -> float:
    """What rounding to the bits that `result` has leaves at least."""
    nodes = [node for graph in all_graphs(result.model) for node in graph]
    widths = {node.attributes["bits"].as_int() for node in nodes if "bits" in node.attributes}
    return LEAST_SQNR_DB_OF_4_BITS if 4 in widths else LEAST_SQNR_DB


def assert_unchanged(model: onnx.ModelProto, result: PassResult) -> None:
    """The pass did nothing at all."""
    assert not result.counts
    before = ir.from_proto(model)
    assert ir.to_proto(result.model).SerializeToString() == ir.to_proto(before).SerializeToString()


def worst_sqnr(expected: Array, actual: Array, channel_axis: int | None) -> float:
    """Signal to noise ratio in dB of the worst channel."""
    if channel_axis is None:
        expected, actual, channel_axis = expected.reshape(1, -1), actual.reshape(1, -1), 0
    first, second = (np.moveaxis(a.astype(np.float64), channel_axis, 0).reshape(a.shape[channel_axis], -1)
                     for a in (expected, actual))  # fmt: skip
    signal, noise = (first**2).sum(1), ((first - second) ** 2).sum(1)
    return float(10 * np.log10(np.min(signal / np.maximum(noise, 1e-20 * signal.max()))))


def _checkable(model: ir.Model) -> onnx.ModelProto:
    """The model with its weights inline: the checker looks for external data on disk."""
    skeleton = to_skeleton(model)
    weights = {weight.name: weight for weight in skeleton.weights.values()}
    for tensor in _tensors(skeleton.proto):
        if tensor.name in weights and tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.raw_data = weights[tensor.name].tobytes()
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT
    return skeleton.proto


def _tensors(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    found: list[onnx.TensorProto] = []
    waiting: list[Any] = [proto.graph, *proto.functions]
    while waiting:
        body = waiting.pop()
        found += list(getattr(body, "initializer", ()))
        for node in body.node:
            for attribute in node.attribute:
                found += [attribute.t] if attribute.HasField("t") else []
                waiting += [attribute.g] if attribute.HasField("g") else []
    return found
