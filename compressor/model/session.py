"""Run a model that is in memory, without writing it to a file first."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from compressor.errors import ModelError, RuntimeRefusal
from compressor.model import wire
from compressor.model.memory import available_memory_only
from compressor.model.skeleton import Skeleton, to_skeleton
from compressor.model.weights import MARK, DetachedWeight, StoredWeight

if TYPE_CHECKING:
    import onnxruntime

_FATAL_ONLY = 4
_FOLDER = "session.model_external_initializers_file_folder_path"

MOST_PLANNED = 5_000
"""Nodes up to which the runtime plans which buffers can be reused.

That takes time by the square of a graph whose sizes are open: for a chain of 2,500 2.2 s instead of 0.03 s, for one of
5,000 9 s. Outputs stay the same to the last bit. Without it, BERT-base took 7 % more time and 24 % more memory, and
T5-small as much time and 5 % less memory.
"""


def open_session(
    model: ir.Model, *, threads: int = 0, is_optimized: bool = True, config: Mapping[str, str] | None = None
) -> onnxruntime.InferenceSession:
    """Open a session on the CPU over `model`, its stored weights mapped from their files.

    The runtime copies what it is given, and lays weights out anew for its products: it takes about as much memory as
    the weights do, besides the pages of the files that were read on the way.

    Args:
        model: the model, which may not change while the session is used.
        threads: threads within an operator; 0 lets the runtime choose.
        is_optimized: let the runtime rewrite the graph (its default), or run it as it stands.
        config: session configuration entries, for example ``{"session.x64quantprecision": "1"}``.

    Raises:
        RuntimeRefusal: ONNX Runtime cannot load the model; the text says why in its words.
        ModelError: a file that holds weights has become shorter since it was opened.
    """
    skeleton = to_skeleton(model)
    _raise_constants(skeleton.proto.graph)
    return _open(skeleton, _options(threads, is_optimized, config), {})


def open_mapped_session(
    model: ir.Model, *, threads: int = 0, config: Mapping[str, str] | None = None
) -> onnxruntime.InferenceSession:
    """Open a session that holds no weight which :func:`mappable` finds: the runtime maps these from their files.

    It runs the graph as it stands and lays no weight out anew, so it is slower, and rounds otherwise than a session of
    :func:`open_session`: compare its outputs with those of its like. BERT-base takes 5 MB instead of 430.

    Args, Raises: as for :func:`open_session`.
    """
    skeleton = to_skeleton(model)
    _raise_constants(skeleton.proto.graph)
    mapped = mappable(skeleton)
    options = _options(threads, False, config)
    options.enable_mem_pattern = False  # it reserves the room of all weights at once, mapped or not
    options.add_session_config_entry("session.disable_prepacking", "1")
    if mapped:
        options.add_session_config_entry(_FOLDER, _folder_of(mapped.values()))
    return _open(skeleton, options, mapped)


def mappable(skeleton: Skeleton) -> dict[str, StoredWeight]:
    """Initializers of the main graph that can be used where they lie in their files, by token.

    Left out are those whose first byte is no multiple of their element's size: compiled code may take for granted that
    an array of numbers lies as the processor wants it. So are those of a file that is not where it was any more.
    """
    found = {}
    is_there: dict[Path, bool] = {}
    for tensor in skeleton.proto.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        token = tensor.external_data[0].value
        weight = skeleton.weights[token]
        if not isinstance(weight, StoredWeight) or weight.start % max(1, weight.dtype.bitwidth // 8):
            continue
        path = weight.file.path
        if path not in is_there:
            is_there[path] = weight.file.is_same_file(path) and str(path.resolve()).isprintable()
        if is_there[path]:
            found[token] = weight
    return found


def _folder_of(weights: Iterable[StoredWeight]) -> str:
    """The folder around the files of `weights`, wherever links lead."""
    paths = {weight.file.path for weight in weights}
    return os.path.commonpath([path.resolve().parent for path in paths])


def _options(threads: int, is_optimized: bool, config: Mapping[str, str] | None) -> onnxruntime.SessionOptions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads
    if not is_optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for key, value in (config or {}).items():
        options.add_session_config_entry(key, value)
    return options


def _open(
    skeleton: Skeleton, options: onnxruntime.SessionOptions, mapped: Mapping[str, StoredWeight]
) -> onnxruntime.InferenceSession:
    """Open a session whose runtime maps the weights `mapped` itself and is handed the others."""
    import onnxruntime

    try:
        values = _initializers(skeleton, mapped)
        options.add_external_initializers(list(values), list(values.values()))
        serialized = _embed_rest(skeleton, values, mapped)
        options.enable_mem_reuse = len(skeleton.proto.graph.node) <= MOST_PLANNED
        with available_memory_only(mapped_bytes=sum(weight.nbytes for weight in mapped.values())):
            session = onnxruntime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
    except ModelError:
        raise
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


def _initializers(skeleton: Skeleton, mapped: Collection[str]) -> dict[str, Any]:
    """Values of the main graph's references that are not `mapped`, by initializer name.

    Left out are types the runtime takes no arrays of, and initializers that nothing reads: it drops them while it loads
    the graph, and then misses them.
    """
    import onnxruntime

    values = {}
    read = _names_read(skeleton.proto.graph)
    for tensor in skeleton.proto.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL or tensor.name not in read:
            continue
        token = tensor.external_data[0].value
        weight = skeleton.weights[token]
        if token in mapped or weight.dtype.bitwidth < 8:
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


def _embed_rest(skeleton: Skeleton, handed_over: Collection[str], mapped: Mapping[str, StoredWeight]) -> bytes:
    """Serialize, with the bytes of every reference that is neither handed over nor `mapped` put in."""
    folder = _folder_of(mapped.values()) if mapped else ""
    paths = {weight.file.path for weight in mapped.values()}
    locations = {path: os.path.relpath(path.resolve(), folder) for path in paths}

    def exchange(token: str) -> list[wire.Piece]:
        if token not in mapped:
            return wire.embedded(token, skeleton.weights[token].nbytes)
        weight = mapped[token]
        place = {"location": locations[weight.file.path], "offset": str(weight.start), "length": str(weight.nbytes)}
        return [wire.reference(place)]

    mark = MARK.encode()
    for tensor in skeleton.proto.graph.initializer:
        if tensor.name in handed_over:
            tensor.external_data[0].value = f"handed-over/{tensor.name}"
    pieces = wire.attach(skeleton.proto.SerializeToString(), exchange, mark=mark)
    return b"".join(_content(piece, skeleton.weights) for piece in pieces)


def _content(piece: wire.Piece, weights: Any) -> bytes | memoryview:
    if not isinstance(piece, wire.Weight):
        return piece
    weight: DetachedWeight = weights[piece.token]
    return weight.tobytes()
