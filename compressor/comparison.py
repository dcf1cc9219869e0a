"""Hold two finished models against each other: interface, outputs on the same inputs, size and speed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from compressor.budget import Budget, Figures
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
from compressor.report import Fidelity, Host, Latency, Layer, OutputFidelity, Size, TaskScore

DEFAULT_ATOL = 1e-3
"""Above the float32 rounding that fused graphs show on outputs of ordinary size, below what int8 does to them."""

SAME_OPERATORS_ATOL = 1e-5
"""The same where both models compute with the same operators, so that only weights can differ."""

_MOVES_ONLY = frozenset({"Constant", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that compute nothing; merging equal weights adds and removes them."""

_SHAPES_NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must hold for the candidate to stand in for the original.

    Attributes:
        claim: what must hold.
        holds: whether it does.
        finding: what was seen, with values.
    """

    claim: str
    holds: bool
    finding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What comparing two models found.

    Attributes:
        original_path, candidate_path: the files.
        original, candidate: where their bytes are; the totals are those of the files as they are.
        atol: largest absolute difference that passes; None where limits are given in its place.
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
            models have the same operators, else 1e-3, and nothing at all where `budget` limits the quality.
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
    limits = budget or Budget()
    tell = progress or (lambda stage: None)
    tell("loading both models")
    first, second = load(original), load(candidate)
    checks = _interface_checks(first, second)
    if atol is None and not limits.limits_quality:
        atol = _default_atol(first, second)
    found = _Found()
    if all(check.holds for check in checks):
        judge = _appoint(first, original, evaluation or Evaluation(), tell)
        found = _hold(judge, second, atol, tell)
    sizes = size_on_disk(first), size_on_disk(second)
    figures = Figures(
        total_bytes=sizes[1].total_bytes,
        original_bytes=sizes[0].total_bytes,
        fidelity=found.verdict.fidelity if found.verdict else None,
        speedup=found.verdict.speedup if found.verdict else None,
        score=found.verdict.score if found.verdict else None,
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
        checks=(*checks, *found.checks),
        samples=found.samples,
        fidelity=found.verdict.fidelity if found.verdict else None,
        original_score=found.original_score,
        candidate_score=found.verdict.score if found.verdict else None,
        original_latency=found.verdict.original_latency if found.verdict else None,
        candidate_latency=found.verdict.latency if found.verdict else None,
        host=describe_host((evaluation or Evaluation()).threads),
        warnings=(*_warnings(first, original), *_warnings(second, candidate), *found.warnings),
        broken_limits=limits.broken(figures),
    )


def _default_atol(original: ir.Model, candidate: ir.Model) -> float:
    first, second = map(_computing_operators, (original, candidate))
    return SAME_OPERATORS_ATOL if first == second else DEFAULT_ATOL


def _computing_operators(model: ir.Model) -> Counter[tuple[str, str]]:
    nodes = model.graph.all_nodes()
    return Counter((node.domain, node.op_type) for node in nodes if node.op_type not in _MOVES_ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What running both models showed."""

    checks: tuple[Check, ...] = ()
    samples: str = ""
    warnings: tuple[str, ...] = ()
    verdict: Verdict | None = None
    original_score: TaskScore | None = None


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


def _hold(judge: Judge | Refusal, candidate: ir.Model, atol: float | None, tell: Callable[[str], None]) -> _Found:
    if isinstance(judge, Refusal):
        return _Found(checks=(Check(claim="the original can be run", holds=False, finding=judge.reason),))
    tell("running the candidate")
    verdict = judge.judge(candidate)
    warnings = (
        *judge.samples.notes,
        *(f"output {name!r} is not judged: the original itself does not repeat it" for name in judge.left_out),
    )
    if isinstance(verdict, Refusal):
        failed = Check(claim="the candidate's outputs can be compared", holds=False, finding=verdict.reason)
        return _Found(checks=(failed,), samples=judge.samples.description, warnings=warnings)
    saturation = explain_saturation(judge, candidate, verdict.fidelity, describe_host(judge.threads).int8_path)
    return _Found(
        checks=tuple(_output_checks(verdict.fidelity, judge.reference.shapes, atol)),
        samples=judge.samples.description,
        warnings=(*warnings, saturation) if saturation else warnings,
        verdict=verdict,
        original_score=judge.original_score.summary if judge.original_score is not None else None,
    )


def _interface_checks(original: ir.Model, candidate: ir.Model) -> tuple[Check, ...]:
    """Hold names, order and types of the interface against each other; sizes show when both run."""
    return (
        _same("input names and types match", _ports(original.graph.inputs), _ports(candidate.graph.inputs)),
        _same("output names and types match", _ports(original.graph.outputs), _ports(candidate.graph.outputs)),
    )


def _same(claim: str, original: Sequence[str], candidate: Sequence[str]) -> Check:
    if original == candidate:
        return Check(claim=claim, holds=True, finding=", ".join(original) or "none")
    finding = f"the original has {', '.join(original) or 'none'}; the candidate has {', '.join(candidate) or 'none'}"
    return Check(claim=claim, holds=False, finding=finding)


def _ports(values: Sequence[ir.Value]) -> list[str]:
    """Spell required ports; an input with a default need not be fed, so models may differ in it."""
    required = [value for value in values if not value.is_initializer()]
    return [f"{value.name} {value.type or 'untyped'}" for value in required]


def _output_checks(fidelity: Fidelity, shapes: Sequence[Sequence[str]], atol: float | None) -> Iterator[Check]:
    for output, seen in zip(fidelity.outputs, shapes, strict=True):
        rest = f" and {len(seen) - _SHAPES_NAMED} more" if len(seen) > _SHAPES_NAMED else ""
        yield Check(claim=f"{output.name}: shapes match", holds=True, finding=", ".join(seen[:_SHAPES_NAMED]) + rest)
        if atol is not None:
            yield _closeness(output, atol)


def _closeness(output: OutputFidelity, atol: float) -> Check:
    claim = f"{output.name}: values are close (atol {atol:g})"
    if output.bit_identical:
        return Check(claim=claim, holds=True, finding="bit-identical")
    if output.max_abs is None:
        return Check(claim=claim, holds=False, finding="entries that are not numbers differ")
    finding = f"largest difference {output.max_abs:.1e}"
    if output.max_rel is not None:
        finding += f", {output.max_rel:.1e} of the largest value"
    return Check(claim=claim, holds=output.max_abs <= atol, finding=finding)


def _warnings(model: ir.Model, path: Path) -> Iterator[str]:
    facts = carried(model)
    yield from (f"{path}: {warning}" for warning in (facts.warnings if facts else ()))
