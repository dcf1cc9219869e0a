"""Fuse the residual addition, and a bias before it, into the normalization after it.

The sum itself stays available as the operator's fourth output, as models that normalize first need it.
"""

from __future__ import annotations

import onnx_ir as ir

from compressor.passes.fusions.dimensions import ONE
from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit
from compressor.passes.fusions.match import made_by, operands, sole_user
from compressor.passes.fusions.normalization import Normalization, whole
from compressor.passes.fusions.shape_facts import Shape


def fuse(edit: GraphEdit, wanted: frozenset[bool]) -> None:
    """Fuse the additions in front of normalization operators that subtract the mean (True), or do not (False)."""
    for node in edit.nodes("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"):
        found = whole(edit, node)
        if found is not None and found.is_centered in wanted:
            add_skip(edit, found)


def add_skip(edit: GraphEdit, found: Normalization) -> bool:
    """Replace a normalization and the addition it follows; say False, having done nothing, where that does not fit."""
    added = made_by(found.source, "Add")
    pair = _data_and_skip(edit, added) if added is not None else None
    last = found.result.producer()
    if added is None or pair is None or last is None or last.graph is not added.graph:
        return False
    is_sum_read = sole_user(found.source) is None and not _is_read_inside_only(found, last)
    if is_sum_read and any(v is not None and v.producer() is not None for v in (found.weight, found.bias)):
        return False  # weights made by later nodes would have to come before the sum's other readers
    data, skip, bias = _with_bias(edit, *pair)
    name = f"{found.result.name}_fused"
    inputs = [data, skip, found.weight, found.bias, bias] if found.is_centered else [data, skip, found.weight, bias]
    while inputs[-1] is None:
        inputs.pop()
    fused = edit.insert(
        added if is_sum_read else last,
        "SkipLayerNormalization" if found.is_centered else "SkipSimplifiedLayerNormalization",
        inputs,
        attributes={"epsilon": found.epsilon},
        domain=CONTRIB,
        name=name,
        num_outputs=4 if is_sum_read else 1,
    )
    edit.replace(found.result, fused.outputs[0])
    edit.sweep([last])
    if is_sum_read:
        for unused in fused.outputs[1:3]:
            unused.name = ""
        edit.replace(found.source, fused.outputs[3])
        edit.sweep([added])
    edit.counts[f"skip_{'layer' if found.is_centered else 'rms'}_normalization_fused"] += 1
    return True


def _is_read_inside_only(found: Normalization, last: ir.Node) -> bool:
    """Whether all readers of the sum belong to the normalization in pieces."""
    if found.source.is_graph_output():
        return False
    inside: set[int] = set()
    pending = [last]
    while pending and len(inside) < 16:
        node = pending.pop()
        inside.add(id(node))
        pending += [
            p for v in node.inputs if v is not None and v is not found.source and (p := v.producer()) is not None
        ]
    return all(id(node) in inside for node, _ in found.source.uses())


def _data_and_skip(edit: GraphEdit, added: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """The operands of a residual addition, the one with all axes first."""
    for data, skip in operands(added):
        shape, other = edit.facts.shape(data), edit.facts.shape(skip)
        if shape is None or other is None or len(shape) not in (2, 3):
            continue
        # The kernel repeats a skip of shape (1, sequence, features) or (sequence, features), and nothing else.
        fits = other == shape or (len(shape) == 3 and _without_batch(other) == shape[1:])
        if fits and shape == edit.facts.shape(added.outputs[0]):
            return data, skip
    return None


def _without_batch(shape: Shape) -> Shape:
    return shape[1:] if len(shape) == 3 and shape[0] == ONE else shape


def _with_bias(edit: GraphEdit, data: ir.Value, skip: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value | None]:
    """Take a bias added to one of the operands as a third one."""
    for first, second in ((data, skip), (skip, data)):
        added = made_by(first, "Add") if sole_user(first) is not None else None
        if added is None or edit.facts.shape(data) != edit.facts.shape(skip):
            continue
        for plain, bias in operands(added):
            width, shape = edit.facts.shape(bias), edit.facts.shape(plain)
            if not bias.is_initializer() or width is None or shape is None or len(width) != 1:
                continue
            if shape == edit.facts.shape(first) and width[0] == shape[-1]:
                return (plain, second, bias) if first is data else (second, plain, bias)
    return data, skip, None
