"""Tell what integer products may lose on x86 processors without VNNI, and how much of it this host loses.

Those add the products of two neighbouring uint8 x int8 pairs in 16 bits, which hold 255 x 128: where the magnitudes of
two neighbours along the sum exceed 128 together, the sum can saturate. Weights of this package never do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.evaluation.contract import Refusal
from compressor.evaluation.judge import Judge
from compressor.model.tensors import all_graphs
from compressor.model.weights import read_ranges
from compressor.report import Fidelity

EXACT_SUMS = {"session.x64quantprecision": "1"}
"""Makes ONNX Runtime turn int8 weights into uint8, whose products it adds without saturating, on such processors."""

SATURATES = "saturate"
"""What `host.name_int8_path` says of such a processor."""

_LARGEST_PAIR = 128

_BLOCK_ELEMENTS = 1 << 20
"""Elements of a weight looked at at once."""

_WEIGHTS = {
    ("", "MatMulInteger"): (1,),
    ("", "QLinearMatMul"): (3,),
    ("com.microsoft", "MatMulIntegerToFloat"): (1,),
    ("com.microsoft", "DynamicQuantizeMatMul"): (1,),
    ("com.microsoft", "QAttention"): (1,),
    ("com.microsoft", "DynamicQuantizeLSTM"): (1, 2),
}
"""Inputs that are weights on the right of a product; each is summed over along its last axis but one."""


def weights_that_may_saturate(model: ir.Model) -> list[str]:
    """Name the int8 weights of integer products in which two neighbours are too large together."""
    found = {}
    for graph in all_graphs(model):
        for node in graph:
            for name, integers, axis in _signed_weights(node):
                if name not in found:
                    found[name] = any(pairs.max(initial=0) > _LARGEST_PAIR for pairs in _pairs(integers, axis))
    return [name for name, is_too_large in found.items() if is_too_large]


def explain_saturation(judge: Judge, candidate: ir.Model, found: Fidelity, int8_path: str) -> str:
    """Say which part of a candidate's drift is this processor's, or that there is more on others; empty if neither."""
    weights = weights_that_may_saturate(candidate)
    if not weights:
        return ""
    which = f"sums of int8 products with {len(weights)} weights, such as {weights[0]!r}, can saturate"
    if SATURATES not in int8_path:
        return f"{which} on x86 processors without VNNI: outputs may differ more there than on this one"
    exact = judge.compare(candidate, EXACT_SUMS)
    if isinstance(exact, Refusal):
        return f"{which} on this processor; what that costs is not known, since without it the candidate {exact.reason}"
    return (
        f"{which} on this processor: with sums that cannot, outputs differ by max rel {exact.worst_max_rel:.1e} "
        f"instead of {found.worst_max_rel:.1e}"
    )


def _signed_weights(node: ir.Node) -> Iterator[tuple[str, ir.TensorProtocol, int]]:
    for index in _WEIGHTS.get((node.domain, node.op_type), ()):
        value, axis = (node.inputs[index] if index < len(node.inputs) else None), -2
        producer = value.producer() if value is not None else None
        if producer is not None and producer.op_type == "Transpose":
            # Before a weight, that swaps the two axes that are multiplied.
            value, axis = producer.inputs[0], -1
        tensor = value.const_value if value is not None else None
        if value is None or tensor is None or tensor.dtype is not ir.DataType.INT8 or not tensor.size:
            continue
        if len(tensor.shape) > 1:
            yield value.name or "", tensor, axis


def _pairs(integers: ir.TensorProtocol, axis: int) -> Iterator[NDArray[np.int16]]:
    """Add the magnitudes of neighbours 2k and 2k + 1 along one of the last two axes, some rows at a time."""
    *outer, rows, columns = integers.shape.numpy()
    step = max(2, _BLOCK_ELEMENTS // max(1, columns) // 2 * 2)  # an even number, so that neighbours stay together
    tops = (matrix * rows + top for matrix in range(math.prod(outer)) for top in range(0, rows, step))
    ranges = ((top * columns, (top + min(step, rows - top % rows)) * columns) for top in tops)
    for block in read_ranges(integers, ranges):
        magnitudes = np.abs(block.reshape(-1, columns).astype(np.int16))
        along = magnitudes if axis == -2 else magnitudes.T
        odd = along[1::2]
        yield along[0::2][: len(odd)] + odd
