"""Fuse LayerNorm and RMSNorm written in single steps to one operator.

They become LayerNormalization and RMSNormalization where the model's opset has them (17 and 23). Before that, ONNX
Runtime would take both as undeclared guests in the standard's name space, but then the ONNX checker refuses the file,
so those that follow a residual addition become SkipLayerNormalization (see there) and the others stay.
"""

from __future__ import annotations

from compressor.passes.fusions.graph_edit import GraphEdit, place_of
from compressor.passes.fusions.normalization import Normalization, in_pieces
from compressor.passes.fusions.skip_layer_normalization import add_skip

FIRST_OPSET = {True: 17, False: 23}
"""Opset that brought the operator, by whether the mean is subtracted."""


def fuse(edit: GraphEdit, *, with_skip: frozenset[bool]) -> None:
    """Fuse every normalization in pieces.

    Args:
        edit: the graph.
        with_skip: which may take in the addition before them: those that subtract the mean (True), those that do not.
    """
    for node in edit.nodes("ReduceMean"):
        found = in_pieces(edit, node) if node.graph is not None else None
        if found is None or (found.is_centered in with_skip and add_skip(edit, found)):
            continue
        if edit.opset >= FIRST_OPSET[found.is_centered]:
            _replace(edit, found)
            edit.counts[f"{'layer' if found.is_centered else 'rms'}_normalization_fused"] += 1
        else:
            reason = f"no operator of opset {edit.opset} normalizes in one step without a residual addition before it"
            is_left_out = found.is_centered not in with_skip
            edit.skip(place_of(node), f"{reason}, which is left out as a kind" if is_left_out else reason)


def _replace(edit: GraphEdit, found: Normalization) -> None:
    last = found.result.producer()
    assert last is not None
    inputs = [found.source, found.weight] if found.bias is None else [found.source, found.weight, found.bias]
    op_type = "LayerNormalization" if found.is_centered else "RMSNormalization"
    attributes = {"axis": -1, "epsilon": found.epsilon}
    fused = edit.insert(last, op_type, inputs, attributes=attributes, name=f"{found.result.name}_fused")
    edit.replace(found.result, fused.outputs[0])
    edit.sweep([last])
