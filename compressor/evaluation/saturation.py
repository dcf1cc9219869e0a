"""Tell what integer products may lose on x86 processors without VNNI, and how much of it this host loses.

Those add the products of two neighbouring uint8 x int8 pairs in 16 bits, which hold 255 x 128: where the magnitudes of
two neighbours along the sum exceed 128 together, the sum can saturate. Weights of this package never do.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.evaluation.contract import Refusal
from compressor.evaluation.judge import Judge
from compressor.model.tensors import all_graphs
from compressor.report import Fidelity

EXACT_SUMS = {"session.x64quantprecision": "1"}
"""Makes ONNX Runtime turn int8 weights into uint8, whose products it adds without saturating, on such processors."""

SATURATES = "saturate"
"""What `host.name_int8_path` says of such a processor."""

_LARGEST_PAIR = 128

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
                    found[name] = _largest_pair(integers, axis) > _LARGEST_PAIR
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


def _signed_weights(node: ir.Node) -> Iterator[tuple[str, NDArray[np.int8], int]]:
    for index in _WEIGHTS.get((node.domain, node.op_type), ()):
        value, axis = (node.inputs[index] if index < len(node.inputs) else None), -2
        producer = value.producer() if value is not None else None
        if producer is not None and producer.op_type == "Transpose":
            # Before a weight, that swaps the two axes that are multiplied.
            value, axis = producer.inputs[0], -1
        tensor = value.const_value if value is not None else None
        if value is not None and tensor is not None and tensor.dtype is ir.DataType.INT8 and len(tensor.shape) > 1:
            yield value.name or "", tensor.numpy(), axis


def _largest_pair(integers: NDArray[np.int8], axis: int) -> int:
    magnitudes = np.abs(np.moveaxis(integers, axis, -1).astype(np.int16))
    even, odd = magnitudes[..., 0::2], magnitudes[..., 1::2]
    pairs = even[..., : odd.shape[-1]] + odd
    return int(pairs.max(initial=0))
