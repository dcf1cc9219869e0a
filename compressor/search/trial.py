"""Try one choice of schemes: build the model, run it, hold it to the budget."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from compressor.budget import Budget, Figures
from compressor.evaluation.contract import Refusal
from compressor.model.size import measure
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantize import QuantizeDynamic
from compressor.report import Attempt

if TYPE_CHECKING:
    from compressor.evaluation.judge import Judge, Verdict

Choice = Mapping[str, Scheme | None]
"""The scheme of each weight, by its name; None keeps it float."""

_FLOAT = "float"


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one choice.

    Attributes:
        step: the pass that makes it.
        attempt: what a report says of it.
        is_good: it keeps every limit on quality.
    """

    step: QuantizeDynamic
    attempt: Attempt
    is_good: bool


@dataclass(frozen=True, slots=True)
class Bench:
    """Where choices are tried.

    Attributes:
        model: what is quantized.
        step: the user's options; its scheme and its overrides are what a search chooses.
        judge: knows the original.
        budget: what the result may cost.
        original_bytes: size of the original.
    """

    model: ir.Model
    step: QuantizeDynamic
    judge: Judge
    budget: Budget
    original_bytes: int

    def size(self, choice: Choice) -> int:
        """Bytes of the model under `choice`, which is not run."""
        return measure(self.step_for(choice).run(self.model.clone()).model).total_bytes

    def try_out(self, choice: Choice) -> Trial:
        """Build the model, run it on the samples, and hold it to the budget."""
        step = self.step_for(choice)
        result = step.run(self.model.clone())
        verdict, size = self.judge.judge(result.model), measure(result.model).total_bytes
        weights = Counter(scheme.value if scheme else _FLOAT for scheme in choice.values())
        if isinstance(verdict, Refusal):
            attempt = Attempt(
                weights=weights, total_bytes=size, fidelity=None, score=None, speedup=None,
                broken_limits=(verdict.reason,),
            )  # fmt: skip
            return Trial(step, attempt, is_good=False)
        figures = self._figures(size, verdict)
        attempt = Attempt(
            weights=weights,
            total_bytes=size,
            fidelity=verdict.fidelity,
            score=verdict.score,
            speedup=verdict.speedup,
            broken_limits=self.budget.broken(figures),
        )
        quality = replace(self.budget, max_size=None, min_speedup=None)
        return Trial(step, attempt, is_good=not quality.broken(figures))

    def step_for(self, choice: Choice) -> QuantizeDynamic:
        """The pass that makes `choice`: the scheme of most weights, and an override for each of the others."""
        schemes = Counter(scheme for scheme in choice.values() if scheme is not None)
        common = max(schemes, key=lambda scheme: (schemes[scheme], scheme.value), default=self.step.scheme)
        others = sorted((name, scheme) for name, scheme in choice.items() if scheme is not common)
        overrides = (f"{glob.escape(name)}={scheme.value if scheme else _FLOAT}" for name, scheme in others)
        return replace(self.step, scheme=common, overrides=(*self.step.overrides, *overrides))

    def _figures(self, size: int, verdict: Verdict) -> Figures:
        original = self.judge.original_score
        return Figures.of(
            verdict,
            total_bytes=size,
            original_bytes=self.original_bytes,
            original_score=None if original is None else original.summary,
        )
