"""Run a recipe: after every pass measure, hold the pass to its claim, and keep or roll back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from compressor.evaluation.contract import Refusal
from compressor.evaluation.host import describe_host
from compressor.evaluation.judge import Judge, Verdict, appoint_judge
from compressor.model.carried import carried
from compressor.model.load import load
from compressor.model.save import check_output, save
from compressor.model.size import measure
from compressor.passes.contract import Claim, Pass, PassResult
from compressor.recipe import Recipe
from compressor.report import Outcome, Report, Size, Step

EQUIVALENCE_TOLERANCE = 1e-4
"""Largest relative difference of a pass that claims equality up to rounding, for float32 and wider.

A fused operator adds up the same float32 products in another order. Over the depth of a transformer that gives
differences of 1e-7 to 1e-5 of the largest output; a wrong mask, scale or epsilon gives 1e-2 and more.
"""

HALF_TOLERANCE = 8 * 2.0**-10
"""The same where weights are float16 or bfloat16: some roundings of 2^-10 each, still below what a wrong mask does."""

Progress = Callable[[str], None]


def compress(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    recipe: Recipe | None = None,
    force: bool = False,
    verify: bool = True,
    seed: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Compress the model at `path` and say what it cost.

    Args:
        path: the ``.onnx`` file; it and its data files are only read.
        out: where the result goes; None measures without writing.
        recipe: the passes; None takes deduplicate, fuse, quantize.
        force: replace an existing `out`.
        verify: run original and result after every pass; without it nothing is known of accuracy.
        seed: where the generated inputs start.
        threads: threads given to ONNX Runtime; 0 lets it choose.
        progress: told in a few words what is being done.

    Raises:
        ModelError: the file, or data it points to, is missing, malformed or unsafe.
        OutputError: `out` cannot be written, or exists and `force` is not set.
    """
    started = time.perf_counter()
    tell = progress or (lambda words: None)
    tell("reading the model")
    model = load(path)
    target = Path(out) if out is not None else None
    if target is not None:
        check_output(target, model, overwrite=force)
    warnings = list(facts.warnings) if (facts := carried(model)) else []
    judge = _find_judge(model, verify, seed, threads, tell, warnings)
    chain = _Chain(model=model, original=_size_on_disk(model), judge=judge, tell=tell)
    for step in (recipe or Recipe.default()).passes:
        chain.apply(step)
    if target is not None:
        tell("writing the result")
        save(chain.model, target, overwrite=force)
    return Report(
        source=Path(path),
        output=target,
        original=chain.original,
        steps=tuple(chain.steps),
        host=describe_host(threads),
        warnings=tuple(warnings),
        seconds=time.perf_counter() - started,
    )


def _find_judge(
    model: ir.Model, verify: bool, seed: int, threads: int, tell: Progress, warnings: list[str]
) -> Judge | None:
    if not verify:
        warnings.append("nothing was run, so accuracy is unknown (--no-verify)")
        return None
    tell("running the original")
    judge = appoint_judge(model, seed=seed, threads=threads)
    if isinstance(judge, Refusal):
        warnings.append(f"accuracy is unknown, nothing could be measured: {judge.reason}")
        return None
    warnings.extend(judge.samples.notes)
    warnings.extend(
        f"output {name!r} is not judged: the original does not repeat it when it is run twice"
        for name in judge.left_out
    )
    return judge


def _size_on_disk(model: ir.Model) -> Size:
    """The source's size; its files may hold more than the model needs."""
    size = measure(model)
    facts = carried(model)
    return replace(size, total_bytes=sum(file.size for file in facts.files)) if facts else size


@dataclass(frozen=True, slots=True)
class _Trial:
    """One result of a pass, measured."""

    result: PassResult
    size: Size
    verdict: Verdict | None
    broken: str


class _Chain:
    """The model as it passes through the recipe, and what is known of it so far."""

    def __init__(self, *, model: ir.Model, original: Size, judge: Judge | None, tell: Progress) -> None:
        self.model = model
        self.original = original
        self.steps: list[Step] = []
        self._size = measure(model)
        self._verdict: Verdict | None = None
        self._judge = judge
        self._tell = tell
        self._tolerance = tolerance_for(original)

    def apply(self, step: Pass) -> None:
        """Run one pass on a copy of the model, and keep the first of its results that holds what it claims."""
        self._tell(f"{step.name}")
        broken: list[_Trial] = []
        started = time.perf_counter()
        for result in step.alternatives(self.model.clone()):
            seconds = time.perf_counter() - started
            trial = self._try(step, result)
            if not trial.broken:
                self._keep(step, trial, seconds, broken)
                return
            broken.append(trial)
            started = time.perf_counter()
        self._roll_back(step, broken, time.perf_counter() - started)

    def _try(self, step: Pass, result: PassResult) -> _Trial:
        if not result.is_changed:
            return _Trial(result, self._size, self._verdict, "")
        size = measure(result.model)
        if size.duplicate_bytes > self._size.duplicate_bytes:
            more = size.duplicate_bytes - self._size.duplicate_bytes
            return _Trial(result, size, None, f"it would store {more} bytes twice that were stored once")
        if self._judge is None:
            return _Trial(result, size, None, "")
        self._tell(f"{step.name}: measuring")
        verdict = self._judge.judge(result.model)
        if isinstance(verdict, Refusal):
            return _Trial(result, size, None, verdict.reason)
        return _Trial(result, size, verdict, _broken_claim(step.claim, self._verdict, verdict, self._tolerance))

    def _keep(self, step: Pass, trial: _Trial, seconds: float, broken: list[_Trial]) -> None:
        if trial.result.is_changed:
            self.model, self._size = trial.result.model, trial.size
            self._verdict = trial.verdict
        elif self._verdict is None and self._judge is not None:
            verdict = self._judge.judge(self.model)
            self._verdict = None if isinstance(verdict, Refusal) else verdict
        notes = [f"{other.result.note or 'an attempt'} was withdrawn: {other.broken}" for other in broken]
        self._add(
            Step(
                name=step.name,
                outcome=Outcome.KEPT if trial.result.is_changed else Outcome.UNCHANGED,
                size=self._size,
                counts=trial.result.counts,
                skipped=trial.result.skipped,
                reason="; ".join([*filter(None, [trial.result.note]), *notes]),
                seconds=seconds,
            )
        )

    def _roll_back(self, step: Pass, broken: list[_Trial], seconds: float) -> None:
        reason = "; ".join(dict.fromkeys(trial.broken for trial in broken)) or "the pass gave no result"
        skipped = broken[0].result.skipped if broken else ()
        self._add(
            Step(
                name=step.name, outcome=Outcome.ROLLED_BACK, size=self._size, skipped=skipped, reason=reason,
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
        )
        self.steps.append(figures)


def tolerance_for(original: Size) -> float:
    """Largest relative difference that rounding alone may cause in a model with these weights."""
    is_half = not original.weight_bytes.keys().isdisjoint(("FLOAT16", "BFLOAT16"))
    return HALF_TOLERANCE if is_half else EQUIVALENCE_TOLERANCE


def _broken_claim(claim: Claim, before: Verdict | None, after: Verdict, tolerance: float) -> str:
    """What a pass promised and did not keep, measured against the original; empty where it kept its word.

    After a lossy pass the original's outputs are no longer there to be met. Then an exact pass must leave every figure
    as it was. An equivalent one may not do more harm than the lossy pass did: another rounding of an activation can
    move it into the next step of its int8 scale, which is as much as quantization itself can move it.
    """
    is_first_change = before is None or before.fidelity.is_bit_identical
    if claim is Claim.EXACT:
        kept = (
            after.fidelity.is_bit_identical
            if is_first_change
            else before is not None and after.fidelity == before.fidelity
        )
        return "" if kept else _difference("outputs that are the same to the last bit", after)
    if claim is Claim.LOSSY:
        return ""
    earlier = 0.0 if before is None else before.fidelity.worst_max_rel
    allowed = tolerance if earlier <= tolerance else 2 * earlier
    if after.fidelity.worst_max_rel <= allowed:
        return ""
    return _difference(f"a relative difference of at most {allowed:.1e}", after)


def _difference(promised: str, after: Verdict) -> str:
    worst = max(after.fidelity.outputs, key=lambda output: output.max_rel or 0.0)
    found = f"{worst.max_rel:.1e}" if worst.max_rel is not None else "other values"
    return f"it promises {promised}, output {worst.name!r} differs by {found}"
