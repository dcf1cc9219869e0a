"""Turn a model into a small proto whose large weights are references, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx
import onnx_ir as ir

from compressor.model.carried import Carried, carried, carry
from compressor.model.check import proto_tensors
from compressor.model.garbage import collection_paused
from compressor.model.standins import put_in_standins, take_out_standins
from compressor.model.tensors import all_tensors
from compressor.model.weights import MARK, DetachedWeight

_IR_WITHOUT_INPUT_RULE = 4
"""First IR version in which an initializer need not be listed as a graph input."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A model without the bytes of its large weights.

    Attributes:
        proto: the model; a tensor without bytes is external data whose location is a token.
        weights: the tensor of each token.
    """

    proto: onnx.ModelProto
    weights: Mapping[str, DetachedWeight]


@collection_paused()
def to_skeleton(model: ir.Model) -> Skeleton:
    """Serialize `model` without the bytes of its detached weights; nothing is read from any file."""
    weights = {str(h.tensor.location): h.tensor for h in all_tensors(model) if isinstance(h.tensor, DetachedWeight)}
    proto = ir.to_proto(model)
    _drop_initializer_shapes(proto.graph)
    take_out_standins(proto)
    facts = carried(model)
    if facts is not None:
        weights |= _still_there(facts.sparse_weights, proto)
        _restore_interface(proto, facts)
    return Skeleton(proto, weights)


@collection_paused()
def from_skeleton(skeleton: Skeleton, facts: Carried | None = None) -> ir.Model:
    """Make a model of a skeleton, with each reference exchanged for its weight.

    Args:
        skeleton: its proto may come from any tool that keeps external data entries as they are; it is changed.
        facts: what the model carries (see :mod:`compressor.model.carried`).
    """
    proto = skeleton.proto
    put_in_standins(proto)
    _drop_map_types(proto.graph)
    model = ir.from_proto(proto)
    seen: set[str] = set()
    for held in all_tensors(model):
        if isinstance(held.tensor, ir.ExternalTensor) and str(held.tensor.location).startswith(MARK):
            token = str(held.tensor.location)
            held.replace(skeleton.weights[token])
            seen.add(token)
    if facts is not None:
        unseen = {token: weight for token, weight in skeleton.weights.items() if token not in seen}
        facts = replace(facts, sparse_weights=unseen)  # those inside stand-ins
    return carry(model, facts)


def _still_there(weights: Mapping[str, DetachedWeight], proto: onnx.ModelProto) -> dict[str, DetachedWeight]:
    """Those of `weights` that `proto` refers to: a pass may have removed the node that held one."""
    if not weights:
        return {}
    tokens = {entry.value for tensor in proto_tensors(proto) for entry in tensor.external_data}
    return {token: weight for token, weight in weights.items() if token in tokens}


def _drop_initializer_shapes(graph: onnx.GraphProto) -> None:
    """Leave out recorded shapes of initializers: onnx_ir writes them, and one that is stale breaks shape inference."""
    names = {tensor.name for tensor in graph.initializer}
    kept = [info for info in graph.value_info if info.name not in names]
    if len(kept) != len(graph.value_info):
        del graph.value_info[:]
        graph.value_info.extend(kept)
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *((attribute.g,) if attribute.HasField("g") else ())):
                _drop_initializer_shapes(inner)


def _restore_interface(proto: onnx.ModelProto, facts: Carried) -> None:
    graph = proto.graph
    for values, originals in ((graph.input, facts.inputs), (graph.output, facts.outputs)):
        restored = [onnx.ValueInfoProto.FromString(original) for original in originals]
        if [value.name for value in values] == [value.name for value in restored]:
            del values[:]
            values.extend(restored)
    if proto.ir_version >= _IR_WITHOUT_INPUT_RULE:
        return
    present = {tensor.name: tensor for tensor in graph.initializer}
    for listed in map(onnx.ValueInfoProto.FromString, facts.listed_inputs):
        if present.pop(listed.name, None) is not None:
            graph.input.append(listed)
    for name, tensor in present.items():
        graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims)))


def _drop_map_types(graph: onnx.GraphProto) -> None:
    """Forget types that onnx_ir cannot model; those of inputs and outputs are carried and come back."""
    for info in (*graph.input, *graph.output, *graph.value_info):
        kind = info.type
        while kind.WhichOneof("value") in ("sequence_type", "optional_type"):
            kind = kind.sequence_type.elem_type if kind.HasField("sequence_type") else kind.optional_type.elem_type
        if kind.HasField("map_type"):
            info.ClearField("type")
