"""Hold two finished models against each other: interface, outputs on the same inputs, size and speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from compressor.budget import Budget, Figures
from compressor.checks import NO_LOSS, Check, default_atol, interface_checks, output_checks, score_check
from compressor.errors import OptionError
from compressor.evaluation.contract import Refusal
from compressor.evaluation.data.read import read_material
from compressor.evaluation.host import describe_host
from compressor.evaluation.judge import Judge, Verdict, appoint_judge
from compressor.evaluation.saturation import explain_saturation
from compressor.evaluation.settings import Evaluation
from compressor.model.carried import carried
from compressor.model.layers import layers_of
from compressor.model.load import load
from compressor.model.size import size_on_disk
from compressor.report import Fidelity, Host, Latency, Layer, Size, TaskScore


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What comparing two models found.

    Attributes:
        original_path, candidate_path: the files.
        original, candidate: where their bytes are; the totals are those of the files as they are.
        atol: largest absolute difference that passes; None where limits or labels take its place.
        original_layers, candidate_layers: where their weights are, by the hierarchy of the names.
        checks: in the order they were made; later ones are missing where an earlier one makes them meaningless.
        samples: what both were run on; empty where nothing could be run.
        fidelity: how near the candidate's outputs are; None where they cannot be compared.
        original_score, candidate_score: how well each does its task; None without labels.
        original_latency, candidate_latency: timed in turns, so that both see the same load; None where not timed.
        host: what it was measured on.
        warnings: what a reader must know before believing the figures.
        broken_limits: a sentence for each limit of the user's budget that the candidate breaks.
    """

    original_path: Path
    candidate_path: Path
    original: Size
    candidate: Size
    original_layers: Layer
    candidate_layers: Layer
    atol: float | None
    checks: tuple[Check, ...]
    samples: str
    fidelity: Fidelity | None
    original_score: TaskScore | None = None
    candidate_score: TaskScore | None = None
    original_latency: Latency | None
    candidate_latency: Latency | None
    host: Host
    warnings: tuple[str, ...]
    broken_limits: tuple[str, ...] = ()

    @property
    def is_held_to_its_score(self) -> bool:
        """Labels decide, as neither a tolerance nor a limit on quality was given."""
        return any(check.claim.endswith(NO_LOSS) for check in self.checks)

    @property
    def is_valid(self) -> bool:
        """Every check holds, and no limit is broken."""
        return all(check.holds for check in self.checks) and not self.broken_limits


def compare(
    original: Path,
    candidate: Path,
    *,
    atol: float | None = None,
    budget: Budget | None = None,
    evaluation: Evaluation | None = None,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Run `candidate` and `original` on the same inputs, and say whether they agree.

    Args:
        original: the model whose outputs are right.
        candidate: the model to judge.
        atol: largest absolute difference of any output value that still counts as agreeing; None takes 1e-5 where both
            models have the same operators, else 1e-3. Where `budget` limits the quality, that counts in its place;
            where `evaluation` has labels, that the candidate loses no more on them than chance gives.
        budget: what the candidate may cost.
        evaluation: the inputs and labels to judge on; None makes inputs up from the original's signature.
        progress: told what is being done.

    Raises:
        ModelError: one of the models is missing, malformed or unsafe.
        OptionError: `atol` is not a number that a difference can be held against, or the data of `evaluation` cannot
            be read or does not fit the original.
    """
    if atol is not None and not atol >= 0:
        raise OptionError(f"atol {atol} is not a number of at least 0")
    limits, settings = budget or Budget(), evaluation or Evaluation()
    tell = progress or (lambda stage: None)
    tell("loading both models")
    first, second = load(original), load(candidate)
    checks = interface_checks(first, second)
    by_score = atol is None and not limits.limits_quality and settings.has_task
    if atol is None and not limits.limits_quality and not by_score:
        atol = default_atol(first, second)
    found = _Found()
    if all(check.holds for check in checks):
        found = _hold(_appoint(first, original, settings, tell), second, tell)
    sizes = size_on_disk(first), size_on_disk(second)
    figures = Figures.of(
        found.verdict,
        total_bytes=sizes[1].total_bytes,
        original_bytes=sizes[0].total_bytes,
        original_score=found.original_score,
    )
    return Comparison(
        original_path=original,
        candidate_path=candidate,
        original=sizes[0],
        candidate=sizes[1],
        original_layers=layers_of(first),
        candidate_layers=layers_of(second),
        atol=atol,
        checks=(*checks, *found.checks(atol, by_score)),
        samples=found.samples,
        fidelity=figures.fidelity,
        original_score=found.original_score,
        candidate_score=figures.score,
        original_latency=found.verdict.original_latency if found.verdict else None,
        candidate_latency=found.verdict.latency if found.verdict else None,
        host=describe_host(settings.threads),
        warnings=(*_warnings(first, original), *_warnings(second, candidate), *found.warnings),
        broken_limits=limits.broken(figures),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What running both models showed; `failed` says why there is no verdict."""

    failed: tuple[Check, ...] = ()
    samples: str = ""
    warnings: tuple[str, ...] = ()
    shapes: Sequence[Sequence[str]] = ()
    verdict: Verdict | None = None
    original_score: TaskScore | None = None

    def checks(self, atol: float | None, by_score: bool) -> Iterator[Check]:
        """Hold what was seen to `atol`, or to the original's score, or where both are left out to its shapes alone."""
        yield from self.failed
        if self.verdict is not None:
            yield from output_checks(self.verdict.fidelity, self.shapes, atol)
            yield from score_check(self.original_score, self.verdict.score) if by_score else ()


def _appoint(original: ir.Model, path: Path, evaluation: Evaluation, tell: Callable[[str], None]) -> Judge | Refusal:
    """Run the original on the user's inputs, or else on those made up.

    Made-up inputs besides the user's are for claims of passes. Two files make none: a candidate that was exported for
    one size only may well stand in on data of that size.
    """
    material = None
    if evaluation.data is not None:
        tell("reading the data")
        material = read_material(original, path, evaluation.data, evaluation)
    tell("running the original")
    judge = appoint_judge(original, seed=evaluation.seed, threads=evaluation.threads, material=material, tell=tell)
    return judge if isinstance(judge, Refusal) else replace(judge, rehearsal=None)


def _hold(judge: Judge | Refusal, candidate: ir.Model, tell: Callable[[str], None]) -> _Found:
    if isinstance(judge, Refusal):
        return _Found(failed=(Check(claim="the original can be run", holds=False, finding=judge.reason),))
    tell("running the candidate")
    verdict = judge.judge(candidate)
    warnings = (
        *judge.samples.notes,
        *(f"output {name!r} is not judged: the original itself does not repeat it" for name in judge.left_out),
    )
    if isinstance(verdict, Refusal):
        failed = Check(claim="the candidate's outputs can be compared", holds=False, finding=verdict.reason)
        return _Found(failed=(failed,), samples=judge.samples.description, warnings=warnings)
    saturation = explain_saturation(judge, candidate, verdict.fidelity, describe_host(judge.threads).int8_path)
    return _Found(
        shapes=judge.reference.shapes,
        samples=judge.samples.description,
        warnings=(*warnings, saturation) if saturation else warnings,
        verdict=verdict,
        original_score=judge.original_score.summary if judge.original_score is not None else None,
    )


def _warnings(model: ir.Model, path: Path) -> Iterator[str]:
    facts = carried(model)
    yield from (f"{path}: {warning}" for warning in (facts.warnings if facts else ()))
