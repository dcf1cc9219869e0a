"""Look at a model without changing it: where its bytes are, what repeats, and what each pass would save."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from compressor.errors import CompressorError
from compressor.model.carried import carried
from compressor.model.consumers import consumers_of
from compressor.model.equality import equal_groups
from compressor.model.garbage import collection_paused
from compressor.model.layers import layers_of
from compressor.model.load import load
from compressor.model.size import measure, size_on_disk, tensor_bytes
from compressor.model.standins import DOMAIN as STANDIN_DOMAIN
from compressor.model.tensors import Held, all_graphs, all_tensors
from compressor.passes.contract import defect_in_words
from compressor.recipe import Recipe
from compressor.report import AxisFinding, Layer, Outcome, Size, Step

LARGEST_KEPT = 20
"""Weights listed by name; the rest is in the sums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A graph input or output.

    Attributes:
        name: as in the model.
        type: the ONNX data type, or the whole type where it is not a tensor; empty where the model does not say.
        dims: a number, a symbol, or None for an unknown size each; None where the rank is unknown.
        has_default: an input that an initializer of the same name fills if nothing is fed.
    """

    name: str
    type: str
    dims: tuple[int | str | None, ...] | None
    has_default: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """A stored tensor.

    Attributes:
        name: the initializer, or operator and name of the node that holds it.
        type: the ONNX data type.
        shape: its dimensions.
        weight_bytes: its bytes.
        consumers: operators that use it, through whatever only hands it on; empty where nothing does.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    weight_bytes: int
    consumers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroup:
    """Weights of one type, one shape and the same bytes.

    Attributes:
        members: their names.
        saved_bytes: what goes when one of them stays.
    """

    members: tuple[str, ...]
    saved_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a look at a model found.

    Attributes:
        source: the model that was read.
        file_bytes: each file of the model and its length, the main file first.
        ir_version, opsets, producer: what the model says of itself; opsets by domain, ``ai.onnx`` for the standard.
        size: where the bytes are; the total is that of the files as they are.
        inputs, outputs: the interface.
        operators: nodes by operator, subgraphs and functions included, the most frequent first.
        consumer_bytes: bytes of weights by the operators that use them; each weight counts once.
        largest: the largest weights, at most 20.
        weights: how many weights there are.
        layers: where the weights are, by the hierarchy of the names.
        duplicates: exact copies, the most wasteful group first.
        forecast: each pass of the default chain, run in memory on the result of the one before; nothing was written,
            and no output compared.
        axes: what became of each axis that the inputs declare dynamic when the model was run at several sizes.
        warnings: what a reader must know of the source.
    """

    source: Path
    file_bytes: Mapping[Path, int]
    ir_version: int
    opsets: Mapping[str, int]
    producer: str
    size: Size
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: Mapping[str, int]
    consumer_bytes: Mapping[str, int]
    largest: tuple[Weight, ...]
    weights: int
    layers: Layer
    duplicates: tuple[DuplicateGroup, ...]
    forecast: tuple[Step, ...]
    axes: tuple[AxisFinding, ...]
    warnings: tuple[str, ...]


def inspect(path: Path, *, run: bool = True) -> Inspection:
    """Inspect the model at `path`.

    Args:
        path: the ``.onnx`` file; it is only read, and of its weights only those that look alike.
        run: put the dynamic axes to the test, which takes running the model.

    Raises:
        ModelError: the model is missing, malformed or unsafe.
    """
    model = load(path)
    facts = carried(model)
    files = {file.path: file.size for file in facts.files} if facts else {}
    axes, unknown = _test_axes(model) if run else ((), ())
    held = list(all_tensors(model))
    weights = sorted(map(_weight, held), key=lambda weight: -weight.weight_bytes)
    consumer_bytes: Counter[str] = Counter()
    for weight in weights:
        consumer_bytes[" + ".join(weight.consumers) or "nothing"] += weight.weight_bytes
    return Inspection(
        source=path,
        file_bytes=files,
        ir_version=model.ir_version,
        opsets={domain or "ai.onnx": version for domain, version in model.opset_imports.items()},
        producer=" ".join(filter(None, (model.producer_name, model.producer_version))),
        size=size_on_disk(model),
        inputs=tuple(_port(value) for value in model.graph.inputs),
        outputs=tuple(_port(value) for value in model.graph.outputs),
        operators=dict(Counter(map(_operator, _nodes(model))).most_common()),
        consumer_bytes=dict(consumer_bytes.most_common()),
        largest=tuple(weights[:LARGEST_KEPT]),
        weights=len(weights),
        layers=layers_of(model),
        duplicates=_duplicates(held),
        axes=axes,
        warnings=(*(facts.warnings if facts else ()), *unknown),
        forecast=_forecast(model),
    )


def _test_axes(model: ir.Model) -> tuple[tuple[AxisFinding, ...], tuple[str, ...]]:
    """What became of the dynamic axes, and why nothing is known of them where that is so."""
    from compressor.evaluation.axes import probe_axes  # what runs models is imported where one is run
    from compressor.evaluation.contract import Refusal

    if all(isinstance(dim, int) for value in model.graph.inputs for dim in value.shape or (None,)):
        return (), ()
    found = probe_axes(model)
    if isinstance(found, Refusal):
        return (), (f"dynamic axes were not put to the test: {found.reason}",)
    return found, ()


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    for graph in all_graphs(model):
        yield from graph


def _operator(node: ir.Node) -> str:
    if node.domain == STANDIN_DOMAIN:
        return "sparse tensor"
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def _weight(held: Held) -> Weight:
    return Weight(
        name=held.label,
        type=held.tensor.dtype.name,
        shape=tuple(held.tensor.shape.numpy()),
        weight_bytes=tensor_bytes(held.tensor),
        consumers=_consumers(held),
    )


def _consumers(held: Held) -> tuple[str, ...]:
    """Name the operators that a tensor ends up in, sorted; a graph output counts as one."""
    found = consumers_of(held)
    return tuple(sorted({_operator(end) if isinstance(end, ir.Node) else "graph output" for end in found}))


def _port(value: ir.Value) -> Port:
    kind = value.type
    name = "" if kind is None else kind.dtype.name if isinstance(kind, ir.TensorType) else str(kind)
    shape = value.shape
    return Port(
        name=value.name or "",
        type=name,
        dims=None if shape is None else tuple(d if isinstance(d, int) else d.value for d in shape),
        has_default=value.is_initializer(),
    )


def _duplicates(held: list[Held]) -> tuple[DuplicateGroup, ...]:
    groups = [
        DuplicateGroup(
            members=tuple(item.label for item in group),
            saved_bytes=tensor_bytes(group[0].tensor) * (len(group) - 1),
        )
        for group in equal_groups(held, lambda item: item.tensor)
    ]
    return tuple(sorted((g for g in groups if g.saved_bytes), key=lambda group: -group.saved_bytes))


def _forecast(model: ir.Model) -> tuple[Step, ...]:
    steps = []
    for step in Recipe.default().passes:
        start = time.perf_counter()
        try:
            with collection_paused():
                result = step.run(model.clone())
        except CompressorError:
            raise
        except Exception as error:  # noqa: BLE001 - one pass with a defect must not cost the user the others
            steps.append(
                Step(name=step.name, outcome=Outcome.ROLLED_BACK, size=measure(model), reason=defect_in_words(error))
            )
            continue
        seconds = time.perf_counter() - start
        model = result.model
        steps.append(
            Step(
                name=step.name,
                outcome=Outcome.KEPT if result.is_changed else Outcome.UNCHANGED,
                size=measure(model),
                counts=result.counts,
                skipped=result.skipped,
                quantization=result.quantization,
                reason=result.note,
                seconds=seconds,
            )
        )
    return tuple(steps)
