"""Run a model over samples and reduce values inside it to statistics, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    inner = [name for name in dict.fromkeys(names) if name not in inputs]
    for group in _groups(model, inner, samples, most_bytes):
        failure = _observe_group(model, group, samples, partial(room.open, threads=threads), add, found)
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
    return None


def _made_values(model: ir.Model) -> dict[str, ir.Value]:
    """Values that nodes of the main graph make, by name."""
    return {value.name: value for node in model.graph for value in node.outputs if value.name}


def _groups(model: ir.Model, names: Sequence[str], samples: Samples, most_bytes: int) -> Iterator[list[str]]:
    """Split values that can be observed into groups, each small enough for one run."""
    values = _made_values(model)
    largest = max(samples.batches, key=lambda feeds: sum(array.size for array in feeds.values()), default={})
    group: list[str] = []
    held = 0
    for name in names:
        if name not in values:
            continue
        size = _estimated_bytes(values[name], model, largest, most_bytes)
        if group and held + size > most_bytes:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    if group:
        yield group


def _estimated_bytes(value: ir.Value, model: ir.Model, feeds: Feeds, most_bytes: int) -> int:
    """Bytes of a value on a batch: open axes are as long as the input axis of that name, others as the longest one."""
    if value.shape is None:
        elements = max((array.size for array in feeds.values()), default=1)
        return min(most_bytes // _UNKNOWN_SHARE + 1, elements * _UNKNOWN_FEATURES * _ITEM_BYTES)
    sizes = {
        str(dimension): feeds[name].shape[axis]
        for graph_input in model.graph.inputs
        if (name := graph_input.name or "") in feeds and graph_input.shape is not None
        for axis, dimension in enumerate(graph_input.shape)
        if axis < feeds[name].ndim
    }
    longest = max((size for array in feeds.values() for size in array.shape), default=1)
    known = (size if isinstance(size, int) else sizes.get(str(size), longest) for size in value.shape)
    return math.prod(known) * _ITEM_BYTES
