"""Refuse what is not a sound ONNX model, before anything native is let near it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import onnx
import onnx_ir as ir

from compressor.errors import ModelError
from compressor.model.standins import DOMAIN, put_in_standins

MAX_EXPANDED_NODES = 100_000
"""Nodes a model may have once its functions are inlined; the checker and the runtime inline without asking.

ONNX Runtime 1.31 takes 3.5 s of processor time to load 16,384 such nodes, 12.3 s for 32,768, and so on by 3.5.
"""

_FunctionKey: TypeAlias = tuple[str, str, str]
"""Domain, name and overload."""

_MAX_ELEMENTS = 2**63
_MAX_SHOWN_DIMS = 16

_RUNTIME_OPERATORS = frozenset(
    ("Affine", "Crop", "DynamicSlice", "Gelu", "GivenTensorFill", "ImageScaler", "LayerNormalization",
     "MeanVarianceNormalization", "ParametricSoftplus", "RMSNormalization", "RotaryEmbedding", "Scale", "ScaledTanh",
     "SimplifiedLayerNormalization", "ThresholdedRelu")
)  # fmt: skip
"""Operators ONNX Runtime accepts in the standard domain at versions without them: its optimizer writes them there."""

_TYPED_FIELD = {
    ir.DataType.FLOAT: "float_data", ir.DataType.COMPLEX64: "float_data", ir.DataType.INT64: "int64_data",
    ir.DataType.DOUBLE: "double_data", ir.DataType.COMPLEX128: "double_data", ir.DataType.STRING: "string_data",
    ir.DataType.UINT32: "uint64_data", ir.DataType.UINT64: "uint64_data",
}  # fmt: skip
"""onnx.proto, TensorProto: the typed field of each data type; all others use int32_data."""

_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def needed_bytes(tensor: onnx.TensorProto, name: str) -> int:
    """Bytes that type and dims of `tensor` call for.

    Raises:
        ModelError: the type is unknown, a dim is negative, or there are more elements than anything can address.
    """
    try:
        dtype = ir.DataType(tensor.data_type)
    except ValueError:
        dtype = ir.DataType.UNDEFINED
    if dtype is ir.DataType.UNDEFINED:
        raise ModelError(f"{name} has data type {tensor.data_type}, which ONNX does not define")
    elements = _elements(tensor, name)
    if dtype is ir.DataType.STRING:
        return 0
    return -(-elements * dtype.bitwidth // 8)


def _elements(tensor: onnx.TensorProto, name: str) -> int:
    elements = 0 if 0 in tensor.dims else 1
    for dim in tensor.dims:
        if dim < 0:
            raise ModelError(f"{name} has dims {shown_dims(tensor)}; a dim cannot be negative")
        elements *= dim
        if elements > _MAX_ELEMENTS:  # stops a product over a million dims, which would take hours
            raise ModelError(f"{name} has dims {shown_dims(tensor)}; they need more elements than 2^63")
    return elements


def shown_dims(tensor: onnx.TensorProto) -> str:
    """Dims as a message shows them."""
    return str(list(tensor.dims)) if len(tensor.dims) <= _MAX_SHOWN_DIMS else f"({len(tensor.dims)} dims)"


def check_inline_tensor(tensor: onnx.TensorProto, name: str) -> None:
    """Refuse a tensor whose data does not fit its type and dims.

    Raises:
        ModelError: says what is there and what would be needed.
    """
    needed = needed_bytes(tensor, name)
    dtype = ir.DataType(tensor.data_type)
    filled = [field for field in _FIELDS if len(getattr(tensor, field))]
    if tensor.HasField("raw_data") and (len(tensor.raw_data) or needed or not filled):
        if filled or dtype is ir.DataType.STRING:
            raise ModelError(
                f"{name} of type {dtype.name} holds raw_data beside or instead of {[*filled, 'string_data'][0]}"
            )
        if len(tensor.raw_data) != needed:
            raise ModelError(f"{name} holds {len(tensor.raw_data)} bytes, dims {shown_dims(tensor)} need {needed}")
        return
    field = _TYPED_FIELD.get(dtype, "int32_data")
    if filled not in ([], [field]):
        raise ModelError(f"{name} of type {dtype.name} holds {', '.join(filled)}; it must hold {field}")
    elements = _elements(tensor, name)
    if dtype in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128):
        elements *= 2
    elif dtype is not ir.DataType.STRING and dtype.bitwidth < 8:
        elements = needed
    if len(getattr(tensor, field)) != elements:
        raise ModelError(
            f"{name} holds {len(getattr(tensor, field))} values, dims {shown_dims(tensor)} need {elements}"
        )


def proto_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor: initializers, attributes, sparse parts, in all graphs, functions and training info."""
    waiting: list[onnx.GraphProto | onnx.NodeProto] = [model.graph]
    for function in model.functions:
        waiting.extend(function.node)
        waiting.extend(onnx.NodeProto(attribute=[a]) for a in function.attribute_proto if a.HasField("t"))
    for training in model.training_info:
        waiting += [training.initialization, training.algorithm]
    while waiting:
        body = waiting.pop()
        if isinstance(body, onnx.GraphProto):
            yield from body.initializer
            for sparse in body.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            waiting.extend(node for node in body.node if node.attribute)
            continue
        for attribute in body.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (
                *attribute.sparse_tensors,
                *((attribute.sparse_tensor,) if attribute.HasField("sparse_tensor") else ()),
            ):
                yield from (sparse.values, sparse.indices)
            waiting.extend(attribute.graphs)
            if attribute.HasField("g"):
                waiting.append(attribute.g)


def check_structure(model: onnx.ModelProto) -> None:
    """Refuse a skeleton whose graph breaks the rules of ONNX.

    The checker of the onnx package does most of it, on a copy in which large weights are empty and the five things it
    refuses without need are put right: it wants a graph name, shapes of outputs, no ``ai.onnx`` spelling, inputs for
    the initializers of IR version 3, and no operator that only ONNX Runtime knows.

    Raises:
        ModelError: what is wrong, in the checker's words where it is the checker that found it.
    """
    if not model.HasField("graph"):
        raise ModelError("holds no graph, so it is not an ONNX model")
    if not model.opset_import:
        raise ModelError("imports no opset; export it again")
    _check_opsets(model)
    _check_references(model)
    _check_functions(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _make_checkable(copy)
    try:
        onnx.checker.check_model(copy)
    except (onnx.checker.ValidationError, ValueError, RuntimeError, TypeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(f"is not a valid ONNX model: {' '.join(lines)[:400]}") from error


def _check_opsets(model: onnx.ModelProto) -> None:
    """Refuse two versions of one domain: a node would mean one thing to us and another to the runtime."""
    for imports in (model.opset_import, *(function.opset_import for function in model.functions)):
        versions: dict[str, int] = {}
        for opset in imports:
            domain = opset.domain or "ai.onnx"
            if versions.setdefault(domain, opset.version) != opset.version:
                raise ModelError(
                    f"imports {domain!r} at versions {versions[domain]} and {opset.version}; refused, readers disagree "
                    "on which counts"
                )


def _check_references(model: onnx.ModelProto) -> None:
    """Refuse what stands for an attribute of a function, and is in none: the runtime takes the value beside it."""
    for node in _with_inner(model.graph.node):
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                raise ModelError(
                    f"attribute {attribute.name!r} of node {node.name!r} ({node.op_type}) stands for one of a "
                    "function, and is in none; export it again"
                )


def check_texts(model: onnx.ModelProto) -> None:
    """Refuse names that are not UTF-8: protobuf's Python reader gives them as bytes, which nothing expects.

    Raises:
        ModelError: says which.
    """
    waiting: list[Any] = [model]  # messages of any type: protobuf's classes share no typed way through their fields
    while waiting:
        for field, value in waiting.pop().ListFields():
            if field.type == field.TYPE_MESSAGE:
                waiting.extend((value,) if hasattr(value, "ListFields") else value)
            elif field.type == field.TYPE_STRING:
                for text in value if not isinstance(value, (str, bytes)) else (value,):
                    if isinstance(text, bytes):
                        raise ModelError(f"is damaged: {field.full_name} {text[:40]!r} is not UTF-8; download it again")


def _make_checkable(copy: onnx.ModelProto) -> None:
    for tensor in proto_tensors(copy):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")
            del tensor.dims[:]
            tensor.dims.append(0)
    put_in_standins(copy)
    copy.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    copy.ClearField("training_info")
    copy.ir_version = max(copy.ir_version, 4)
    copy.graph.name = copy.graph.name or "graph"
    domains = {opset.domain for opset in copy.opset_import}
    if "com.microsoft" not in domains:
        copy.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    for opset in copy.opset_import:
        opset.domain = "" if opset.domain == "ai.onnx" else opset.domain
    for output in copy.graph.output:
        if output.type.WhichOneof("value") in (None, "tensor_type"):
            output.type.tensor_type.elem_type = output.type.tensor_type.elem_type or onnx.TensorProto.FLOAT
            output.type.tensor_type.shape.SetInParent()
    for node in _all_nodes(copy):
        if node.domain == "ai.onnx":
            node.domain = ""
        if not node.domain and node.op_type in _RUNTIME_OPERATORS:
            node.domain = "com.microsoft"


def _all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    yield from _with_inner(model.graph.node)
    for function in model.functions:
        yield from _with_inner(function.node)


def _with_inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield `nodes` and those of all graphs inside them."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            waiting.extend(attribute.g.node)
            waiting.extend(inner for graph in attribute.graphs for inner in graph.node)


def _check_functions(model: onnx.ModelProto) -> None:
    """Refuse functions that call themselves, or that grow beyond bounds when they are inlined."""
    bodies = {(f.domain, f.name, f.overload): list(_with_inner(f.node)) for f in model.functions}
    if not bodies:
        return
    calls = {key: [_callee(node) for node in nodes if _callee(node) in bodies] for key, nodes in bodies.items()}
    expanded: dict[_FunctionKey, int] = {}
    for key in _callees_first(calls):
        expanded[key] = len(bodies[key]) + sum(expanded[called] for called in calls[key])
    main = sum(expanded.get(_callee(node), 0) for node in _with_inner(model.graph.node))
    if max([main, *expanded.values()]) > MAX_EXPANDED_NODES:
        raise ModelError(
            f"its functions unfold to more than {MAX_EXPANDED_NODES:,} nodes; runtimes take minutes for that"
        )


def _callee(node: onnx.NodeProto) -> _FunctionKey:
    return node.domain, node.op_type, node.overload


def _callees_first(calls: Mapping[_FunctionKey, Sequence[_FunctionKey]]) -> Iterable[_FunctionKey]:
    """Put each function after all that it calls, without recursion of our own; refuse circles."""
    done: dict[_FunctionKey, None] = {}
    opened: set[_FunctionKey] = set()
    waiting = list(calls)
    while waiting:
        key = waiting[-1]
        missing = [called for called in calls[key] if called not in done]
        if key in done or not missing:
            done[waiting.pop()] = None
            continue
        opened.add(key)
        if opened.intersection(missing):
            raise ModelError(f"function {key[1]!r} calls itself through {missing[0][1]!r}; ONNX allows no recursion")
        waiting.extend(missing)
    return done
