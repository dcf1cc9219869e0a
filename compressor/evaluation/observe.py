"""Run a model over samples and reduce values inside it to statistics, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.errors import RuntimeRefusal
from compressor.evaluation.contract import Array, Feeds, Refusal, Samples, Session, count_rows
from compressor.evaluation.room import Room
from compressor.evaluation.running import stream_samples

MOST_BYTES = 256 << 20
"""Estimated bytes of observed values that one run may hold at once; more are observed in several runs."""

_UNKNOWN_FEATURES = 4096
"""Features for each element of the largest input that a value of unknown shape is taken to have."""

_UNKNOWN_SHARE = 8
"""It counts as this fraction of `MOST_BYTES` at most: a pixel has fewer features than a word."""

_MORE_AT_A_TIME = 4
"""Once some such values were seen, the others count as this many times the largest of them, and so many times as many
are watched in the next run: each run opens the whole model, and 2,000 layers would take 500."""

ENOUGH_ROWS = 256
"""Rows after which no further batch is watched for the statistics of features: 64 questions settle those of a sentence
encoder, and a file of labelled data may hold thousands."""

_ITEM_BYTES = 4
"""Bytes an element of an observed value counts as: activations are float32 or smaller, but for the odd integer."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureStatistics:
    """What an activation showed along its last axis, over all positions: padded ones count like the others.

    Attributes:
        peak: largest magnitude of each feature.
        lowest, highest: smallest and largest value of each feature.
        mean_square: mean of squares of each feature.
        positions: values that stand behind each figure.
    """

    peak: NDArray[np.float32]
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    mean_square: NDArray[np.float64]
    positions: int


def add_features(known: FeatureStatistics | None, array: Array) -> FeatureStatistics:
    """Take one more batch of an activation into its statistics."""
    whole = np.atleast_1d(np.asarray(array, np.float32))
    flat = whole.reshape(math.prod(whole.shape[:-1]), whole.shape[-1])
    if not len(flat):
        return known or _nothing_seen(flat.shape[-1])
    lowest, highest, count = flat.min(axis=0), flat.max(axis=0), len(flat)
    mean = np.einsum("ij,ij->j", flat, flat, dtype=np.float64) / count
    if known is not None and known.positions:
        lowest, highest = np.minimum(lowest, known.lowest), np.maximum(highest, known.highest)
        count += known.positions
        mean = mean + (known.mean_square - mean) * (known.positions / count)
    peak = np.maximum(np.abs(lowest), np.abs(highest))
    return FeatureStatistics(peak=peak, lowest=lowest, highest=highest, mean_square=mean, positions=count)


def _nothing_seen(features: int) -> FeatureStatistics:
    none = np.zeros(features, np.float32)
    return FeatureStatistics(peak=none, lowest=none, highest=none, mean_square=np.zeros(features), positions=0)


@dataclass(frozen=True, slots=True)
class Observer:
    """Watches models run on the same samples: a :class:`compressor.passes.contract.Calibration`.

    Attributes:
        samples: what they are run on: the first batches, until there are `ENOUGH_ROWS`.
        threads: threads given to the runtime.
        room: how models are opened.
    """

    samples: Samples
    threads: int = 0
    room: Room = Room.AMPLE

    @property
    def is_generated(self) -> bool:
        """The samples were made up from the graph's signature."""
        return self.samples.generated

    def observe(self, model: ir.Model, names: Sequence[str]) -> Mapping[str, FeatureStatistics] | str:
        """Run `model` and watch values feature by feature; a text says why it does not run."""
        samples = _first_rows(self.samples)
        seen = observe(model, names, samples, add_features, threads=self.threads, room=self.room)
        return seen.reason if isinstance(seen, Refusal) else seen


def _first_rows(samples: Samples) -> Samples:
    kept: list[Feeds] = []
    for feeds in samples.batches:
        if sum(map(count_rows, kept)) >= ENOUGH_ROWS:
            break
        kept.append(feeds)
    return replace(samples, batches=tuple(kept))


def observe(
    model: ir.Model,
    names: Sequence[str],
    samples: Samples,
    add: Callable[[T | None, Array], T],
    *,
    threads: int = 0,
    room: Room = Room.AMPLE,
    most_bytes: int = MOST_BYTES,
) -> Mapping[str, T] | Refusal:
    """Run `model` on every batch, and fold each value named into one result.

    `model` stays as it is: a copy, with the values for outputs, is run. What that needs no longer is not computed.

    Args:
        model: the model.
        names: values of its main graph. Others are left out of the result: those inside the body of an If or Loop,
            or of a function, have no one value a run, and ONNX Runtime gives none of them out.
        samples: what it is run on.
        add: takes the result so far (None at first) and the value of one more batch. It keeps no batch.
        threads: threads given to the runtime.
        room: how the model is opened.
        most_bytes: estimated bytes of values held at once; with more, the model is run once for each group.
    """
    inputs = {value.name for value in model.graph.inputs} & set(names)
    found: dict[str, T] = {}
    for feeds in samples.batches:
        for name in sorted(str(name) for name in inputs & feeds.keys()):
            found[name] = add(found.get(name), feeds[name])
    made = _made_values(model)
    waiting = [name for name in dict.fromkeys(names) if name not in inputs and name in made]
    sizes = _Sizes(model, samples, most_bytes)
    while waiting:
        group = sizes.first_group([made[name] for name in waiting])
        waiting = waiting[len(group) :]
        failure = _observe_group(model, group, samples, partial(room.open, threads=threads), add, found, sizes)
        if failure is not None:
            return failure
    return found


def _observe_group(
    model: ir.Model,
    names: Sequence[str],
    samples: Samples,
    open_model: Callable[[ir.Model], Session],
    add: Callable[[T | None, Array], T],
    found: dict[str, T],
    sizes: _Sizes,
) -> Refusal | None:
    watched = model.clone()
    values = _made_values(watched)
    watched.graph.outputs[:] = [values[name] for name in names]
    try:
        session = open_model(watched)
    except RuntimeRefusal as error:
        return Refusal(reason=str(error))
    for outputs in stream_samples(session, samples):
        if isinstance(outputs, Refusal):
            return outputs
        for name, array in zip(names, outputs, strict=True):
            found[name] = add(found.get(name), array)
            sizes.note(values[name], array)
    return None


def _made_values(model: ir.Model) -> dict[str, ir.Value]:
    """Values that nodes of the main graph make, by name."""
    return {value.name: value for node in model.graph for value in node.outputs if value.name}


class _Sizes:
    """Bytes that values take on the largest batch, from their shapes, or else from what was seen of others."""

    def __init__(self, model: ir.Model, samples: Samples, most_bytes: int) -> None:
        feeds = max(samples.batches, key=lambda feeds: sum(array.size for array in feeds.values()), default={})
        elements = max((array.size for array in feeds.values()), default=1)
        self._most_bytes = most_bytes
        self._of_unknown = min(most_bytes // _UNKNOWN_SHARE + 1, elements * _UNKNOWN_FEATURES * _ITEM_BYTES)
        self._most_unknown = math.inf
        self._largest_seen = 0
        self._longest = max((size for array in feeds.values() for size in array.shape), default=1)
        self._axes = {
            str(dimension): feeds[name].shape[axis]
            for graph_input in model.graph.inputs
            if (name := graph_input.name or "") in feeds and graph_input.shape is not None
            for axis, dimension in enumerate(graph_input.shape)
            if axis < feeds[name].ndim
        }

    def first_group(self, values: Sequence[ir.Value]) -> list[str]:
        """Name the first of `values`: as many as one run may hold, one at least."""
        group: list[str] = []
        held = unknown = 0
        if self._largest_seen:
            self._of_unknown = max(self._largest_seen, min(self._of_unknown, _MORE_AT_A_TIME * self._largest_seen))
        for value in values:
            held += self._bytes_of(value)
            if group and (held > self._most_bytes or unknown + (value.shape is None) > self._most_unknown):
                break
            unknown += value.shape is None
            group.append(value.name or "")
        if unknown:
            self._most_unknown = _MORE_AT_A_TIME * unknown
        return group

    def note(self, value: ir.Value, array: Array) -> None:
        """Learn from a value that was seen."""
        if value.shape is None:
            self._largest_seen = max(self._largest_seen, array.nbytes)

    def _bytes_of(self, value: ir.Value) -> int:
        """Open axes are as long as the input axis of that name, others as the longest one."""
        if value.shape is None:
            return self._of_unknown
        known = (size if isinstance(size, int) else self._axes.get(str(size), self._longest) for size in value.shape)
        return math.prod(known) * _ITEM_BYTES
