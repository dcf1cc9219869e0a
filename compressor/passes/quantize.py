"""Store float weights as 8-bit integers, each once for all its uses, and multiply integers where that is faster."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from compressor.errors import OptionError
from compressor.model.tensors import all_graphs
from compressor.passes.contract import Claim, Pass, PassResult
from compressor.passes.quantization.account import account_for
from compressor.passes.quantization.blockwise import DEFAULT_BLOCK_SIZE, SMALLEST_BLOCK, is_block_size
from compressor.passes.quantization.edit import Edit
from compressor.passes.quantization.exclusion import Exclusion
from compressor.passes.quantization.matmul import DYNAMIC_QUANTIZE_OPSET
from compressor.passes.quantization.options import Scheme, WeightType
from compressor.passes.quantization.overrides import Override, parse_override, scheme_for, unused
from compressor.passes.quantization.pairs import pair_up
from compressor.passes.quantization.plan import Plan
from compressor.passes.quantization.recognition import describe_quantization
from compressor.passes.quantization.schemes import AnyDraft, draft_under, other_than_asked, plan_draft
from compressor.passes.quantization.storage import WeightPlan
from compressor.passes.quantization.weights import FloatWeight, find_float_weights
from compressor.passes.target import Target
from compressor.report import Skip

_LEAST_ELEMENTS = 2
"""A single number is a constant of the computation, no weight."""


@dataclass(frozen=True)
class QuantizeDynamic(Pass):
    """Quantize the weights of MatMul, Gemm, Gather, Einsum, LSTM and Attention, and those stored for Conv and others.

    Each stored weight is quantized once, symmetrically, with one scale per output channel (per row for a lookup
    table) wherever all its uses can agree on that. What stays float is reported with the reason.

    Attributes:
        scheme: what becomes of the arithmetic; ``dynamic`` by default, since it is also faster.
        weight_type: the type of weights in integer products; int8 by default, the faster one (BERT-base here: 40 ms
            against 73 ms). x86 processors without VNNI add int8 products two by two in 16 bits, so scales are chosen
            to keep every such sum in range. That costs 3 dB of the weight, 0.1 to 2.6 dB of a product; sums out of
            range cost up to 19 dB of an output channel where activations have outliers. uint8 products are exact
            everywhere. Weights in no product are int8 always, and weights on the left of one uint8.
        block_size: weights that share a scale under ``blockwise-8`` and ``blockwise-4``: a power of two from 16 on.
        min_elements: weights with fewer elements stay float. 4,096 (16 kB of float32): below, at most 12 kB are to be
            had, and small matrices such as classification heads are the most sensitive.
        exclude: globs; a weight stays float if its name, or that of an operator using it or of a module around that
            operator (where the exporter wrote it down), matches one.
        exclude_operators: a weight stays float if an operator of one of these types uses it.
        overrides: schemes of single weights, ``GLOB=SCHEME`` each, with globs as in `exclude`, or ``GLOB=float``; the
            first that matches a weight decides. ``--search`` writes them.
        target: whose operators the result may hold; the standard has none for weights in blocks or LSTMs of integers.

    Raises:
        OptionError: `min_elements` is negative, `block_size` no power of two from 16 on, or an override is malformed.
    """

    name: ClassVar[str] = "quantize"
    claim: ClassVar[Claim] = Claim.LOSSY

    scheme: Scheme = Scheme.DYNAMIC
    weight_type: WeightType = WeightType.INT8
    block_size: int = DEFAULT_BLOCK_SIZE
    min_elements: int = 4096
    exclude: tuple[str, ...] = ()
    exclude_operators: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    target: Target = Target.ORT

    def __post_init__(self) -> None:
        if not is_block_size(self.block_size):
            raise OptionError(f"block_size is {self.block_size}; it takes a power of two from {SMALLEST_BLOCK} on")
        if self.min_elements < 0:
            raise OptionError(f"min_elements is {self.min_elements}; it counts elements, so it takes 0 or more")
        for text in self.overrides:
            parse_override(text)

    @property
    def _exclusion(self) -> Exclusion:
        return Exclusion(globs=self.exclude, operators=self.exclude_operators)

    def run(self, model: ir.Model) -> PassResult:
        """Quantize `model` in place; nothing is computed here but scales, integers come when the model is written."""
        floats = list(find_float_weights(model, _LEAST_ELEMENTS))
        weights = [weight for weight in floats if weight.elements >= self.min_elements]
        found = describe_quantization(model)
        if found:
            reason = f"is quantized already ({found}); left as it is"
            return PassResult(
                model=model, skipped=(Skip(candidate="model", reason=reason, weight_bytes=_bytes(weights)),)
            )
        plans, skipped = self.decide(weights)
        skipped += [self._skip_small(weight) for weight in floats if weight.elements < self.min_elements]
        notes = [
            self._note(plans),
            other_than_asked(plans),
            _unmatched(self._exclusion.unmatched(floats)),
            _unused(unused(self.overrides, floats)),
        ]
        counts = _apply(model, plans)
        return PassResult(
            model=model,
            counts=counts,
            skipped=tuple(skipped),
            note="; ".join(filter(None, notes)),
            quantization=account_for(plans, skipped),
        )

    def decide(self, weights: Sequence[FloatWeight]) -> tuple[list[WeightPlan], list[Skip]]:
        """Plan each weight, reading it once, or say why it stays float; the model stays as it is."""
        overrides = [parse_override(text) for text in self.overrides]
        drafts = [(weight, self._draft(weight, overrides)) for weight in weights]
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as threads:
            # numpy lets go of the interpreter while it works on a block, so threads do run side by side.
            decided = list(threads.map(self._read, (draft for _, draft in drafts)))
        plans: list[WeightPlan] = []
        skipped: list[Skip] = []
        claimed: set[ir.Node] = set()
        for weight, decision in zip(weights, decided, strict=True):
            if isinstance(decision, WeightPlan) and not decision.edited_nodes & claimed:
                plans.append(decision)
                claimed |= decision.edited_nodes
                continue
            reason = decision if isinstance(decision, str) else "is multiplied by another weight, which is quantized"
            skipped.append(Skip(candidate=weight.name, reason=reason, weight_bytes=weight.tensor.nbytes))
        return pair_up(plans, self.target), skipped

    def _draft(self, weight: FloatWeight, overrides: Sequence[Override]) -> AnyDraft | str:
        scheme = scheme_for(weight, overrides, self.scheme)
        return (
            scheme
            if isinstance(scheme, str)
            else draft_under(scheme, weight, self.block_size, self._exclusion, self.target)
        )

    def _read(self, draft: AnyDraft | str) -> WeightPlan | str:
        return draft if isinstance(draft, str) else plan_draft(draft, self.weight_type)

    def _skip_small(self, weight: FloatWeight) -> Skip:
        reason = f"has {weight.elements:,} elements, fewer than min_elements ({self.min_elements:,})"
        return Skip(candidate=weight.name, reason=reason, weight_bytes=weight.tensor.nbytes)

    def _note(self, plans: Sequence[WeightPlan]) -> str:
        oldest = min((plan.weight.opset for plan in plans), default=DYNAMIC_QUANTIZE_OPSET)
        if self.scheme is Scheme.DYNAMIC and oldest < DYNAMIC_QUANTIZE_OPSET:
            first = f"it came with {DYNAMIC_QUANTIZE_OPSET}"
            return f"opset {oldest} has no DynamicQuantizeLinear ({first}): weights are int8 in the file, float in use"
        split = [
            f"{len(plan.float_rows)} of {plan.weight.name}"
            for plan in plans
            if isinstance(plan, Plan) and plan.float_rows
        ]
        shown = ", ".join(split[:3]) + (f" and those of {len(split) - 3} more weights" if len(split) > 3 else "")
        return f"rows with outliers stay float: {shown}" if split else ""


def _unmatched(entries: Sequence[str]) -> str:
    return f"nothing in this model is excluded by {', '.join(map(repr, entries))}" if entries else ""


def _unused(overrides: Sequence[str]) -> str:
    return f"no weight of this model matches {', '.join(map(repr, overrides))} of overrides" if overrides else ""


def _bytes(weights: Iterable[FloatWeight]) -> int:
    return sum(weight.tensor.nbytes for weight in weights)


def _apply(model: ir.Model, plans: Sequence[WeightPlan]) -> dict[str, int]:
    edit = Edit(model)
    position = {node: index for graph in all_graphs(model) for index, node in enumerate(graph)}
    rewritings = [rewriting for plan in plans for rewriting in plan.store(edit)]
    # In graph order, so that what one operator has inserted before itself is there for the later ones.
    rewritings.sort(key=lambda rewriting: (rewriting.comes_last, position[rewriting.node]))
    for rewriting in rewritings:
        rewriting.apply()
    for plan in plans:
        _drop_unused(plan.weight)
    counts = Counter(rewriting.counted_as for rewriting in rewritings)
    rows = sum(len(plan.float_rows) for plan in plans if isinstance(plan, Plan))
    if rows:
        counts["outlier_rows_kept_in_float"] = rows
    return {"weights_quantized": len(plans), **dict(sorted(counts.items()))} if plans else {}


def _drop_unused(weight: FloatWeight) -> None:
    """Take the float weight out, and what rearranged it for nobody, where nothing uses them any more."""
    for node in reversed(weight.rearranged_by):
        if not node.outputs[0].uses() and node.graph is not None:
            node.graph.remove(node, safe=True)
    if weight.value.uses():
        return
    producer = weight.value.producer()
    if producer is not None:
        weight.home.remove(producer, safe=True)
    elif isinstance(weight.home, ir.Graph):
        weight.home.initializers.pop(weight.name)
