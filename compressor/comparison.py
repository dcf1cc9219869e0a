"""Hold two finished models against each other: interface, outputs on the same inputs, size and speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from compressor.errors import OptionError, RuntimeRefusal
from compressor.evaluation.contract import Outputs, Refusal, Session
from compressor.evaluation.fidelity import measure_fidelity
from compressor.evaluation.host import describe_host
from compressor.evaluation.latency import measure_latency
from compressor.evaluation.running import run_samples, stream_samples
from compressor.evaluation.samples import generate_samples, probe_session
from compressor.model.carried import carried
from compressor.model.load import load
from compressor.model.session import open_session
from compressor.model.size import measure
from compressor.report import Fidelity, Host, Latency, OutputFidelity, Size

DEFAULT_ATOL = 1e-3
"""Above the float32 rounding that fused graphs show on outputs of ordinary size, below what int8 does to them."""

_THREADS = 0
"""ONNX Runtime chooses, as it does for whoever deploys the model with default options."""


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
        atol: largest absolute difference that passes.
        checks: in the order they were made; later ones are missing where an earlier one makes them meaningless.
        samples: what both were run on; empty where nothing could be run.
        fidelity: how near the candidate's outputs are; None where they cannot be compared.
        original_latency, candidate_latency: timed in turns, so that both see the same load; None where not timed.
        host: what it was measured on.
        warnings: what a reader must know before believing the figures.
    """

    original_path: Path
    candidate_path: Path
    original: Size
    candidate: Size
    atol: float
    checks: tuple[Check, ...]
    samples: str
    fidelity: Fidelity | None
    original_latency: Latency | None
    candidate_latency: Latency | None
    host: Host
    warnings: tuple[str, ...]

    @property
    def is_valid(self) -> bool:
        """Every check holds."""
        return all(check.holds for check in self.checks)


def compare(
    original: Path,
    candidate: Path,
    *,
    atol: float = DEFAULT_ATOL,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Run `candidate` and `original` on inputs made from the original's signature, and say whether they agree.

    Args:
        original: the model whose outputs are right.
        candidate: the model to judge.
        atol: largest absolute difference of any output value that still counts as agreeing.
        seed: where the made-up inputs start.
        progress: told what is being done.

    Raises:
        ModelError: one of the models is missing, malformed or unsafe.
        OptionError: `atol` is not a number a difference can be held against.
        RuntimeRefusal: ONNX Runtime cannot load one of them.
    """
    if not atol >= 0:
        raise OptionError(f"atol {atol} is not a number of at least 0")
    tell = progress or (lambda stage: None)
    tell("loading both models")
    first, second = load(original), load(candidate)
    checks = _interface_checks(first, second)
    run = _Run()
    if all(check.holds for check in checks):
        run = _run_both(_open(first, original), _open(second, candidate), first, atol=atol, seed=seed, tell=tell)
    return Comparison(
        original_path=original,
        candidate_path=candidate,
        original=_size_of_files(first),
        candidate=_size_of_files(second),
        atol=atol,
        checks=(*checks, *run.checks),
        samples=run.samples,
        fidelity=run.fidelity,
        original_latency=run.latencies.get("original"),
        candidate_latency=run.latencies.get("candidate"),
        host=describe_host(_THREADS),
        warnings=(*_warnings(first, original), *_warnings(second, candidate), *run.notes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    checks: tuple[Check, ...] = ()
    samples: str = ""
    notes: tuple[str, ...] = ()
    fidelity: Fidelity | None = None
    latencies: Mapping[str, Latency] = field(default_factory=dict)


def _run_both(
    original: Session,
    candidate: Session,
    model: ir.Model,
    *,
    atol: float,
    seed: int,
    tell: Callable[[str], None],
) -> _Run:
    tell("making inputs")
    samples = generate_samples(model, seed=seed, probe=probe_session(original))
    if isinstance(samples, Refusal):
        return _Run(checks=(Check(claim="inputs can be made up", holds=False, finding=samples.reason),))
    tell("running the original")
    expected = run_samples(original, samples)
    if isinstance(expected, Refusal):
        return _Run(checks=(Check(claim="the original runs", holds=False, finding=expected.reason),))
    tell("running the candidate")
    names = [value.name or "" for value in model.graph.outputs]
    fidelity = measure_fidelity(expected, stream_samples(candidate, samples), names, samples)
    if isinstance(fidelity, Refusal):
        failed = Check(claim="outputs can be compared", holds=False, finding=f"the candidate {fidelity.reason}")
        return _Run(checks=(failed,), samples=samples.description, notes=samples.notes)
    tell("timing both")
    return _Run(
        checks=tuple(_output_checks(fidelity, expected, atol)),
        samples=samples.description,
        notes=samples.notes,
        fidelity=fidelity,
        latencies=measure_latency({"original": original, "candidate": candidate}, samples.batches[0]),
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


def _output_checks(fidelity: Fidelity, expected: Sequence[Outputs], atol: float) -> Iterator[Check]:
    for position, output in enumerate(fidelity.outputs):
        shapes = dict.fromkeys(_shape_of(outputs[position]) for outputs in expected)
        yield Check(claim=f"{output.name}: shapes match", holds=True, finding=", ".join(shapes))
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


def _shape_of(output: Any) -> str:  # what a run gives is only known when it has run
    shape = getattr(output, "shape", None)
    if shape is None:
        return "not a tensor"
    return "x".join(map(str, shape)) or "scalar"


def _open(model: ir.Model, path: Path) -> Session:
    try:
        session: Session = open_session(model, threads=_THREADS)
    except RuntimeRefusal as error:
        raise RuntimeRefusal(f"{path}: {error}") from error
    return session


def _size_of_files(model: ir.Model) -> Size:
    facts = carried(model)
    size = measure(model)
    return replace(size, total_bytes=sum(file.size for file in facts.files)) if facts else size


def _warnings(model: ir.Model, path: Path) -> Iterator[str]:
    facts = carried(model)
    yield from (f"{path}: {warning}" for warning in (facts.warnings if facts else ()))
