"""Rewrite nodes whose operator means something else in a newer opset, so that they compute what they did.

Each conversion looks at a node and either returns the edit to make or raises. What changed is said in the changelog of
the standard's operators (https://github.com/onnx/onnx/blob/main/docs/Changelog.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import onnx_ir as ir

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import int_attribute, is_at_end, tensor_of

Change = Callable[[], None]
Conversion = Callable[[GraphEdit, ir.Node], Change]


class NotConvertible(Exception):
    """A node has no form in the newer opset that is known here; the text says why."""


@dataclass(frozen=True, slots=True)
class Moved:
    """An attribute that became an input.

    Attributes:
        name: the attribute.
        index: which input it became.
        is_like_data: a number of the type of the first input; else a list of integers.
    """

    name: str
    index: int
    is_like_data: bool = False


def attributes_moved(edit: GraphEdit, node: ir.Node, moves: Sequence[Moved]) -> Change:
    """Give as inputs what were attributes; one that is not there, or an empty list, stays out."""
    if any(move.is_like_data for move in moves) and edit.facts.dtype(node.inputs[0]) is None:
        raise NotConvertible(f"the type of what {node.op_type} reads is not known")

    def change() -> None:
        for move in moves:
            attribute = node.attributes.pop(move.name, None)
            value = _as_value(edit, node, move, attribute) if attribute is not None else None
            if value is None:
                continue
            if len(node.inputs) <= move.index:
                node.resize_inputs(move.index + 1)
            node.replace_input_with(move.index, value)

    return change


def _as_value(edit: GraphEdit, node: ir.Node, move: Moved, attribute: ir.Attr) -> ir.Value | None:
    if move.is_like_data:
        dtype = edit.facts.dtype(node.inputs[0])
        assert dtype is not None
        return edit.number(attribute.as_float(), dtype)
    numbers = [attribute.as_int()] if attribute.type is ir.AttributeType.INT else attribute.as_ints()
    return edit.integers(numbers) if numbers else None


def one_axis(edit: GraphEdit, node: ir.Node) -> Change:
    """Softmax and its kin: before opset 13 they joined all axes from `axis` on, which was 1 where not given."""
    axis = int_attribute(node, "axis", 1)
    if is_at_end(axis, edit.facts[node.inputs[0]].rank):
        return lambda: node.attributes.__setitem__("axis", ir.AttrInt64("axis", -1))
    return lambda: _over_joined_axes(edit, node, axis)


def _over_joined_axes(edit: GraphEdit, node: ir.Node, axis: int) -> None:
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    name = result.name or node.op_type
    shape = edit.insert(node, "Shape", [source], name=f"{name}_shape").outputs[0]
    joined = edit.insert(node, "Flatten", [source], attributes={"axis": axis}, name=f"{name}_joined").outputs[0]
    inner = edit.insert(node, node.op_type, [joined], attributes={"axis": -1}, name=f"{name}_inner").outputs[0]
    parted = edit.insert(node, "Reshape", [inner, shape], attributes={"allowzero": 1}, name=f"{name}_parted")
    edit.replace(result, parted.outputs[0])
    edit.sweep([node])


def split(edit: GraphEdit, node: ir.Node) -> Change:
    """Without sizes, opset 18 wants the number of parts, which used to be the number of outputs."""
    if "split" in node.attributes or (len(node.inputs) > 1 and node.inputs[1] is not None):
        return _nothing
    return lambda: node.attributes.__setitem__("num_outputs", ir.AttrInt64("num_outputs", len(node.outputs)))


def dropout(edit: GraphEdit, node: ir.Node) -> Change:
    """Without a third input that says it is training, which came with opset 12, the ratio has no effect.

    The mask was of another type before opset 10, and is full of zeros in ONNX Runtime before opset 12.
    """
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        raise NotConvertible("Dropout gives its mask, which opsets 10 and 12 changed")
    return lambda: node.attributes.__delitem__("ratio") if "ratio" in node.attributes else None


def batch_normalization(edit: GraphEdit, node: ir.Node) -> Change:
    """Opset 9 dropped statistics per element, and opset 14 two of the outputs that only training reads."""
    if not int_attribute(node, "spatial", 1):
        raise NotConvertible("BatchNormalization keeps statistics per element, which opset 9 dropped")
    if len(node.outputs) > 1:
        raise NotConvertible("BatchNormalization has outputs for training, which opset 14 changed")
    return lambda: node.attributes.__delitem__("spatial") if "spatial" in node.attributes else None


def resize(edit: GraphEdit, node: ir.Node) -> Change:
    """Before opset 13 an empty tensor stood for a region or scales that are not given; 13 dropped a mode."""
    mode = node.attributes.get("coordinate_transformation_mode")
    if mode is not None and mode.as_string() == "tf_half_pixel_for_nn":
        raise NotConvertible("Resize takes its pixels from where opset 13 does no more")

    def change() -> None:
        for index in (1, 2):
            tensor = tensor_of(node.inputs[index]) if index < len(node.inputs) else None
            if tensor is not None and tensor.size == 0:
                node.replace_input_with(index, None)

    return change


def roi_align(edit: GraphEdit, node: ir.Node) -> Change:
    """Opset 16 made another way to place the samples the default, and gave the old one this name."""
    name = "coordinate_transformation_mode"
    return lambda: node.attributes.__setitem__(name, ir.AttrString(name, "output_half_pixel"))


def grid_sample(edit: GraphEdit, node: ir.Node) -> Change:
    """Opset 20 renamed the modes."""
    mode = node.attributes.get("mode")
    renamed = {"bilinear": "linear", "bicubic": "cubic"}.get(mode.as_string() if mode is not None else "bilinear")
    if renamed is None:
        return _nothing
    return lambda: node.attributes.__setitem__("mode", ir.AttrString("mode", renamed))


def conv_transpose(edit: GraphEdit, node: ir.Node) -> Change:
    """Opset 11 exchanged the sides that an odd padding goes to."""
    padding = node.attributes.get("auto_pad")
    if padding is not None and padding.as_string().startswith("SAME"):
        raise NotConvertible("ConvTranspose pads by itself, which opset 11 changed")
    return _nothing


def scatter(edit: GraphEdit, node: ir.Node) -> Change:
    """Opset 11 gave it another name."""
    return lambda: setattr(node, "op_type", "ScatterElements")


def group_normalization(edit: GraphEdit, node: ir.Node) -> Change:
    """Refuse it: opset 21 wants scale and bias for each channel, where there was one for each group."""
    raise NotConvertible("GroupNormalization has a scale for each group, opset 21 wants one for each channel")


def not_run(edit: GraphEdit, node: ir.Node) -> Change:
    """Refuse what ONNX Runtime's CPU provider, up to 1.31 at least, runs at older opsets only."""
    raise NotConvertible(f"ONNX Runtime does not run the {node.op_type} of opset 22")


def _nothing() -> None:
    """Leave the node as it is."""


def _moved(*moves: Moved) -> Conversion:
    return partial(attributes_moved, moves=moves)


_REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSumSquare",
)  # fmt: skip

_NOT_RUN = (
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "RoiAlign",
)  # fmt: skip

CONVERSIONS: dict[tuple[str, int], Conversion] = {
    ("BatchNormalization", 9): batch_normalization,
    ("BatchNormalization", 14): batch_normalization,
    ("Clip", 11): _moved(Moved("min", 1, is_like_data=True), Moved("max", 2, is_like_data=True)),
    ("ConvTranspose", 11): conv_transpose,
    ("Dropout", 12): dropout,
    ("GridSample", 20): grid_sample,
    ("GroupNormalization", 21): group_normalization,
    ("Hardmax", 13): one_axis,
    ("LogSoftmax", 13): one_axis,
    ("Pad", 11): _moved(Moved("pads", 1), Moved("value", 2, is_like_data=True)),
    ("ReduceSum", 13): _moved(Moved("axes", 1)),
    ("Resize", 13): resize,
    ("RoiAlign", 16): roi_align,
    ("Scatter", 11): scatter,
    ("Slice", 10): _moved(Moved("starts", 1), Moved("ends", 2), Moved("axes", 3)),
    ("Softmax", 13): one_axis,
    ("Split", 13): _moved(Moved("split", 1)),
    ("Split", 18): split,
    ("Squeeze", 13): _moved(Moved("axes", 1)),
    ("TopK", 10): _moved(Moved("k", 1)),
    ("Unsqueeze", 13): _moved(Moved("axes", 1)),
    **{(op_type, 18): _moved(Moved("axes", 1)) for op_type in _REDUCTIONS},
    **{(op_type, 22): not_run for op_type in _NOT_RUN},
}
"""Conversion of an operator to the opset that changed it, where its signature alone does not say what to do."""
