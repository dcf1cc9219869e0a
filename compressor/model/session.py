"""Run a model that is in memory, without writing it to a file first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from compressor.errors import RuntimeRefusal
from compressor.model import wire
from compressor.model.memory import available_memory_only
from compressor.model.skeleton import Skeleton, to_skeleton
from compressor.model.weights import MARK, DetachedWeight, StoredWeight

if TYPE_CHECKING:
    import onnxruntime

_FATAL_ONLY = 4


def open_session(
    model: ir.Model, *, threads: int = 0, is_optimized: bool = True, config: dict[str, str] | None = None
) -> onnxruntime.InferenceSession:
    """Open a session on the CPU over `model`, its stored weights mapped from their files.

    Args:
        model: the model, which may not change while the session is used.
        threads: threads within an operator; 0 lets the runtime choose.
        is_optimized: let the runtime rewrite the graph (its default), or run it as it stands.
        config: session configuration entries, for example ``{"session.x64quantprecision": "1"}``.

    Raises:
        RuntimeRefusal: ONNX Runtime cannot load the model; the text says why in its words.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads
    if not is_optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for key, value in (config or {}).items():
        options.add_session_config_entry(key, value)
    skeleton = to_skeleton(model)
    _raise_constants(skeleton.proto.graph)
    values = _initializers(skeleton)
    options.add_external_initializers(list(values), list(values.values()))
    try:
        serialized = _embed_rest(skeleton, values)
        with available_memory_only():
            session = onnxruntime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no public base class
        raise RuntimeRefusal(f"ONNX Runtime cannot load the model: {runtime_words(error)}") from error
    session.compressor_weights = values  # the runtime points into these arrays and does not own them
    return session


def runtime_words(error: Exception) -> str:
    """The message of an ONNX Runtime exception on one line, at a readable length."""
    return " ".join(str(error).split())[:300]


def _raise_constants(graph: onnx.GraphProto) -> None:
    """Make initializers of Constant nodes whose value is a reference: only initializers can be handed over."""
    kept = []
    for node in graph.node:
        value = node.attribute[0].t if node.op_type == "Constant" and len(node.attribute) == 1 else None
        if value is not None and value.data_location == onnx.TensorProto.EXTERNAL:
            raised = graph.initializer.add()
            raised.CopyFrom(value)
            raised.name = node.output[0]
        else:
            kept.append(node)
    if len(kept) != len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)


def _initializers(skeleton: Skeleton) -> dict[str, Any]:
    """Values of the main graph's references, by initializer name.

    Left out are types the runtime takes no arrays of, and initializers that nothing reads: it drops them while it loads
    the graph, and then misses them.
    """
    import onnxruntime

    values = {}
    read = _names_read(skeleton.proto.graph)
    for tensor in skeleton.proto.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL or tensor.name not in read:
            continue
        weight = skeleton.weights[tensor.external_data[0].value]
        if weight.dtype.bitwidth < 8:
            continue
        array = weight.mapped() if isinstance(weight, StoredWeight) else weight.numpy()
        # Of the type, not of the array's dtype: one with its byte order spelled out is no built-in one any more.
        if np.dtype(array.dtype.type).isbuiltin == 1:
            values[tensor.name] = onnxruntime.OrtValue.ortvalue_from_numpy(array)
    return values


def _names_read(graph: onnx.GraphProto) -> set[str]:
    """Names from outside its nodes that `graph` gives out or that its nodes, or graphs inside them, read."""
    read = {value.name for value in graph.output}
    for node in graph.node:
        read.update(node.input)
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *((attribute.g,) if attribute.HasField("g") else ())):
                own = {value.name for value in (*inner.input, *inner.initializer)}
                read |= _names_read(inner) - own - {name for made in inner.node for name in made.output}
    return read


def _embed_rest(skeleton: Skeleton, handed_over: dict[str, Any]) -> bytes:
    """Serialize, with the bytes of every reference that is not handed over put in."""
    mark = MARK.encode()
    for tensor in skeleton.proto.graph.initializer:
        if tensor.name in handed_over:
            tensor.external_data[0].value = f"handed-over/{tensor.name}"
    pieces = wire.attach(
        skeleton.proto.SerializeToString(),
        lambda token: wire.embedded(token, skeleton.weights[token].nbytes),
        mark=mark,
    )
    return b"".join(_content(piece, skeleton.weights) for piece in pieces)


def _content(piece: wire.Piece, weights: Any) -> bytes | memoryview:
    if not isinstance(piece, wire.Weight):
        return piece
    weight: DetachedWeight = weights[piece.token]
    return weight.tobytes()
