"""Say what must hold for one model to stand in for another, and whether it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from compressor.report import Fidelity, OutputFidelity, TaskScore

NO_LOSS = "no loss beyond what chance gives"
"""What labels hold a candidate to where no limit says how much it may lose."""

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


def default_atol(original: ir.Model, candidate: ir.Model) -> float:
    """The largest absolute difference that may be taken for rounding."""
    first, second = map(_computing_operators, (original, candidate))
    return SAME_OPERATORS_ATOL if first == second else DEFAULT_ATOL


def _computing_operators(model: ir.Model) -> Counter[tuple[str, str]]:
    nodes = model.graph.all_nodes()
    return Counter((node.domain, node.op_type) for node in nodes if node.op_type not in _MOVES_ONLY)


def interface_checks(original: ir.Model, candidate: ir.Model) -> tuple[Check, ...]:
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


def output_checks(fidelity: Fidelity, shapes: Sequence[Sequence[str]], atol: float | None) -> Iterator[Check]:
    """Hold every output to the shapes it has in the original, and its values to `atol` where that is not None."""
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


def score_check(original: TaskScore | None, candidate: TaskScore | None) -> Iterator[Check]:
    """Hold a score to the original's by the paired test; nothing where none was taken."""
    if original is None or candidate is None:
        return
    finding = f"{original.value:.4f} became {candidate.value:.4f}"
    if candidate.wins is not None and candidate.losses is not None:
        finding += f", {candidate.wins:,} better and {candidate.losses:,} worse"
    if candidate.p_value is not None and candidate.p_value < 1:
        finding += f", p = {candidate.p_value:.1g}"
    holds = not candidate.is_plainly_worse_than(original)
    yield Check(claim=f"{original.metric}: {NO_LOSS}", holds=holds, finding=finding)
