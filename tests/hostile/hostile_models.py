"""Draw models whose one weight lies in an external data file, in any of the places a tensor can be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

ELEMENTS = 32
WEIGHT = np.arange(ELEMENTS, dtype=np.float32)
CANARY = b"CANARY-from-outside-the-folder!!" * 4
"""As many bytes as the weight has, so that a reader that follows the location finds something that fits."""

assert len(CANARY) == WEIGHT.nbytes

Entries = Sequence[tuple[str, str]]


def external(entries: Entries, *, name: str = "w", dims: Sequence[int] = (ELEMENTS,)) -> TensorProto:
    """A float tensor whose bytes are where `entries` say."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in entries:
        tensor.external_data.add(key=key, value=value)
    return tensor


def floats(name: str, elements: int | None = ELEMENTS) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [elements])


def model_of(
    nodes: Sequence[onnx.NodeProto],
    initializers: Sequence[TensorProto] = (),
    *,
    inputs: Sequence[onnx.ValueInfoProto] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model from `x` to `y`, both of 32 floats unless `inputs` say more."""
    graph = helper.make_graph(
        nodes, "g", [floats("x")] if inputs is None else inputs, [floats("y")], list(initializers)
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))


def with_initializer(tensor: TensorProto) -> onnx.ModelProto:
    return model_of([helper.make_node("Add", ["x", tensor.name], ["y"])], [tensor])


def with_constant(tensor: TensorProto) -> onnx.ModelProto:
    return model_of([helper.make_node("Constant", [], ["c"], value=tensor), helper.make_node("Add", ["x", "c"], ["y"])])


def with_branch(tensor: TensorProto) -> onnx.ModelProto:
    """The tensor is an initializer of both branches of an If."""
    branch = helper.make_graph([helper.make_node("Add", ["x", tensor.name], ["b"])], "b", [], [floats("b")], [tensor])
    node = helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)
    return model_of([node], inputs=[floats("x"), helper.make_tensor_value_info("flag", TensorProto.BOOL, [])])


def with_function(tensor: TensorProto) -> onnx.ModelProto:
    body = [helper.make_node("Constant", [], ["c"], value=tensor), helper.make_node("Add", ["a", "c"], ["b"])]
    function = helper.make_function("local", "F", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    node = helper.make_node("F", ["x"], ["y"], domain="local")
    return model_of([node], functions=[function], domains=["local"])


def with_sparse_initializer(tensor: TensorProto) -> onnx.ModelProto:
    model = model_of([helper.make_node("Add", ["x", tensor.name], ["y"])])
    indices = helper.make_tensor("", TensorProto.INT64, [ELEMENTS], range(ELEMENTS))
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=tensor, indices=indices, dims=[ELEMENTS]))
    return model


def with_training_info(tensor: TensorProto) -> onnx.ModelProto:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])])
    model.training_info.add().initialization.CopyFrom(
        helper.make_graph([helper.make_node("Identity", [tensor.name], ["o"])], "t", [], [floats("o")], [tensor])
    )
    return model


PLACES = (
    with_initializer, with_constant, with_branch, with_function, with_sparse_initializer, with_training_info,
)  # fmt: skip


def write(folder: Path, model: onnx.ModelProto, data: bytes | None = WEIGHT.tobytes()) -> Path:
    """Write the model into a folder of its own, with its data file unless `data` is None; a canary lies outside."""
    inside = folder / "inside"
    inside.mkdir(exist_ok=True)
    outside = folder / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "secret.bin").write_bytes(CANARY)
    if data is not None:
        (inside / "w.bin").write_bytes(data)
    path = inside / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path
