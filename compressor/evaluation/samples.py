"""Make up inputs for a model nobody has described, from its graph alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from compressor.evaluation.baked import baked_sizes
from compressor.evaluation.contract import Array, Feeds, Refusal, Samples, Session, count_rows, describe_sizes
from compressor.evaluation.running import run_batch
from compressor.evaluation.signature import InputSpec, Kind, read_signature
from compressor.evaluation.sizes import Plan, Role, assign_roles, choose_shape
from compressor.evaluation.values import make_values

Probe = Callable[[Feeds], Refusal | None]

ENOUGH_ROWS = 8
MOST_BATCHES = 8
MOST_ELEMENTS = 1 << 24
"""Elements of one batch where there is a choice: 64 MB of float32."""
FAR_TOO_MANY_ELEMENTS = 1 << 27
WIDE_OUTPUT = 100_000
"""Entries along an output's last axis (a vocabulary) from which shorter inputs are made."""
PATIENCE_SECONDS = 30.0

# The sizes of first choice: several rows, one row, more rows; odd lengths, since even ones hide off-by-one errors.
_FIRST_CHOICE = (
    Plan(batch=4, length=16, target=9, past=5),
    Plan(batch=1, length=7, target=5, past=0),
    Plan(batch=6, length=33, target=18, past=8),
)
_WIDE_CHOICE = (
    Plan(batch=4, length=8, target=5, past=3),
    Plan(batch=1, length=5, target=3, past=0),
    Plan(batch=6, length=12, target=7, past=4),
)
_DECODING_STEP = Plan(batch=2, length=1, target=1, past=12)
# Where some of the first choice does not run: each with one thing baked in.
_SECOND_CHOICE = (
    Plan(batch=1, length=16, target=16, past=5),
    Plan(batch=4, length=16, target=16, past=0),
    Plan(batch=1, length=33, target=33, past=0),
    Plan(batch=4, length=7, target=7, past=5),
)
# Where nothing runs yet: until one does.
_LENGTHS = (8, 4, 64, 128, 256, 512, 2, 1, 1600, 16000)
_SIDES = (256, 128, 64, 384, 32, 512, 96, 192, 299, 336, 448, 518, 160, 48, 28, 16, 640, 800, 1024)
_PASTS = (0, 1, 2, 16)
_MOST_BAKED_ROWS = 8
_LAST_RESORT = tuple(
    Plan(batch=batch, length=16, target=16, past=5, timid=timid) for timid, batch in ((False, 2), (True, 1), (True, 4))
) + tuple(
    Plan(batch=batch, length=length, target=length, past=past, side=side)
    for length, past, side in (
        *((16, past, 224) for past in _PASTS),
        *((length, 5, 224) for length in _LENGTHS),
        *((16, 5, side) for side in _SIDES),
    )
    for batch in (1, 4)
)


def generate_samples(
    model: ir.Model, *, seed: int = 0, probe: Probe | None = None, patience: float = PATIENCE_SECONDS
) -> Samples | Refusal:
    """Make inputs from the graph's own signature, without labels.

    Several batch sizes and lengths where the graph leaves them open, at least `ENOUGH_ROWS` rows where that stays
    small. Masks are full, padded on either side, with holes, and nearly empty. The same model and seed give the same
    inputs, unless `patience` runs out.

    Args:
        model: the original model.
        seed: where chance starts.
        probe: tries a batch on the model. Exporters bake sizes into graphs that their signatures leave open; with a
            probe, sizes that do not run are replaced and named in the notes, without one they are handed out.
        patience: seconds of probing after which no further batch is added.
    """
    specs = read_signature(model)
    if isinstance(specs, Refusal):
        return specs
    if not specs:
        return Samples(batches=({},), generated=True, description="one run: the model has no inputs")
    draft = _Draft(specs=specs, roles=assign_roles(specs), seed=seed, baked=baked_sizes(model))
    plans = _first_choice(model, specs)
    if draft.elements(plans[0]) > FAR_TOO_MANY_ELEMENTS:
        return Refusal(reason=f"one batch of inputs would have {draft.elements(plans[0]):,} numbers")
    return _search(draft, plans, probe or _accept, time.monotonic() + patience)


def probe_session(session: Session) -> Probe:
    """Make a probe that runs batches in `session`."""

    def probe(feeds: Feeds) -> Refusal | None:
        outputs = run_batch(session, feeds)
        return outputs if isinstance(outputs, Refusal) else None

    return probe


def _accept(feeds: Feeds) -> Refusal | None:
    """Stand in for a probe where there is none."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """What all batches of one model have in common; `baked` are sizes that it may have been exported with."""

    specs: Sequence[InputSpec]
    roles: Mapping[str, Role]
    seed: int
    baked: tuple[int, ...]

    def shapes(self, plan: Plan) -> tuple[tuple[int, ...], ...]:
        return tuple(choose_shape(spec, self.roles, plan) for spec in self.specs)

    def elements(self, plan: Plan) -> int:
        return sum(math.prod(shape) for shape in self.shapes(plan))

    def make(self, plan: Plan, draw: int) -> Feeds:
        random = np.random.default_rng((self.seed, draw))
        feeds: dict[str, Array] = {}
        for spec, shape in zip(self.specs, self.shapes(plan), strict=True):
            feeds[spec.name] = make_values(spec, shape, plan, draw, random)
        return feeds

    def try_out(self, plan: Plan, draw: int, probe: Probe) -> Feeds | Refusal:
        """Make a batch that runs; where the graph has switches, also with them set the other way."""
        feeds = self.make(plan, draw)
        failure = probe(feeds)
        if failure is not None and any(spec.kind is Kind.SWITCH for spec in self.specs):
            feeds = self.make(plan, draw + 1)
            failure = probe(feeds)
        return feeds if failure is None else failure


# A plan and the batch made from it.
_Made: TypeAlias = tuple[Plan, Feeds]


def _first_choice(model: ir.Model, specs: Sequence[InputSpec]) -> tuple[Plan, ...]:
    shapes = [value.shape for value in model.graph.outputs if value.shape is not None and len(value.shape) > 0]
    widths = [shape[-1] for shape in shapes]
    # An output of unknown width may be as wide as the table of words.
    tables = [spec.limit or 0 for spec in specs] if any(not isinstance(width, int) for width in widths) else []
    is_wide = max([*(width for width in widths if isinstance(width, int)), *tables], default=0) >= WIDE_OUTPUT
    plans = _WIDE_CHOICE if is_wide else _FIRST_CHOICE
    return (*plans, _DECODING_STEP) if any(spec.kind is Kind.CACHE for spec in specs) else plans


def _search(draft: _Draft, plans: Sequence[Plan], probe: Probe, deadline: float) -> Samples | Refusal:
    """Find sizes that run, then add rows of these sizes until there are enough."""
    made, failures = _try_plans(draft, plans, probe, deadline)
    if failures:
        made += _try_plans(draft, _SECOND_CHOICE, probe, deadline)[0]
    if not made:
        made = _first_running(draft, probe, deadline)
    if not made:
        return Refusal(reason=f"no input made from the graph's signature runs: it {failures[0].reason}")
    notes = [f"some input sizes were left out: the model {failure.reason}" for failure in failures[:1]]
    batches = [feeds for _, feeds in made]
    for draw in range(len(plans), len(plans) + MOST_BATCHES):
        plan = made[draw % len(made)][0]
        is_enough = len(batches) >= MOST_BATCHES or sum(map(count_rows, batches)) >= ENOUGH_ROWS
        if is_enough or time.monotonic() > deadline:
            break
        feeds = draft.try_out(plan, draw, probe)
        if not isinstance(feeds, Refusal):
            batches.append(feeds)
    if time.monotonic() > deadline:
        notes.append(f"the model is slow here, so {len(batches)} batches must do")
    return _describe(batches, notes=tuple(notes))


def _try_plans(
    draft: _Draft, plans: Sequence[Plan], probe: Probe, deadline: float
) -> tuple[list[_Made], list[Refusal]]:
    """Make a batch of each plan that runs, skipping repeated sizes; give the failures of the others."""
    made: list[_Made] = []
    failures: list[Refusal] = []
    seen: set[tuple[tuple[int, ...], ...]] = set()
    for draw, plan in enumerate(plans):
        shapes = draft.shapes(plan)
        is_spare = shapes in seen or time.monotonic() > deadline or draft.elements(plan) > MOST_ELEMENTS
        if seen and is_spare:
            continue
        seen.add(shapes)
        feeds = draft.try_out(plan, draw, probe)
        if isinstance(feeds, Refusal):
            failures.append(feeds)
        else:
            made.append((plan, feeds))
    return made, failures


def _first_running(draft: _Draft, probe: Probe, deadline: float) -> list[_Made]:
    """Try odd sizes until one runs, and take its neighbours along if they run too."""
    for plan in (*_with_baked(draft.baked), *_LAST_RESORT):
        if time.monotonic() > deadline:
            return []
        feeds = draft.try_out(plan, 0, probe) if draft.elements(plan) <= MOST_ELEMENTS else None
        if isinstance(feeds, dict):
            neighbours = (
                *(replace(plan, batch=batch) for batch in (1, 3) if batch != plan.batch),
                replace(plan, length=7, target=5),
            )
            return [(plan, feeds), *_try_plans(draft, neighbours, probe, deadline)[0]]
    return []


def _with_baked(sizes: Sequence[int]) -> Iterator[Plan]:
    """The sizes found in the graph as lengths, then as numbers of rows, too."""
    for batch in (4, 1, *(size for size in sizes if size <= _MOST_BAKED_ROWS)):
        for length in sizes:
            yield Plan(batch=batch, length=length, target=length, past=5)


def _describe(batches: list[Feeds], *, notes: tuple[str, ...]) -> Samples:
    rows = sum(count_rows(feeds) for feeds in batches)
    sizes = "; ".join(dict.fromkeys(describe_sizes(feeds) for feeds in batches))
    return Samples(
        batches=tuple(batches),
        generated=True,
        description=f"{rows} rows made from the graph's signature ({sizes})",
        notes=notes,
    )
