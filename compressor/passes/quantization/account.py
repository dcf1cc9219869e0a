"""Sum up what a run did to the float weights of a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from compressor.passes.quantization.blockwise import BlockPlan
from compressor.passes.quantization.plan import Plan
from compressor.passes.quantization.storage import WeightPlan
from compressor.report import Quantization, Skip, WeightNoise

WORST_SHOWN = 10


def account_for(plans: Sequence[WeightPlan], skipped: Sequence[Skip]) -> Quantization | None:
    """Weigh what was quantized and what was not; None where nothing was."""
    if not plans:
        return None
    return Quantization(
        quantized_bytes=sum(plan.weight.tensor.nbytes for plan in plans),
        float_bytes=sum(skip.weight_bytes for skip in skipped),
        worst=tuple(sorted(_noise(plans), key=_badness)[:WORST_SHOWN]),
    )


def _badness(noise: WeightNoise) -> tuple[bool, float]:
    """Order by the ratio; one that could not be worked out comes first."""
    return not math.isnan(noise.sqnr_db), noise.sqnr_db


def _noise(plans: Sequence[WeightPlan]) -> Iterator[WeightNoise]:
    for plan in plans:
        if isinstance(plan, Plan | BlockPlan):
            yield WeightNoise(name=plan.weight.name, weight_bytes=plan.weight.tensor.nbytes, sqnr_db=_sqnr_db(plan))


def _sqnr_db(plan: Plan | BlockPlan) -> float:
    return plan.sqnr_db if isinstance(plan, Plan) else plan.blocks.sqnr_db
