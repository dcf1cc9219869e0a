"""Put dynamic axes to the test: which of those that a model declares does it really run with at another size?

An exporter that has seen one batch of one length can write these numbers into a Reshape while it declares the axes
dynamic. Such a model fails only where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from compressor.errors import RuntimeRefusal
from compressor.evaluation.contract import Feeds, Outputs, Refusal, Session
from compressor.evaluation.room import find_room
from compressor.evaluation.running import NO_SPINNING, run_batch
from compressor.evaluation.samples import generate_samples, probe_session
from compressor.evaluation.signature import InputSpec, read_signature
from compressor.evaluation.sizes import Plan, Role, assign_roles, choose_shape
from compressor.evaluation.values import make_values
from compressor.report import AxisFinding

_PLAN_FIELDS = {Role.BATCH: "batch", Role.LENGTH: "length", Role.TARGET: "target", Role.PAST: "past", Role.SIDE: "side"}
"""Roles whose size can be chosen; the others follow from these, or are no sizes to vary."""


_TRIES = 4
"""Runs until outputs have the sizes that they declare: one, and one for each axis that is baked in."""

_LARGEST = {Role.BATCH: 16}
"""Sizes that outputs show and that are tried; a declaration may be wrong, and 64 rows for 4 lead to 1,024."""

_LARGEST_OF_OTHERS = 1024


@dataclass(frozen=True, slots=True)
class _Failure:
    """What came of a run: why it is none, and where an output shows another size than it declares, which."""

    reason: str = ""
    axis: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Model:
    """A model open for trying sizes on."""

    session: Session
    outputs: Sequence[ir.Value]
    specs: Sequence[InputSpec]
    roles: Mapping[str, Role]
    base: Plan
    seed: int

    def failure(self, plan: Plan, known: Mapping[str, int] | None = None) -> _Failure:
        """Run it at these sizes; without a reason where it does what it declares."""
        random = np.random.default_rng(self.seed)
        feeds = {
            spec.name: make_values(spec, choose_shape(spec, self.roles, plan, known), plan, 0, random)
            for spec in self.specs
        }
        outputs = run_batch(self.session, feeds)
        if isinstance(outputs, Refusal):
            return _Failure(outputs.reason)
        sizes = {axis: plan.size(role) for axis, role in self.roles.items()} | dict(known or {})
        return next(self._misshapen(outputs, sizes), _Failure())

    def _misshapen(self, outputs: Outputs, sizes: Mapping[str, int]) -> Iterator[_Failure]:
        """Outputs that do not have the sizes they declare: a Reshape to (2, -1) runs on three rows, and mixes them."""
        for declared, output in zip(self.outputs, outputs, strict=True):
            found = np.shape(output) if isinstance(output, np.ndarray) else ()
            for axis, size in zip(_symbols(declared), found, strict=False):
                if axis in sizes and sizes[axis] != size:
                    shape = "x".join(map(str, found))
                    reason = f"gives output '{declared.name}' of shape {shape}, where {axis} should be {sizes[axis]}"
                    yield _Failure(reason, axis, size)


def _symbols(value: ir.Value) -> list[str]:
    """The names of its axes; empty for an axis that has a size or no name."""
    dims = () if value.shape is None else value.shape
    return ["" if isinstance(dim, int) else dim.value or "" for dim in dims]


def probe_axes(model: ir.Model, *, seed: int = 0) -> tuple[AxisFinding, ...] | Refusal:
    """Run `model` at several sizes of each axis that its inputs declare dynamic.

    Axes of one role (all that count rows, or tokens) are varied together, since most must be equal; where that fails,
    each of them alone.

    Returns:
        A finding for each dynamic axis, in the order of the inputs, or why no size at all runs: there may be no memory.
    """
    specs = read_signature(model)
    if isinstance(specs, Refusal):
        return specs
    try:
        session: Session = find_room(model).open(model, config=NO_SPINNING)
    except RuntimeRefusal as error:
        return Refusal(reason=str(error))
    samples = generate_samples(model, seed=seed, probe=probe_session(session))
    if isinstance(samples, Refusal):
        return samples
    roles = assign_roles(specs)
    base = _base_plan(specs, roles, samples.batches[0])
    opened = _on_firm_ground(_Model(session, tuple(model.graph.outputs), specs, roles, base, seed))
    if isinstance(opened, Refusal):
        return opened
    roles_in_order = dict.fromkeys(role for role in roles.values() if role in _PLAN_FIELDS)
    return tuple(finding for role in roles_in_order for finding in _findings(opened, role))


def _on_firm_ground(model: _Model) -> _Model | Refusal:
    """Find sizes at which outputs are as they declare: a Reshape to (2, -1) runs on four rows, and is right for two."""
    failure = model.failure(model.base)
    for _ in range(_TRIES - 1):
        role = model.roles.get(failure.axis)
        if role not in _PLAN_FIELDS or not 0 < failure.size <= _LARGEST.get(role, _LARGEST_OF_OTHERS):
            break
        model = replace(model, base=_resized(model.base, {role: failure.size}))
        failure = model.failure(model.base)
    if failure.reason:  # values differ from those of the sample that ran, so they matter as much as the sizes
        return Refusal(reason=f"with other made-up inputs than those that ran it {failure.reason}")
    return model


def _findings(model: _Model, role: Role) -> Iterator[AxisFinding]:
    """Vary all axes of a role together, and where no other size runs, each alone."""
    axes = [axis for axis, its_role in model.roles.items() if its_role is role]
    size = model.base.size(role)
    others = _other_sizes(role, size)
    together = {other: model.failure(_resized(model.base, {role: other})).reason for other in others}
    for axis in axes:
        failures = together
        if len(axes) > 1 and all(together.values()):
            failures = {other: model.failure(model.base, {axis: other}).reason for other in others}
        runs = tuple(other for other, failure in failures.items() if not failure)
        yield AxisFinding(
            axis=axis,
            inputs=tuple(spec.name for spec in model.specs if axis in spec.axes),
            sizes=(size, *runs),
            reason="" if runs else next(iter(failures.values())),
        )


def _other_sizes(role: Role, size: int) -> tuple[int, ...]:
    """Sizes to try beside one that runs; images are made of patches, so their sides grow by whole ones."""
    if role is Role.SIDE:
        return (size + 32, 2 * size)
    if role is Role.PAST:
        return (size + 3, size + 1)
    return (size + 1, size + 3, *([size // 2] if size > 1 else []))


def _base_plan(specs: Sequence[InputSpec], roles: Mapping[str, Role], feeds: Feeds) -> Plan:
    """The plan that gives the sizes of `feeds`."""
    sizes = {
        roles[axis]: feeds[spec.name].shape[place]
        for spec in specs
        for place, axis in enumerate(spec.axes)
        if isinstance(axis, str) and axis in roles and spec.name in feeds
    }
    if Role.LATENT_SIDE in sizes:
        sizes.setdefault(Role.SIDE, 7 * sizes[Role.LATENT_SIDE])
    if Role.TOTAL in sizes:
        sizes.setdefault(Role.PAST, max(0, sizes[Role.TOTAL] - sizes.get(Role.LENGTH, 0)))
    return _resized(Plan(batch=1, length=16, target=16), sizes)


def _resized(plan: Plan, sizes: Mapping[Role, int]) -> Plan:
    fields: dict[str, Any] = {_PLAN_FIELDS[role]: size for role, size in sizes.items() if role in _PLAN_FIELDS}
    return replace(plan, **fields)
