"""Let stand-in nodes hold the place of what onnx_ir cannot model, so that passes leave it alone.

These are sparse tensors, and string attributes that are not text.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

import onnx

DOMAIN = "compressor.standin"
"""Domain of stand-in nodes; they exist in memory only, never in a written file."""

_SPARSE = (onnx.AttributeProto.SPARSE_TENSOR, onnx.AttributeProto.SPARSE_TENSORS)


def put_in_standins(model: onnx.ModelProto) -> None:
    """Exchange sparse initializers, and nodes with such attributes, for stand-in nodes with the same outputs."""
    for graph in _bodies(model):
        nodes = list(graph.node)
        if any(_is_beyond_the_ir(node) for node in nodes):
            del graph.node[:]
            graph.node.extend(_standin(node) if _is_beyond_the_ir(node) else node for node in nodes)
        if isinstance(graph, onnx.GraphProto) and graph.sparse_initializer:
            nodes = list(graph.node)
            del graph.node[:]
            for sparse in graph.sparse_initializer:
                content = _attribute("initializer", sparse.SerializeToString())
                graph.node.append(
                    onnx.NodeProto(
                        op_type="SparseInitializer",
                        domain=DOMAIN,
                        output=[sparse.values.name],
                        attribute=[content],
                    )
                )
            graph.node.extend(nodes)
            del graph.sparse_initializer[:]


def take_out_standins(model: onnx.ModelProto) -> None:
    """Undo :func:`put_in_standins`; inputs and outputs follow whatever the stand-ins are connected to by now."""
    found = False
    for graph in _bodies(model):
        if not any(node.domain == DOMAIN for node in graph.node):
            continue
        found = True
        nodes = list(graph.node)
        del graph.node[:]
        for node in nodes:
            if node.domain != DOMAIN:
                graph.node.append(node)
                continue
            content = base64.b64decode(node.attribute[0].s)
            if node.op_type == "SparseInitializer":
                sparse = onnx.SparseTensorProto.FromString(content)
                sparse.values.name = node.output[0]
                graph.sparse_initializer.append(sparse)
                continue
            original = onnx.NodeProto.FromString(content)
            original.input[:] = node.input
            original.output[:] = node.output
            graph.node.append(original)
    if found:
        kept = [opset for opset in model.opset_import if opset.domain != DOMAIN]
        del model.opset_import[:]
        model.opset_import.extend(kept)


def _standin(node: onnx.NodeProto) -> onnx.NodeProto:
    return onnx.NodeProto(
        op_type="Node",
        domain=DOMAIN,
        name=node.name,
        input=node.input,
        output=node.output,
        attribute=[_attribute("node", node.SerializeToString())],
    )


def _attribute(name: str, content: bytes) -> onnx.AttributeProto:
    return onnx.AttributeProto(name=name, type=onnx.AttributeProto.STRING, s=base64.b64encode(content))


def _is_beyond_the_ir(node: onnx.NodeProto) -> bool:
    return any(
        attribute.type in _SPARSE
        or (attribute.type == onnx.AttributeProto.STRING and not _is_text(attribute.s))
        or (attribute.type == onnx.AttributeProto.STRINGS and not all(map(_is_text, attribute.strings)))
        for attribute in node.attribute
    )


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _bodies(model: onnx.ModelProto) -> Iterator[onnx.GraphProto | onnx.FunctionProto]:
    waiting: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while waiting:
        body = waiting.pop()
        yield body
        for node in body.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
                waiting.extend(attribute.graphs)
