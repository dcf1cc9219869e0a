"""Estimate what storing a weight smaller costs, from its scales and what a model that ran once showed.

A product ``y = x W`` whose weight is off by independent errors of variance e, and whose activations by errors of
variance a, is off by ``sum_j m_j sum_k e_jk + a sum_jk W_jk^2``, with m_j the mean square of feature j. Held against
``sum_j m_j sum_k W_jk^2``, which is the output's own power where features are uncorrelated, this is the noise-to-signal
ratio of the product. Rounding to steps of s has errors of variance s^2 / 12 (B. Widrow, "Statistical analysis of
amplitude-quantized sampled-data systems", 1961).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.passes.contract import FeatureStatistics
from compressor.passes.quantization.blockwise import BlockPlan
from compressor.passes.quantization.channels import read_blocks
from compressor.passes.quantization.half import HalfPlan
from compressor.passes.quantization.plan import Plan
from compressor.passes.quantization.storage import WeightPlan
from compressor.passes.quantization.weights import FloatWeight, Use

Floats = NDArray[np.float64]

_ROUNDING = 1 / 12
_ACTIVATION_STEPS = 255
_UNSEEN_REACH = 12.0
"""From lowest to highest, in root mean squares, of activations that were not watched; encoders show 8 to 60."""

_BLOCK_ACTIVATIONS = 5e-5
"""Noise of activations in blocks of 8 bits: blocks of 32 normal numbers reach 4 root mean squares, in 254 steps."""

_HALF = 2.0**-22 / 6
"""Relative variance of rounding to the 11 digits of float16: 2^-22 / 3 of the power of two below, whose square is about
half of the number's."""


@dataclass(frozen=True, slots=True)
class Power:
    """Sums of squares of a weight, by index along each of its axes."""

    by_axis: tuple[Floats, ...]

    @property
    def total(self) -> float:
        """Of the whole weight."""
        return float(self.by_axis[0].sum()) if self.by_axis else 0.0


def watched_values(weights: Sequence[FloatWeight]) -> list[str]:
    """Names of the activations that the weights are multiplied with."""
    values = (_activation(use) for weight in weights for use in weight.uses)
    return list(dict.fromkeys(value.name for value in values if value is not None and value.name))


def measure_power(tensor: ir.TensorProtocol) -> Power:
    """Read a weight once, in pieces."""
    shape = tuple(tensor.shape.numpy())
    sums = tuple(np.zeros(size) for size in shape)
    with np.errstate(over="ignore", invalid="ignore"):
        for region, values in read_blocks(tensor):
            squares = np.square(values, dtype=np.float64)
            for axis, total in enumerate(sums):
                total[region[axis]] += squares.sum(axis=tuple(other for other in range(len(shape)) if other != axis))
    return Power(sums)


def expected_noise(plan: WeightPlan, power: Power, seen: Mapping[str, FeatureStatistics]) -> float:
    """Add up the noise-to-signal ratios that `plan` brings to all uses of its weight."""
    if isinstance(plan, HalfPlan):
        return _HALF * len(plan.weight.uses)
    return sum(_noise_of_use(plan, use, power, seen) for use in plan.weight.uses)


def stored_bytes(plan: WeightPlan) -> int:
    """Bytes that the weight takes under `plan`, with its scales."""
    weight = plan.weight
    if isinstance(plan, HalfPlan):
        return 2 * weight.elements
    if isinstance(plan, BlockPlan):
        blocks, form = plan.blocks, plan.draft.form
        zeros = 0 if blocks.zero_points is None else -(-blocks.zero_points.size * form.bits // 8)
        return blocks.scales.size * (form.size * form.bits // 8 + 4) + zeros
    assert isinstance(plan, Plan)
    kept = len(plan.float_rows) * (weight.elements // max(1, weight.shape[0])) if plan.float_rows else 0
    return weight.elements + 4 * plan.scales.size + 4 * kept


def _noise_of_use(plan: WeightPlan, use: Use, power: Power, seen: Mapping[str, FeatureStatistics]) -> float:
    axis = _feature_axis(use)
    value = _activation(use)
    features = seen.get(value.name or "") if value is not None else None
    if axis is None:
        return _share(float(_errors(plan, 0).sum()), power.total)
    errors, squares = _errors(plan, axis), power.by_axis[axis]
    means = features.mean_square if features is not None and len(features.mean_square) == len(squares) else None
    weighing = np.ones(len(squares)) if means is None else means
    signal, noise = float(weighing @ squares), float(weighing @ errors)
    if isinstance(plan, BlockPlan):
        return _share(noise, signal) + (_BLOCK_ACTIVATIONS if value is not None else 0.0)
    if value is not None and _multiplies_integers(plan):
        noise += _activation_error(plan, features if means is not None else None, weighing) * power.total
    return _share(noise, signal)


def _share(noise: float, signal: float) -> float:
    """Noise of a product that is always zero harms nobody."""
    return noise / signal if signal > 0 else 0.0


def _activation_error(plan: WeightPlan, features: FeatureStatistics | None, means: Floats) -> float:
    """Variance of rounding activations to 255 steps between the lowest and the highest, zero among them."""
    if features is None:
        return float(means.mean()) * (_UNSEEN_REACH / _ACTIVATION_STEPS) ** 2 * _ROUNDING
    lowest, highest = features.lowest.copy(), features.highest.copy()
    if isinstance(plan, Plan) and plan.float_rows:  # their features are taken out before
        lowest[list(plan.float_rows)] = highest[list(plan.float_rows)] = 0
    reach = max(float(highest.max(initial=0.0)), 0.0) - min(float(lowest.min(initial=0.0)), 0.0)
    return (reach / _ACTIVATION_STEPS) ** 2 * _ROUNDING


def _multiplies_integers(plan: WeightPlan) -> bool:
    return isinstance(plan, Plan) and any(role.weight_types for role in plan.draft.roles)


def _errors(plan: WeightPlan, axis: int) -> Floats:
    """Expected sums of squared errors of a weight, by index along one of its axes."""
    weight = plan.weight
    if isinstance(plan, BlockPlan):
        matrix, steps = plan.draft.matrix, np.square(plan.blocks.scales, dtype=np.float64) * _ROUNDING
        by_input = np.repeat(steps.sum(axis=0), plan.draft.form.size)[: matrix.inputs]
        by_output = steps.sum(axis=1) * plan.draft.form.size
        is_output = (axis == 0) == matrix.outputs_first
        found: Floats = by_output if is_output else by_input
        size = weight.shape[axis]
        return found if len(found) == size else np.full(size, found.sum() / size)
    assert isinstance(plan, Plan)
    others = tuple(other for other in range(len(weight.shape)) if other != axis)
    squares = np.square(plan.scales, dtype=np.float64) * _ROUNDING
    repeats = math.prod(weight.shape[other] for other in others if squares.shape[other] == 1)
    along: Floats = np.broadcast_to(squares.sum(axis=others) * repeats, weight.shape[axis : axis + 1]).copy()
    if plan.float_rows and axis == 0:
        along[list(plan.float_rows)] = 0
    return along


def _activation(use: Use) -> ir.Value | None:
    """What the weight is multiplied with, where that is one value with the features along its last axis."""
    if use.node.op_type not in ("MatMul", "Gemm") or use.index not in (0, 1):
        return None
    return use.node.inputs[1 - use.index]


def _feature_axis(use: Use) -> int | None:
    """The stored axis that the product sums over, where it is one whole axis."""
    node, view = use.node, use.view
    if node.op_type not in ("MatMul", "Gemm") or len(view.shape) < 2:
        return None
    place = len(view.shape) - 2 if use.index == 1 else len(view.shape) - 1
    turned = node.attributes.get("transB" if use.index == 1 else "transA")
    if node.op_type == "Gemm" and turned is not None and turned.as_int():
        place = 2 * len(view.shape) - 3 - place
    sources = view.sources[place]
    return sources[0] if sources is not None and len(sources) == 1 else None
