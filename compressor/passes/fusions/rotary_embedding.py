"""Fuse rotations of queries and keys by their position to com.microsoft.RotaryEmbedding.

The graph goes on computing its cosines and sines, once for all layers and for whatever length a run has; the operator
gets them as tables, so nothing is assumed of frequencies, scaling, a largest length or where positions come from.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.attention_scores import NotFusable
from compressor.passes.fusions.dimensions import ONE, Size
from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit, place_of
from compressor.passes.fusions.match import ints_attribute, made_by
from compressor.passes.fusions.rotary_tables import RotaryTables
from compressor.passes.fusions.rotation import Rotation, rotation_ending_at
from compressor.passes.fusions.shape_facts import Shape

SUPPORTED_TYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
"""Element types ONNX Runtime's CPU kernel takes."""

FIRST_OPSET = 11
"""Range, which counts positions, came with it."""

SWAP = (0, 2, 1, 3)
"""Exchanges heads and sequence."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A rotation and the axes it lies along.

    Attributes:
        rotation: the rotation.
        heads, features: of the rotated tensor.
        length_axis: the sequence, 1 or 2; heads are the other one.
        is_shared: all rows of the batch have the same angles.
    """

    rotation: Rotation
    heads: int
    features: int
    length_axis: int
    is_shared: bool


def fuse(edit: GraphEdit) -> None:
    """Fuse every rotation; note the others with the reason."""
    tables = RotaryTables(edit)
    for node in edit.nodes("Add", "Concat", "Reshape"):
        rotation = rotation_ending_at(edit.facts, node) if node.graph is not None else None
        if rotation is None:
            continue
        try:
            _replace(edit, tables, _place(edit, rotation))
        except NotFusable as refusal:
            edit.skip(place_of(node), str(refusal))
            continue
        edit.counts["rotary_embedding_fused"] += 1


def _place(edit: GraphEdit, rotation: Rotation) -> Placed:
    """Find heads and sequence.

    Raises:
        NotFusable: the operator cannot express this rotation, or nothing proves that it does.
    """
    shape, facts = edit.facts.shape(rotation.source), edit.facts
    if edit.opset < FIRST_OPSET:
        raise NotFusable(f"opset {edit.opset} has no operators to count the positions of a rotation")
    if lack := edit.lack_of("RotaryEmbedding"):
        raise NotFusable(lack)
    elsewhere = rotation.value_read_elsewhere
    if elsewhere is not None:
        raise NotFusable(f"a part of the rotation, '{elsewhere.name}', is read elsewhere, too")
    if facts.dtype(rotation.source) not in SUPPORTED_TYPES:
        raise NotFusable("what is rotated is neither float32 nor float16")
    if shape is None or len(shape) != 4:
        raise NotFusable(
            f"the rotated '{rotation.source.name}' is not known to have batch, heads, sequence and features"
        )
    angles = _padded(facts.shape(rotation.cosine))
    if angles is None or angles != _padded(facts.shape(rotation.sine)):
        raise NotFusable("cosines and sines of the rotation are not known to be of one shape")
    for length_axis in (2, 1):
        heads, features = shape[3 - length_axis].number, shape[3].number
        if heads is not None and features is not None and _fits(angles, shape, length_axis, rotation):
            return Placed(rotation, heads, features, length_axis, angles[0] == ONE)
    raise NotFusable(f"the angles ({_sizes(angles)}) are not one for each token of {_sizes(shape)}")


def _sizes(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _padded(shape: Shape | None) -> Shape | None:
    return None if shape is None or len(shape) > 4 else (*(ONE,) * (4 - len(shape)), *shape)


def _fits(angles: Shape, shape: Shape, length_axis: int, rotation: Rotation) -> bool:
    """The angles are the same for all heads, and there is one for each token and pair."""
    entries = rotation.size if rotation.is_repeated else rotation.size // 2
    has_batch = angles[0] in (ONE, shape[0])
    is_per_token = angles[3 - length_axis] == ONE and angles[length_axis] == shape[length_axis]
    return has_batch and is_per_token and angles[3] == Size.of(entries)


def _replace(edit: GraphEdit, tables: RotaryTables, found: Placed) -> None:
    rotation = found.rotation
    last = rotation.result.producer()
    assert last is not None
    made = [
        tables.table(value, is_repeated=rotation.is_repeated, is_interleaved=rotation.is_interleaved, before=last)
        for value in (rotation.cosine, rotation.sine)
    ]
    if made[0] is None or made[1] is None:
        raise NotFusable("the two features of a pair are not known to turn by the same angle")
    positions = tables.positions(rotation.source, found.length_axis, is_shared=found.is_shared, before=last)
    source, is_flat = _source(edit, found, last)
    attributes = {"interleaved": int(rotation.is_interleaved)}
    if is_flat or rotation.size != found.features:
        attributes["num_heads"] = found.heads
    if rotation.size != found.features:
        attributes["rotary_embedding_dim"] = rotation.size
    name = rotation.result.name or "rotated"
    inputs = [source, positions, made[0], made[1]]
    fused = edit.insert(last, "RotaryEmbedding", inputs, attributes=attributes, domain=CONTRIB, name=f"{name}_fused")
    edit.replace(rotation.result, _in_heads(edit, found, fused.outputs[0], last) if is_flat else fused.outputs[0])
    edit.sweep([last])


def _source(edit: GraphEdit, found: Placed, before: ir.Node) -> tuple[ir.Value, bool]:
    """What to rotate: (batch, sequence, heads * features) where the graph has it so, since attention wants it so.

    The kernel takes either form; the other one is (batch, heads, sequence, features).
    """
    value, width = found.rotation.source, found.heads * found.features
    if found.length_axis == 2:
        swapped = made_by(value, "Transpose")
        if swapped is None or ints_attribute(swapped, "perm") != SWAP or swapped.inputs[0] is None:
            return value, False
        value = swapped.inputs[0]
    split = made_by(value, "Reshape")
    shape, flat = edit.facts.shape(value), edit.facts.shape(split.inputs[0] if split is not None else None)
    assert shape is not None
    if split is not None and split.inputs[0] is not None and flat == (*shape[:2], Size.of(width)):
        return split.inputs[0], True
    joined = edit.insert(before, "Reshape", [value, edit.integers([0, 0, width])], name=f"{value.name}_joined")
    return joined.outputs[0], True


def _in_heads(edit: GraphEdit, found: Placed, value: ir.Value, before: ir.Node) -> ir.Value:
    """Split the heads again, and put them before the sequence where they were."""
    target = edit.integers([0, 0, found.heads, found.features])
    value = edit.insert(before, "Reshape", [value, target], name=f"{value.name}_heads").outputs[0]
    if found.length_axis == 1:
        return value
    attributes = {"perm": SWAP}
    return edit.insert(before, "Transpose", [value], attributes=attributes, name=f"{value.name}_swapped").outputs[0]
