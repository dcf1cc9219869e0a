"""Choose what each weight is stored as under a scheme: blocks, float16, or integers with a scale a channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from compressor.passes.quantization.blocks import BlockFormat
from compressor.passes.quantization.blockwise import BlockDraft, BlockPlan, draft_blocks, plan_blocks
from compressor.passes.quantization.exclusion import Exclusion
from compressor.passes.quantization.half import HalfDraft, draft_half, plan_half
from compressor.passes.quantization.options import Scheme, WeightType
from compressor.passes.quantization.plan import Draft, Plan, draft_weight, plan_weight, standing_reason
from compressor.passes.quantization.storage import WeightPlan
from compressor.passes.quantization.weights import FloatWeight
from compressor.passes.target import Target

AnyDraft = Draft | BlockDraft | HalfDraft


def draft_under(
    scheme: Scheme, weight: FloatWeight, block_size: int, exclusion: Exclusion, target: Target = Target.ORT
) -> AnyDraft | str:
    """Find what `weight` can be stored as, reading none of it, or say why it stays float.

    Where some use cannot read blocks the weight is stored in 8 bits with a scale a channel, and decoded.
    """
    reason = standing_reason(weight, exclusion)
    if reason:
        return reason
    if scheme is Scheme.FP16:
        return draft_half(weight)
    if scheme.block_bits is None:
        return draft_weight(weight, scheme)
    in_blocks: BlockDraft | str = "the standard has no operator that reads blocks"
    if target is Target.ORT:
        in_blocks = draft_blocks(weight, BlockFormat(scheme.block_bits, block_size))
    if isinstance(in_blocks, BlockDraft):
        return in_blocks
    by_channel = draft_weight(weight, Scheme.WEIGHT_ONLY)
    return by_channel if isinstance(by_channel, str) else replace(by_channel, instead_of_blocks=in_blocks)


def plan_draft(draft: AnyDraft, weight_type: WeightType) -> WeightPlan | str:
    """Read the weight and choose its scales, or say why it stays float."""
    if isinstance(draft, BlockDraft):
        return plan_blocks(draft)
    if isinstance(draft, HalfDraft):
        return plan_half(draft)
    return plan_weight(draft, weight_type)


def other_than_asked(plans: Sequence[WeightPlan]) -> str:
    """Name the weights stored in another form of blocks than asked for, or in none; empty if there are none."""
    by_channel, finer = [], []
    for plan in plans:
        if isinstance(plan, Plan) and plan.draft.instead_of_blocks:
            by_channel.append(f"{plan.weight.name} ({plan.draft.instead_of_blocks})")
        if isinstance(plan, BlockPlan) and plan.asked is not None:
            finer.append(f"{plan.weight.name} ({plan.draft.form.bits} bits, blocks of {plan.draft.form.size})")
    said = [
        _listed("in 8 bits with a scale a channel instead of in blocks", by_channel),
        _listed("in finer blocks, since values would have drowned in those asked for", finer),
    ]
    return "; ".join(filter(None, said))


def _listed(said: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    return f"{said}: {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
