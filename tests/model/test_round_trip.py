"""Loading and saving with no pass between keeps everything a user could miss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.model.carried import carried
from compressor.model.check import proto_tensors
from compressor.model.load import load
from compressor.model.save import save

LARGE = 512
"""Elements of a float weight that stays in its file; one of 4 does not."""

TYPED_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data", "raw_data")


def through(tmp_path: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    """What `model` is after a load and a save."""
    path, out = tmp_path / "model.onnx", tmp_path / "out.onnx"
    path.write_bytes(model.SerializeToString())
    save(load(path), out, overwrite=True)
    return onnx.load(out)


def same(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in the one spelling that says what it means: values as raw bytes, defaults left out."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in proto_tensors(copy):
        if tensor.data_type != TensorProto.STRING:
            array = numpy_helper.to_array(tensor)
            raw = numpy_helper.from_array(array).raw_data if tensor.data_type < 16 else tensor.raw_data
            for field in TYPED_FIELDS:
                tensor.ClearField(field)
            tensor.raw_data = raw
        tensor.ClearField("data_location")
    for message in messages(copy):
        for field, value in message.ListFields():
            if field.type == field.TYPE_STRING and value == "":
                message.ClearField(field.name)
            if field.type == field.TYPE_INT64 and field.name == "model_version" and not value:
                message.ClearField(field.name)
    return copy


def messages(message: Any) -> Iterator[Any]:
    """`message` and all inside it; protobuf's classes share no typed way through their fields."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in (value,) if hasattr(value, "ListFields") else value:
                yield from messages(inner)


def weight(name: str, elements: int = LARGE) -> TensorProto:
    return numpy_helper.from_array(np.arange(elements, dtype=np.float32), name)


def floats(name: str, *dims: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def drawn(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


PLAIN = '<ir_version: 8, opset_import: ["" : 17]> g (float[n] x) => (float[n] y) { y = Relu(x) }'


def documented() -> onnx.ModelProto:
    """Everything a producer can write beside the computation."""
    model = drawn(PLAIN)
    model.producer_name, model.producer_version = "somebody", "1.2"
    model.domain, model.model_version, model.doc_string = "org.example", 7, "a model\nof two lines"
    model.metadata_props.add(key="classes", value='["a", "b"]')
    model.metadata_props.add(key="empty", value="")
    graph = model.graph
    graph.doc_string = "a graph"
    graph.metadata_props.add(key="graph", value="1")
    node = graph.node[0]
    node.name, node.doc_string, node.overload = "the node", "a node", ""
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'layer']")
    for info in (graph.input[0], graph.output[0]):
        info.doc_string = f"about {info.name}"
        info.type.denotation = "TENSOR"
        info.type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
        info.metadata_props.add(key="value", value="2")
    return model


def with_recorded_shapes() -> onnx.ModelProto:
    model = drawn(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[batch, 4] x) => (float[batch, 4] y) '
        "<float[batch, 4] m> { m = Relu(x)\n y = Abs(m) }"
    )
    model.graph.value_info[0].doc_string = "in the middle"
    return model


def with_several_opsets() -> onnx.ModelProto:
    return drawn(
        '<ir_version: 8, opset_import: ["com.microsoft" : 1, "ai.onnx.ml" : 3, "" : 17, "unused.domain" : 4]>'
        "g (float[n] x) => (float[n] y) { y = Relu(x) }"
    )


def with_functions() -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    body = [
        helper.make_node("Constant", [], ["k"], value=weight("inner")),
        helper.make_node("LeakyRelu", ["a"], ["l"], name="leaky"),
        helper.make_node("Add", ["l", "k"], ["b"]),
    ]
    body[1].attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    default = helper.make_attribute("slope", 0.5)
    function = helper.make_function("local", "F", ["a"], ["b"], body, opsets[:1], attribute_protos=[default])
    function.doc_string = "a function"
    function.metadata_props.add(key="k", value="v")
    function.value_info.append(floats("l", LARGE))
    overload = onnx.FunctionProto()
    overload.CopyFrom(function)
    overload.overload = "other"
    nodes = [
        helper.make_node("F", ["x"], ["m"], domain="local", slope=0.25),
        helper.make_node("F", ["m"], ["y"], domain="local", overload="other"),
    ]
    graph = helper.make_graph(nodes, "g", [floats("x", LARGE)], [floats("y", LARGE)])
    return helper.make_model(graph, functions=[function, overload], opset_imports=opsets, ir_version=10)


def with_branches() -> onnx.ModelProto:
    branch = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["b"])], "branch", [], [floats("b", LARGE)], [weight("w")],
        doc_string="a branch",
    )  # fmt: skip
    node = helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    graph = helper.make_graph([node], "g", [flag, floats("x", LARGE)], [floats("y", LARGE)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def with_many_attributes() -> onnx.ModelProto:
    node = helper.make_node("Op", ["x", "", "x"], ["y", "", "z"], domain="mine", name="n")
    node.attribute.extend(
        [
            helper.make_attribute("an_int", -3, doc_string="documented"),
            helper.make_attribute("a_float", 0.1),
            helper.make_attribute("a_string", "text"),
            helper.make_attribute("ints", [1, 2, 3]),
            helper.make_attribute("floats", [0.1, 0.2]),
            helper.make_attribute("strings", ["a", ""]),
            helper.make_attribute("tensor", weight("t")),
            onnx.AttributeProto(
                name="tensors", type=onnx.AttributeProto.TENSORS, tensors=[weight("a"), weight("b", 4)]
            ),
            onnx.AttributeProto(name="no_ints", type=onnx.AttributeProto.INTS),
            onnx.AttributeProto(
                name="a_type", type=onnx.AttributeProto.TYPE_PROTO, tp=helper.make_tensor_type_proto(1, ["n"])
            ),
        ]
    )
    graph = helper.make_graph([node], "g", [floats("x", 4)], [floats("y", 4)])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 2)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def with_attributes_that_are_no_text() -> onnx.ModelProto:
    """Bytes in string attributes, as custom operators keep their state, beside a large weight."""
    model = with_many_attributes()
    (node,) = model.graph.node
    node.attribute.append(helper.make_attribute("state", b"\xff\xfe"))
    node.attribute.append(helper.make_attribute("states", [b"a", b"\xff"]))
    return model


def with_sparse_tensors() -> onnx.ModelProto:
    """One sparse initializer with values of its own file range, and one in an attribute."""

    def sparse(name: str) -> onnx.SparseTensorProto:
        indices = numpy_helper.from_array(np.arange(LARGE, dtype=np.int64), f"{name}_at")
        return onnx.SparseTensorProto(values=weight(name), indices=indices, dims=[2 * LARGE])

    nodes = [
        helper.make_node("Constant", [], ["c"], sparse_value=sparse("inner"), name="constant"),
        helper.make_node("Sum", ["x", "c", "w"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [floats("x", 2 * LARGE)], [floats("y", 2 * LARGE)])
    graph.sparse_initializer.append(sparse("w"))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def with_initializers_as_inputs() -> onnx.ModelProto:
    """As IR version 3 asks."""
    graph = helper.make_graph(
        [helper.make_node("Sum", ["x", "a", "b"], ["y"])], "g",
        [floats("x", LARGE), floats("b", LARGE), floats("a", LARGE)], [floats("y", LARGE)], [weight("a"), weight("b")],
    )  # fmt: skip
    graph.input[1].doc_string = "a weight"
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=3)


def with_overridable_initializers() -> onnx.ModelProto:
    model = with_initializers_as_inputs()
    model.ir_version, model.opset_import[0].version = 8, 17
    return model


def with_annotations() -> onnx.ModelProto:
    model = drawn(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[4] x) => (float[4] y)'
        "<float s = {0.5}, uint8 z = {1}> { y = Relu(x) }"
    )
    del model.graph.initializer[:]
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.5).reshape(()), "s"))
    model.graph.initializer.append(numpy_helper.from_array(np.uint8(1).reshape(()), "z"))
    annotation = model.graph.quantization_annotation.add(tensor_name="x")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="s")
    annotation.quant_parameter_tensor_names.add(key="ZERO_POINT_TENSOR", value="z")
    return model


def of_a_classifier() -> onnx.ModelProto:
    """ZipMap's output is a sequence of maps, which onnx_ir has no type for."""
    model = drawn(
        '<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 1]>g (float[n, 3] x) => (float[n, 3] y) { y = Relu(x) }'
    )
    zip_map = helper.make_node("ZipMap", ["x"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    model.graph.node.append(zip_map)
    maps = model.graph.output.add(name="maps", doc_string="a map a row")
    element = maps.type.sequence_type.elem_type.map_type
    element.key_type = TensorProto.INT64
    element.value_type.tensor_type.elem_type = TensorProto.FLOAT
    element.value_type.tensor_type.shape.SetInParent()
    return model


def of_odd_interfaces() -> onnx.ModelProto:
    """An input nobody reads, an output without a shape, an output that is an initializer, a sequence."""
    model = drawn('<ir_version: 8, opset_import: ["" : 17]> g (float[n] x, int64 unused) => (y, w) { y = Relu(x) }')
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    model.graph.output[1].CopyFrom(floats("w", LARGE))
    model.graph.initializer.append(weight("w"))
    model.graph.node.append(helper.make_node("SequenceConstruct", ["x", "x"], ["list"]))
    model.graph.output.append(helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None))
    return model


def of_all_types() -> onnx.ModelProto:
    """One large weight of every type, and its small typed-field form where it has one."""
    model = drawn(PLAIN)
    model.ir_version, model.opset_import[0].version = 13, 25
    for data_type in TensorProto.DataType.values():
        if data_type in (TensorProto.UNDEFINED, TensorProto.STRING):
            continue
        elements = 8192
        bits = ir.DataType(data_type).bitwidth
        raw = np.random.default_rng(data_type).integers(0, 2, elements * bits // 8, dtype=np.uint8).tobytes()
        model.graph.initializer.add(name=f"w{data_type}", data_type=data_type, dims=[elements], raw_data=raw)
    model.graph.initializer.add(name="words", data_type=8, dims=[3], string_data=[b"a", b"", b"\xff\0"])
    model.graph.initializer.add(name="empty", data_type=1, dims=[0, 4])
    model.graph.initializer.add(name="documented", data_type=1, dims=[1], float_data=[1], doc_string="a weight")
    return model


DRAWN = [
    documented, with_recorded_shapes, with_several_opsets, with_functions, with_branches, with_many_attributes,
    with_attributes_that_are_no_text,
    with_sparse_tensors, with_initializers_as_inputs, with_overridable_initializers, with_annotations, of_a_classifier,
    of_odd_interfaces, of_all_types,
]  # fmt: skip


@pytest.mark.parametrize("draw", DRAWN)
def test_keeps_everything(tmp_path: Path, draw: Any) -> None:
    model = draw()
    assert str(same(through(tmp_path, model))) == str(same(model))


@pytest.mark.parametrize("draw", DRAWN)
def test_a_copy_in_memory_keeps_everything_too(tmp_path: Path, draw: Any) -> None:
    """Passes work on clones."""
    model, path, out = draw(), tmp_path / "model.onnx", tmp_path / "out.onnx"
    path.write_bytes(model.SerializeToString())
    save(load(path).clone(), out)
    assert str(same(onnx.load(out))) == str(same(model))


def test_puts_nodes_in_order_and_changes_nothing_else(tmp_path: Path) -> None:
    model = with_recorded_shapes()
    first, second = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([second, first])
    result = through(tmp_path, model)
    assert str(same(result)) == str(same(with_recorded_shapes()))


def test_leaves_training_information_out_and_says_so(tmp_path: Path) -> None:
    model = drawn(PLAIN)
    training = model.training_info.add()
    training.algorithm.CopyFrom(
        helper.make_graph([helper.make_node("Identity", ["w"], ["o"])], "t", [], [floats("o", LARGE)], [weight("w")])
    )
    assert same(through(tmp_path, model)) == same(drawn(PLAIN))
    facts = carried(load(tmp_path / "model.onnx"))
    assert facts is not None
    assert "training information" in facts.warnings[0]


def test_leaves_out_recorded_shapes_of_initializers_alone(tmp_path: Path) -> None:
    """A stale one breaks shape inference, and the initializer says its shape itself."""
    model = with_overridable_initializers()
    del model.graph.input[1:]
    model.graph.value_info.append(floats("a", LARGE))
    assert not through(tmp_path, model).graph.value_info


def test_the_runtime_gives_maps_out_of_a_saved_classifier(tmp_path: Path) -> None:
    through(tmp_path, of_a_classifier())
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    _, maps = session.run(None, {"x": np.ones((1, 3), np.float32)})
    assert maps == [{0: 1.0, 1: 1.0, 2: 1.0}]
