"""Draw sound models that tools for compressing them have been seen to break, one oddity each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]

EQUAL = 1e-5
"""Largest difference, relative to the largest output, that the rounding of float32 makes in graphs this small."""

INT8 = 0.05
"""The same where operands have 8 bits."""


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


W = normal(4, seed=1)
BIG = normal(64, 64, seed=2)
X = {"x": normal(2, 4, seed=3)}
ROWS = {"x": normal(8, 64, seed=4)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """A model, and what it must still do.

    Attributes:
        text: the graph in ONNX text.
        weights: initializers, by name.
        feeds: what it is run on.
        opset: of the standard domain.
        allowed: largest relative difference of an output.
        alter: changes what ONNX text cannot say.
    """

    text: str
    weights: Mapping[str, Array] = field(default_factory=dict)
    feeds: Mapping[str, Array] = field(default_factory=lambda: X)
    opset: int = 17
    allowed: float = EQUAL
    alter: Callable[[onnx.ModelProto], object] = lambda model: None

    def proto(self) -> onnx.ModelProto:
        model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {self.opset}]> g {self.text}')
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in self.weights.items())
        self.alter(model)
        return model


def plain(body: str, outputs: str = "float[2,4] y", inputs: str = "float[2,4] x", **more: Any) -> Odd:
    """Over weights `a` and `b` that are equal, unless told otherwise."""
    return Odd(**{"text": f"({inputs}) => ({outputs}) {{ {body} }}", "weights": {"a": W, "b": W}, **more})


def product(body: str, outputs: str = "float[r, c] y", inputs: str = "float[r, 64] x", **more: Any) -> Odd:
    """Over a weight `w` of 16 kB, which is worth quantizing."""
    return Odd(**{
        "text": f"({inputs}) => ({outputs}) {{ {body} }}",
        "weights": {"w": BIG}, "feeds": ROWS, "allowed": INT8, **more,
    })  # fmt: skip


def changed(array: Array, at: tuple[int, ...], value: float) -> Array:
    copy: Array = array.copy()
    copy[at] = value
    return copy


def add_tensor(*tensors: TensorProto) -> Callable[[onnx.ModelProto], object]:
    return lambda model: model.graph.initializer.extend(tensors)


def call_all_nodes(name: str) -> Callable[[onnx.ModelProto], object]:
    def alter(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.name = name

    return alter


def with_two_functions(model: onnx.ModelProto) -> None:
    """A function with two equal constants, one scaled by an attribute of the call."""
    constants = [helper.make_node("Constant", [], [n], value=numpy_helper.from_array(W)) for n in ("c", "d")]
    factor = helper.make_node("Constant", [], ["k"])
    factor.attribute.add(name="value_float", ref_attr_name="scale", type=onnx.AttributeProto.FLOAT)
    nodes = [
        *constants, factor, helper.make_node("Add", ["i", "c"], ["s"]), helper.make_node("Mul", ["s", "d"], ["t"]),
        helper.make_node("Mul", ["t", "k"], ["o"]),
    ]  # fmt: skip
    model.functions.append(
        helper.make_function("local", "F", ["i"], ["o"], nodes, [helper.make_opsetid("", 17)], ["scale"])
    )
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.graph.node.append(helper.make_node("F", ["x"], ["y"], domain="local", scale=0.5))


def with_shadows(model: onnx.ModelProto) -> None:
    """The branch has an `a` of its own and reads the `b` outside, which equals the `a` outside."""
    own = numpy_helper.from_array(W + 1, "a")
    info = [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)]
    add = [helper.make_node("Add", ["x", "a"], ["s"]), helper.make_node("Mul", ["s", "b"], ["o"])]
    then = helper.make_graph(add, "then", [], info, [own])
    other = helper.make_graph([helper.make_node("Mul", ["x", "b"], ["o"])], "else", [], info)
    model.graph.node.insert(0, helper.make_node("If", ["flag"], ["z"], then_branch=then, else_branch=other))


def with_siblings(model: onnx.ModelProto) -> None:
    """Both branches have a weight of one name, which differ; each equals one outside."""
    info = [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)]
    branches = [
        helper.make_graph(
            [helper.make_node("Add", ["x", "v"], ["o"])], "b", [], info, [numpy_helper.from_array(values, "v")]
        )
        for values in (W, W + 1)
    ]
    model.graph.node.insert(
        0, helper.make_node("If", ["flag"], ["z"], then_branch=branches[0], else_branch=branches[1])
    )


def with_branches_that_give_weights(model: onnx.ModelProto) -> None:
    """The result of each branch is an initializer, and both are equal."""
    info = [helper.make_tensor_value_info("o", TensorProto.FLOAT, [4])]
    branch = helper.make_graph([], "b", [], info, [numpy_helper.from_array(W, "o")])
    model.graph.node.insert(0, helper.make_node("If", ["flag"], ["z"], then_branch=branch, else_branch=branch))


def with_sequence_output(model: onnx.ModelProto) -> None:
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    model.graph.output.add(name="s").type.CopyFrom(helper.make_sequence_type_proto(element))


def with_sparse_weight(model: onnx.ModelProto) -> None:
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [2], [1.5, -2.0])
    indices = helper.make_tensor("", TensorProto.INT64, [2], [1, 3])
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=values, indices=indices, dims=[4]))


def with_metadata(model: onnx.ModelProto) -> None:
    model.producer_name, model.model_version, model.domain = "somebody", 7, "org.example"
    model.doc_string, model.graph.doc_string = "about the model", "about the graph"
    model.metadata_props.add(key="licence", value="mine")


def packed(name: str, data_type: int, dims: list[int], content: bytes) -> TensorProto:
    return TensorProto(name=name, data_type=data_type, dims=dims, raw_data=content)


def attention(scale: float = 0.5, hidden: float = -1e4, outputs: str = "", mask: Array | None = None) -> Odd:
    """Two heads of four, in the exporters' spelling; `mask` has 1 for what may be seen."""
    body = """
        q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv)
        q4 = Reshape(q, split) qh = Transpose <perm = [0, 2, 1, 3]> (q4)
        k4 = Reshape(k, split) kt = Transpose <perm = [0, 2, 3, 1]> (k4)
        v4 = Reshape(v, split) vh = Transpose <perm = [0, 2, 1, 3]> (v4)
        qk = MatMul(qh, kt) scores = Mul(qk, scale)
        m4 = Unsqueeze(mask, axes) mf = Cast <to = 1> (m4) mi = Sub(one, mf) bias = Mul(mi, hidden)
        masked = Add(scores, bias) p = Softmax <axis = -1> (masked) c = MatMul(p, vh)
        ct = Transpose <perm = [0, 2, 1, 3]> (c) merged = Reshape(ct, merge) y = MatMul(merged, wo)
    """
    weights = {f"w{name}": normal(8, 8, seed=seed) for seed, name in enumerate("qkvo")} | {
        "split": np.array([0, 0, 2, 4]), "merge": np.array([0, 0, 8]), "axes": np.array([1, 2]),
        "scale": np.float32(scale) * np.ones((), np.float32), "one": np.ones((), np.float32),
        "hidden": np.full((), hidden, np.float32),
    }  # fmt: skip
    seen = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]]) if mask is None else mask
    return Odd(
        text=f"(float[B, S, 8] x, int64[B, S] mask) => (float[B, S, 8] y{outputs}) {{ {body} }}",
        weights=weights, feeds={"x": normal(2, 5, 8), "mask": seen},
    )  # fmt: skip


FLOAT8 = ml_dtypes.float8_e5m2
BFLOAT16 = ml_dtypes.bfloat16
