"""Make up the inputs that the data does not give, in sizes that fit those that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from compressor.evaluation.contract import Array, Feeds, count_rows
from compressor.evaluation.signature import InputSpec, Kind
from compressor.evaluation.sizes import Plan, Role, assign_roles, choose_shape
from compressor.evaluation.values import make_values


def fill(given: Mapping[str, Array], specs: Sequence[InputSpec], seed: int, draw: int) -> Feeds:
    """Add what is missing.

    Masks show everything, token types are 0 and caches empty, as whoever calls the model with these inputs alone
    would have them; other values are drawn as for inputs that are made up altogether.

    Args:
        given: arrays of one batch.
        specs: all inputs of the model.
        seed: where chance starts.
        draw: counts the batches.
    """
    missing = [spec for spec in specs if spec.name not in given]
    if not missing:
        return dict(given)
    known = {
        axis: size
        for spec in specs
        if spec.name in given
        for axis, size in zip(spec.axes, given[spec.name].shape, strict=False)
        if isinstance(axis, str)
    }
    roles = assign_roles(specs)
    plan = _plan(given, known, roles)
    random = np.random.default_rng((seed, draw))
    feeds = dict(given)
    for spec in missing:
        shape = choose_shape(spec, roles, plan, known)
        feeds[spec.name] = _make(spec, shape, plan, random)
    return feeds


def _plan(given: Mapping[str, Array], known: Mapping[str, int], roles: Mapping[str, Role]) -> Plan:
    """Take the sizes that are known; a role that has none is sized like its neighbour."""
    sizes: dict[Role, int] = {}
    for axis, size in known.items():
        if axis in roles:
            sizes.setdefault(roles[axis], size)
    length = sizes.get(Role.LENGTH, sizes.get(Role.TOTAL, 16))
    return Plan(
        batch=sizes.get(Role.BATCH, count_rows(given)),
        length=length,
        target=sizes.get(Role.TARGET, length),
        past=sizes.get(Role.PAST, 0),
        side=sizes.get(Role.SIDE, 224),
    )


def _make(spec: InputSpec, shape: tuple[int, ...], plan: Plan, random: np.random.Generator) -> Array:
    target = spec.dtype.numpy()
    if spec.kind is Kind.MASK:
        return np.ones(shape, target)
    if spec.kind is Kind.SCORE_MASK or is_token_type(spec.name):
        return np.zeros(shape, target)
    return make_values(spec, shape, plan, 0, random)


def describe_missing(given: Sequence[str], specs: Sequence[InputSpec]) -> tuple[str, ...]:
    """Say what the data does not give, and what is taken instead; empty where it gives all."""
    missing = [f"{spec.name} ({_taken_instead(spec)})" for spec in specs if spec.name not in given]
    return (f"not in the data: {', '.join(missing)}",) if missing else ()


def _taken_instead(spec: InputSpec) -> str:
    if spec.kind in {Kind.MASK, Kind.SCORE_MASK}:
        return "shows everything"
    if is_token_type(spec.name):
        return "0 everywhere"
    return {Kind.CACHE: "empty", Kind.POSITION: "counted up"}.get(spec.kind, "made up")


def is_token_type(name: str) -> bool:
    """Recognise inputs that tell the first text of a pair from the second."""
    return "type" in name.lower() or "segment" in name.lower()
