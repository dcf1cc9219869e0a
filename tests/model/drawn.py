"""Draw models that hold everything a file can hold beside a plain computation."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

LARGE = 512
"""Elements of a float weight that stays in its file; one of 4 does not."""


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
