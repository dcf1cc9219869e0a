"""Let the weights of one operator become integers together or not at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import onnx_ir as ir

from compressor.passes.quantization.plan import Plan
from compressor.passes.quantization.recurrent import IntegerLstm
from compressor.passes.quantization.storage import WeightPlan
from compressor.passes.target import Target


def pair_up(plans: Sequence[WeightPlan], target: Target) -> list[WeightPlan]:
    """Decode a weight that was planned for an integer LSTM where the other one stays float, or has another type.

    The standard has no such LSTM at all.
    """
    types = defaultdict(list)
    for plan in plans:
        if isinstance(plan, Plan):
            for role in plan.draft.roles:
                if isinstance(role, IntegerLstm):
                    types[role.use.node].append(plan.weight_type)
    is_offered = target is Target.ORT
    alone = {node for node, found in types.items() if not is_offered or len(found) < 2 or found[0] is not found[1]}
    return [_decoding(plan, alone) if isinstance(plan, Plan) and alone else plan for plan in plans]


def _decoding(plan: Plan, nodes: set[ir.Node]) -> Plan:
    roles = tuple(
        role.decoded() if isinstance(role, IntegerLstm) and role.use.node in nodes else role
        for role in plan.draft.roles
    )
    return replace(plan, draft=replace(plan.draft, roles=roles))
