"""Decide which weights become integers, along which axes they are scaled, and why the others do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.model.weights import ComputedWeight
from compressor.passes.quantization.attention import match_attention
from compressor.passes.quantization.channels import (
    UINT8_ZERO_POINT,
    integer_blocks,
    measure_channels,
    scales_for,
    unfit_reason,
)
from compressor.passes.quantization.decoded import DecodedWeight, match_float_operator
from compressor.passes.quantization.edit import Edit
from compressor.passes.quantization.einsum import match_einsum, match_projection
from compressor.passes.quantization.exclusion import Exclusion
from compressor.passes.quantization.gather import match_gather
from compressor.passes.quantization.gemm import match_gemm
from compressor.passes.quantization.matmul import match_matmul
from compressor.passes.quantization.noise import held, lost_channels, signal_to_noise_db
from compressor.passes.quantization.options import Scheme, WeightType
from compressor.passes.quantization.outliers import COLUMNS, find_outlier_rows
from compressor.passes.quantization.recurrent import match_lstm
from compressor.passes.quantization.role import IntegerWeight, Role
from compressor.passes.quantization.shape_of import match_shape
from compressor.passes.quantization.storage import Rewriting, WeightPlan
from compressor.passes.quantization.weight_norm import match_weight_norm
from compressor.passes.quantization.weights import FloatWeight, Use

_STORED_AS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)

LOWEST_OPSET = 7
"""First opset in which Mul broadcasts, which decoding needs."""

_ROLES: dict[Scheme, tuple[Callable[[Use], Role | None], ...]] = {
    Scheme.DYNAMIC: (
        match_matmul,
        match_gemm,
        match_gather,
        match_attention,
        match_lstm,
        match_projection,
        match_einsum,
        match_float_operator,
        match_weight_norm,
        match_shape,
    ),
    Scheme.WEIGHT_ONLY: (match_gather, match_einsum, match_float_operator, match_weight_norm, match_shape),
}
"""Ways to read a use, the first that fits wins."""

_BYTES_PER_USE = 700
"""What the operators around one use add to a file, names included (400 to 700 seen)."""


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A weight whose uses can all work with integers, before a byte of it was read.

    Attributes:
        weight: the weight.
        roles: what each of its uses asks for.
        channels: axes along which to judge it: one channel is what one output is made of.
        scaled: axes along which it gets a scale each; fewer than `channels` where the uses disagree.
        instead_of_blocks: why it is not stored in blocks, where those were asked for.
    """

    weight: FloatWeight
    roles: tuple[Role, ...]
    channels: frozenset[int]
    scaled: frozenset[int]
    instead_of_blocks: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Plan(WeightPlan):
    """A weight that will be stored in integers, with a scale for each channel, but for rows that stay float."""

    draft: Draft
    weight_type: WeightType
    scales: NDArray[np.float32]
    sqnr_db: float
    float_rows: tuple[int, ...] = ()

    @property
    def weight(self) -> FloatWeight:
        return self.draft.weight

    @property
    def edited_nodes(self) -> frozenset[ir.Node]:
        return frozenset(role.use.node for role in self.draft.roles if not role.shares_operator)

    def store(self, edit: Edit) -> Sequence[Rewriting]:
        weight = self.weight
        unsigned = self.weight_type is WeightType.UINT8
        zero_point = UINT8_ZERO_POINT if unsigned else 0
        tensor = ComputedWeight(
            integer_blocks(weight.tensor, self.scales, zero_point, self.float_rows),
            ir.DataType.UINT8 if unsigned else ir.DataType.INT8,
            ir.Shape(weight.shape),
            name=edit.name(f"{weight.name}_int8"),
        )
        stored = IntegerWeight(weight, edit.constant(weight.home, tensor), zero_point, self.scales, self.float_rows)
        edit.stored.update({(role.use.node, role.use.index): stored for role in self.draft.roles})
        return [
            Rewriting(
                role.use.node, role.counted_as, isinstance(role, DecodedWeight), partial(role.rewrite, stored, edit)
            )
            for role in self.draft.roles
        ]


def draft_weight(weight: FloatWeight, scheme: Scheme) -> Draft | str:
    """Find a role for every use of `weight`, or say why it stays float."""
    roles = [(use, _role(use, scheme)) for use in weight.uses]
    without = sorted({use.label for use, role in roles if role is None})
    if without:
        shown = ", ".join(without[:3]) + (f" and {len(without) - 3} more" if len(without) > 3 else "")
        return f"used in float by {shown}"
    found = tuple(role for _, role in roles if role is not None)
    replaced = [role.use.node for role in found if not role.shares_operator]
    if len(set(replaced)) < len(replaced):
        return "used twice by one operator"
    scaled = _agreed_axes(found)
    judged = scaled or next((role.preferred for role in found if role.preferred), frozenset[int]())
    draft = Draft(weight, found, judged, scaled)
    return draft if _saved_bytes(draft) > 0 else "would not become smaller, with scales and operators added"


def plan_weight(draft: Draft, wanted: WeightType) -> Plan | str:
    """Read the weight once, in blocks, and scale it, or say why int8 would not represent it."""
    tensor, weight_type = held(draft.weight.tensor), _choose_type(draft, wanted)
    products = [role for role in draft.roles if role.weight_types] if weight_type is WeightType.INT8 else []
    paired = {role.summed_axis for role in products}
    measured = measure_channels(tensor, draft.channels, paired=paired)
    reason = unfit_reason(tensor, measured, draft.channels, scaled=draft.scaled)
    if not reason:
        scales = scales_for(measured, draft.scaled)
        overruled = _overruled_reason(draft, tensor, scales)
        return overruled or Plan(draft, weight_type, scales, signal_to_noise_db(tensor, scales))
    rows = find_outlier_rows(tensor, measured, paired) if _can_split(draft) else ()
    if not rows or _saved_bytes(draft) <= _split_bytes(draft, len(rows)):
        return reason
    rest = measure_channels(tensor, draft.channels, paired=paired, without=rows)
    if unfit_reason(tensor, rest, draft.channels, scaled=draft.scaled, without=rows):
        return reason
    scales = scales_for(rest, draft.scaled)
    return Plan(draft, weight_type, scales, signal_to_noise_db(tensor, scales, rows), rows)


def _overruled_reason(draft: Draft, tensor: ir.TensorProtocol, scales: NDArray[np.float32]) -> str:
    """Say what becomes of channels of uses that wanted other scales than they get; empty if they stand it."""
    for axes in dict.fromkeys(role.preferred for role in draft.roles):
        if axes <= draft.scaled or axes == draft.channels:
            continue  # judged with the channels of the scales
        lost = lost_channels(tensor, scales, axes)
        if lost.any():
            spread = f"{int(lost.sum())} of the {lost.size} channels of others"
            return f"its uses want scales along different axes, and under those of one most of {spread} would be zero"
    return ""


def _choose_type(draft: Draft, wanted: WeightType) -> WeightType:
    """Take the type asked for where all integer products can; uint8, which all can, where one cannot."""
    possible = [role.weight_types for role in draft.roles if role.weight_types]
    if not possible:
        return WeightType.INT8
    return wanted if all(wanted in types for types in possible) else WeightType.UINT8


def standing_reason(weight: FloatWeight, exclusion: Exclusion) -> str:
    """Say why `weight` stays float under any scheme; empty if nothing stands against it."""
    if weight.tensor.dtype not in _STORED_AS:
        return f"is {weight.tensor.dtype.name.lower()}; only float32, float16 and bfloat16 weights are quantized"
    if weight.value.is_graph_input():
        return "is a graph input as well, so a caller may override it"
    if weight.exposed:
        return "is a graph output"
    if not weight.uses:
        return "nothing uses it"
    if len({use.dtype for use in weight.uses}) > 1:
        return "its uses read it in different float types"
    if weight.dtype is ir.DataType.BFLOAT16:
        return "is used as bfloat16, which ONNX Runtime's CPU kernels of most operators do not take"
    if weight.opset < LOWEST_OPSET:
        return f"opset {weight.opset} is older than {LOWEST_OPSET}, the first in which Mul broadcasts"
    matched = next(exclusion.matches(weight), "")
    return f"excluded by {matched!r}" if matched else ""


def _role(use: Use, scheme: Scheme) -> Role | None:
    return next((role for match in _ROLES[scheme] if (role := match(use)) is not None), None)


def _agreed_axes(roles: Sequence[Role]) -> frozenset[int]:
    """Scale along the axes one use prefers, if all others allow them; along none if no two uses agree."""
    wishes = [role.preferred for role in roles if role.preferred]
    together = frozenset.intersection(*wishes) if wishes else frozenset[int]()
    for wish in (*wishes, together):
        if all(wish <= role.allowed for role in roles):
            return wish
    return frozenset()


def _can_split(draft: Draft) -> bool:
    is_plain = draft.weight.dtype is draft.weight.tensor.dtype
    return is_plain and draft.scaled == draft.channels == COLUMNS and all(role.can_split for role in draft.roles)


def _split_bytes(draft: Draft, rows: int) -> int:
    """What float rows, their indices and the mask of their features add, and the four operators at each use."""
    weight = draft.weight
    length, width = weight.shape
    item_bytes = weight.tensor.nbytes // weight.elements
    return (rows * width + length) * item_bytes + 8 * rows + _BYTES_PER_USE * len(draft.roles)


def _saved_bytes(draft: Draft) -> int:
    weight = draft.weight
    scales = math.prod(weight.shape[axis] for axis in draft.scaled)
    return weight.tensor.nbytes - weight.elements - 4 * scales - _BYTES_PER_USE * len(draft.roles)
