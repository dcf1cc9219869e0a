"""Take a model through passes: measure after every one, hold it to its claim, keep or roll back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from compressor.errors import CompressorError
from compressor.evaluation.contract import Refusal
from compressor.model.garbage import collection_paused
from compressor.model.size import measure
from compressor.passes.contract import Calibration, Claim, Pass, PassResult, defect_in_words
from compressor.passes.deduplicate import merge_equal
from compressor.report import Fidelity, Outcome, OutputFidelity, Size, Step

if TYPE_CHECKING:
    from compressor.evaluation.judge import Judge, Verdict

EQUIVALENCE_TOLERANCE = 1e-4
"""Largest relative difference of a pass that claims equality up to rounding, for float32 and wider.

A fused operator adds up the same float32 products in another order. Over the depth of a transformer that gives
differences of 1e-7 to 1e-5 of the largest output; a wrong mask, scale or epsilon gives 1e-2 and more.
"""

HALF_TOLERANCE = 8 * 2.0**-10
"""The same where weights are float16 or bfloat16: some roundings of 2^-10 each, still below what a wrong mask does."""

SLOWER = 0.9
"""Share of the speed before a pass below which the report says that it costs speed; nearer to 1 is noise."""

REWRITTEN_OTHERWISE = (
    "the graph as it stands gives the same outputs to the last bit; ONNX Runtime rewrites it in another way than "
    "before when it loads it, which rounds differently"
)

Progress = Callable[[str], None]
"""Told in a few words what is being done."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """One result of a pass, measured."""

    result: PassResult
    size: Size
    verdict: Verdict | None
    broken: str


class Chain:
    """The model as it passes through the recipe, and what is known of it so far.

    Attributes:
        model: as it stands.
        size: of that.
        steps: what has been done.
    """

    def __init__(self, *, model: ir.Model, judge: Judge | None, must_load: bool, tell: Progress) -> None:
        self.model = model
        self.size = measure(model)
        self.steps: list[Step] = []
        self._verdict: Verdict | None = None
        self._judge = judge
        self._must_load = must_load
        self._tell = tell
        self._tolerance = tolerance_for(self.size)

    def apply(self, step: Pass) -> None:
        """Run one pass on a copy of the model, and keep the first of its results that holds what it claims."""
        self._tell(f"{step.name}")
        broken: list[_Trial] = []
        with collection_paused():
            attempts = step.attempts(self.model.clone(), self._calibration())
        started = time.perf_counter()
        try:
            while (result := _next(attempts)) is not None:
                seconds = time.perf_counter() - started
                trial = self._try(step, result)
                if not trial.broken:
                    self._keep(step, trial, seconds, broken)
                    return
                broken.append(trial)
                started = time.perf_counter()
        except CompressorError:
            raise
        except Exception as error:  # noqa: BLE001 - one pass with a defect must not cost the user the others
            broken.append(_Trial(PassResult(model=self.model), self.size, None, defect_in_words(error)))
        self._roll_back(step, broken, time.perf_counter() - started)

    def _calibration(self) -> Calibration | None:
        if self._judge is None:
            return None
        from compressor.evaluation.observe import Observer  # what runs models is imported where one is run

        return Observer(self._judge.samples, self._judge.threads, self._judge.room)

    def _try(self, step: Pass, result: PassResult) -> _Trial:
        if not result.is_changed:
            return _Trial(result, self.size, self._verdict, "")
        size = measure(result.model)
        if size.duplicate_bytes > self.size.duplicate_bytes:
            result, size = _merged(result)
        if size.total_bytes > self.size.total_bytes and step.claim is not Claim.EQUIVALENT:
            more = size.total_bytes - self.size.total_bytes
            note = f"left as it was: the result would be {more} bytes larger"
            unchanged = PassResult(model=self.model, skipped=result.skipped, note=note)
            return _Trial(unchanged, self.size, self._verdict, "")
        if self._judge is None:
            return _Trial(result, size, None, _refusal_to_load(result.model) if self._must_load else "")
        self._tell(f"{step.name}: measuring")
        verdict = self._judge.judge(result.model)
        if isinstance(verdict, Refusal):
            return _Trial(result, size, None, verdict.reason)
        broken = _broken_claim(step.claim, self._verdict, verdict, self._tolerance)
        if broken and step.claim is Claim.EXACT and self._is_rounding_of_the_runtime(result.model, verdict):
            note = "; ".join(filter(None, [result.note, REWRITTEN_OTHERWISE]))
            return _Trial(replace(result, note=note), size, verdict, "")
        return _Trial(result, size, verdict, broken)

    def _is_rounding_of_the_runtime(self, model: ir.Model, verdict: Verdict) -> bool:
        """The graph gives the same bits as before; what moved is how the runtime rewrites it, and no more than that."""
        if self._judge is None or _broken_claim(Claim.EQUIVALENT, self._verdict, verdict, self._tolerance):
            return False
        self._tell("measuring without the runtime's own rewriting")
        return self._judge.gives_the_same_as_it_stands(self.model, model)

    def _keep(self, step: Pass, trial: _Trial, seconds: float, broken: list[_Trial]) -> None:
        notes = [f"{other.result.note or 'an attempt'} was withdrawn: {other.broken}" for other in broken]
        notes = [*filter(None, [trial.result.note, self._slowdown(step.claim, trial)]), *notes]
        if trial.result.is_changed:
            self.model, self.size = trial.result.model, trial.size
            self._verdict = trial.verdict
        elif self._verdict is None and self._judge is not None:
            verdict = self._judge.judge(self.model)
            self._verdict = None if isinstance(verdict, Refusal) else verdict
        self._add(
            Step(
                name=step.name,
                outcome=Outcome.KEPT if trial.result.is_changed else Outcome.UNCHANGED,
                size=self.size,
                counts=trial.result.counts,
                skipped=trial.result.skipped,
                quantization=trial.result.quantization,
                reason="; ".join(notes),
                seconds=seconds,
            )
        )

    def _slowdown(self, claim: Claim, trial: _Trial) -> str:
        """Say that a pass which promises equality costs speed on this host, once the two models have been raced."""
        if self._judge is None or not _seems_slower(claim, self._verdict, trial.verdict):
            return ""
        ratio = self._judge.race(self.model, trial.result.model)
        if ratio is None or ratio > SLOWER:
            return ""
        return f"on this host the result runs at {ratio:.2f} times the speed it had before this pass"

    def _roll_back(self, step: Pass, broken: list[_Trial], seconds: float) -> None:
        reason = "; ".join(dict.fromkeys(trial.broken for trial in broken)) or "the pass gave no result"
        skipped = broken[0].result.skipped if broken else ()
        self._add(
            Step(
                name=step.name, outcome=Outcome.ROLLED_BACK, size=self.size, skipped=skipped, reason=reason,
                seconds=seconds,
            )
        )  # fmt: skip

    def _add(self, step: Step) -> None:
        verdict = self._verdict
        if verdict is None:
            self.steps.append(step)
            return
        figures = replace(
            step,
            fidelity=verdict.fidelity,
            latency=verdict.latency,
            original_latency=verdict.original_latency,
            score=verdict.score,
            batching=verdict.batching,
        )
        self.steps.append(figures)


@collection_paused()
def _next(attempts: Iterator[PassResult]) -> PassResult | None:
    return next(attempts, None)


def _refusal_to_load(model: ir.Model) -> str:
    from compressor.evaluation.judge import refusal_to_load  # what runs models is imported where one is run

    refusal = refusal_to_load(model)
    return "" if refusal is None else refusal.reason


def _seems_slower(claim: Claim, before: Verdict | None, after: Verdict | None) -> bool:
    """Tell from two times beside the original, taken one after the other, whether a race is worth its time."""
    if claim is not Claim.EQUIVALENT or after is None:
        return False
    earlier, later = before.speedup if before is not None else 1.0, after.speedup
    return earlier is not None and later is not None and later <= SLOWER * earlier


def _merged(result: PassResult) -> tuple[PassResult, Size]:
    """Store once what a pass made equal: weights that differ in float can be the same in int8."""
    counts = Counter(result.counts) + merge_equal(result.model)
    merged = replace(result, counts=dict(counts))
    return merged, measure(merged.model)


def tolerance_for(original: Size) -> float:
    """Largest relative difference that rounding alone may cause in a model with these weights."""
    is_half = not original.weight_bytes.keys().isdisjoint(("FLOAT16", "BFLOAT16"))
    return HALF_TOLERANCE if is_half else EQUIVALENCE_TOLERANCE


def _broken_claim(claim: Claim, before: Verdict | None, after: Verdict, tolerance: float) -> str:
    """What a pass promised and did not keep, on the user's inputs or on those made up; empty where it kept its word."""
    pairs = (
        (None if before is None else before.fidelity, after.fidelity),
        (None if before is None else before.rehearsal, after.rehearsal),
    )
    broken = (_broken_on(claim, earlier, later, tolerance) for earlier, later in pairs if later is not None)
    return next(filter(None, broken), "")


def _broken_on(claim: Claim, before: Fidelity | None, after: Fidelity, tolerance: float) -> str:
    """Hold a pass to its claim on one set of inputs, against the original.

    After a lossy pass the original's outputs are no longer there to be met. Then an exact pass must leave every figure
    as it was. An equivalent one may not do more harm than the lossy pass did: another rounding of an activation can
    move it into the next step of its int8 scale, which is as much as quantization itself can move it.
    """
    if claim is Claim.EXACT:
        is_first_change = before is None or before.is_bit_identical
        kept = after.is_bit_identical if is_first_change else after == before
        return "" if kept else _difference("outputs that are the same to the last bit", after)
    if claim is Claim.LOSSY:
        return ""
    earlier = 0.0 if before is None else max(map(_distance, before.outputs), default=0.0)
    allowed = tolerance if earlier <= tolerance else 2 * earlier
    if max(map(_distance, after.outputs), default=0.0) <= allowed:
        return ""
    return _difference(f"a relative difference of at most {allowed:.1e}", after)


def _distance(output: OutputFidelity) -> float:
    """Relative difference of numbers; of truth values and strings, the share of entries that differ."""
    if output.max_rel is not None:
        return output.max_rel
    return 0.0 if output.bit_identical else 1 - (output.top1_agreement or 0.0)


def _difference(promised: str, after: Fidelity) -> str:
    worst = max(after.outputs, key=lambda output: (_distance(output), not output.bit_identical))
    found = f"by {worst.max_rel:.1e}" if worst.max_rel is not None else f"in {_distance(worst):.1e} of its entries"
    return f"it promises {promised}, output {worst.name!r} differs {found}"
