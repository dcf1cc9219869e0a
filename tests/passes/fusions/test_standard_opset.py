"""Raising the opset keeps what every node computes, and stops before a node that it cannot keep."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from compressor.model.standins import put_in_standins
from compressor.passes.fusions.standard.conversions import CONVERSIONS
from compressor.passes.fusions.standard.opset import NEWEST, Raised, raise_opset
from compressor.passes.fusions.standard.schemas import changes, only_extends, schema
from tests.passes.fusions.fusing import Array, draw, normal, run

X = {"x": normal(2, 3, 4)}
IMAGE = {"x": normal(1, 2, 4, 4)}

CONVERTED: dict[str, tuple[int, str, Mapping[str, Array]]] = {
    "Unsqueeze": (11, "g (float[2,3,4] x) => (float[2,1,3,4] y) { y = Unsqueeze<axes=[1]>(x) }", X),
    "Squeeze": (
        11,
        "g (float[2,3,4] x) => (float[2,3,4] y) { h = Unsqueeze<axes=[1]>(x) y = Squeeze<axes=[1]>(h) }",
        X,
    ),
    "Squeeze of all": (11, "g (float[2,3,4] x) => (float[2,3,4] y) { h = Unsqueeze<axes=[1]>(x) y = Squeeze(h) }", X),
    "ReduceSum": (11, "g (float[2,3,4] x) => (float[2,4] y) { y = ReduceSum<axes=[1], keepdims=0>(x) }", X),
    "ReduceSum of all": (11, "g (float[2,3,4] x) => (float[1,1,1] y) { y = ReduceSum(x) }", X),
    "ReduceMean": (17, "g (float[2,3,4] x) => (float[2,3,1] y) { y = ReduceMean<axes=[-1]>(x) }", X),
    "ReduceMax": (11, "g (float[2,3,4] x) => (float[2,1,4] y) { y = ReduceMax<axes=[1]>(x) }", X),
    "Split": (11, "g (float[2,3,4] x) => (float[2,3,2] y) { a, b = Split<axis=2>(x) y = Add(a, b) }", X),
    "Split by sizes": (11, "g (float[2,3,4] x) => (float[2,3,1] y) { y, b = Split<axis=2, split=[1, 3]>(x) }", X),
    "Softmax at the end": (11, "g (float[2,3,4] x) => (float[2,3,4] y) { y = Softmax<axis=2>(x) }", X),
    "Softmax of all axes from the second": (11, "g (float[2,3,4] x) => (float[2,3,4] y) { y = Softmax(x) }", X),
    "LogSoftmax": (12, "g (float[2,3,4] x) => (float[2,3,4] y) { y = LogSoftmax<axis=-2>(x) }", X),
    "Hardmax": (11, "g (float[2,3,4] x) => (float[2,3,4] y) { y = Hardmax<axis=0>(x) }", X),
    "Clip": (10, "g (float[2,3,4] x) => (float[2,3,4] y) { y = Clip<min=-0.5, max=0.25>(x) }", X),
    "Clip from above": (10, "g (float[2,3,4] x) => (float[2,3,4] y) { y = Clip<max=0.25>(x) }", X),
    "Pad": (10, "g (float[2,3,4] x) => (float[2,3,6] y) { y = Pad<pads=[0,0,1,0,0,1], value=3.0>(x) }", X),
    "Slice": (9, "g (float[2,3,4] x) => (float[2,2,4] y) { y = Slice<starts=[1], ends=[3], axes=[1]>(x) }", X),
    "TopK": (9, "g (float[2,3,4] x) => (float[2,3,2] y) { y, i = TopK<k=2>(x) }", X),
    "Dropout": (10, "g (float[2,3,4] x) => (float[2,3,4] y) { y = Dropout<ratio=0.5>(x) }", X),
    "Cast": (11, "g (float[2,3,4] x) => (int64[2,3,4] y) { y = Cast<to=7>(x) }", X),
    "Reshape": (11, "g (float[2,3,4] x) => (float[6,4] y) <int64[2] s = {6, -1}> { y = Reshape(x, s) }", X),
    "Resize with a region": (
        11,
        "g (float[1,2,4,4] x) => (float[1,2,6,6] y) <float[0] none = {}, int64[4] sizes = {1, 2, 6, 6}> "
        '{ y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, none, none, sizes) }',
        IMAGE,
    ),
    "GridSample": (
        16,
        "g (float[1,2,4,4] x, float[1,3,3,2] at) => (float[1,2,3,3] y) { y = GridSample(x, at) }",
        {**IMAGE, "at": normal(1, 3, 3, 2, seed=1)},
    ),
    "AveragePool": (10, "g (float[1,2,4,4] x) => (float[1,2,3,3] y) { y = AveragePool<kernel_shape=[2,2]>(x) }", IMAGE),
    "Scatter": (
        9,
        "g (float[2,3,4] x, int64[1,1,1] at, float[1,1,1] new) => (float[2,3,4] y) { y = Scatter(x, at, new) }",
        {**X, "at": np.ones((1, 1, 1), np.int64), "new": normal(1, 1, 1)},
    ),
    "BatchNormalization": (
        9,
        "g (float[1,2,4,4] x, float[2] s, float[2] b, float[2] m, float[2] v) => (float[1,2,4,4] y) "
        "{ y = BatchNormalization(x, s, b, m, v) }",
        {**IMAGE, "s": normal(2), "b": normal(2), "m": normal(2), "v": np.abs(normal(2))},
    ),
    "inside a branch": (
        11,
        "g (bool c, float[2,3,4] x) => (float[2,1,4] y) { y = If (c) <"
        "then_branch = a () => (float[2,1,4] p) { p = ReduceMean<axes=[1]>(x) },"
        "else_branch = b () => (float[2,1,4] q) { q = ReduceMin<axes=[1]>(x) }> }",
        {**X, "c": np.asarray(True)},
    ),
    "beside an operator of ONNX Runtime": (
        11,
        "g (float[2,3,4] x) => (float[2,1,4] y) { h = com.microsoft.Gelu(x) y = ReduceMean<axes=[1]>(h) }",
        X,
    ),
    "as ONNX Runtime writes it": (
        11,
        "g (float[2,3,4] x, float[4] w) => (float[2,3,4] y) { y = LayerNormalization(x, w) }",
        {**X, "w": normal(4)},
    ),
}


@pytest.mark.parametrize(("opset", "text", "feed"), CONVERTED.values(), ids=CONVERTED)
def test_computes_the_same_at_the_newest_opset(opset: int, text: str, feed: Mapping[str, Array]) -> None:
    model = draw(text, opset=opset)
    before = run(model, feed)
    assert raise_opset(model) == Raised(NEWEST)
    proto = ir.to_proto(model)
    assert {entry.domain: entry.version for entry in proto.opset_import}[""] == NEWEST
    onnx.checker.check_model(proto)
    for old, new in zip(before, run(model, feed), strict=True):
        np.testing.assert_allclose(new, old, rtol=0, atol=1e-6)


REFUSED = {
    "dropped": (9, "y = Upsample(x, s)", "opset 10 changes Upsample, and how to convert it is not known here"),
    "of groups": (
        18,
        "y = GroupNormalization<num_groups=2>(x, s, s)",
        "GroupNormalization has a scale for each group, opset 21 wants one for each channel",
    ),
    "not run": (17, "y = RandomNormalLike(x)", "ONNX Runtime does not run the RandomNormalLike of opset 22"),
    "guest": (13, "y = Gelu(x)", "opset 13 has no operator Gelu"),
    "statistics an element": (
        7,
        "y = BatchNormalization<spatial=0>(x, s, s, s, s)",
        "BatchNormalization keeps statistics per element, which opset 9 dropped",
    ),
    "own padding": (
        10,
        'y = ConvTranspose<auto_pad="SAME_UPPER">(x, s)',
        "ConvTranspose pads by itself, which opset 11 changed",
    ),
    "mask": (10, "y, k = Dropout(x) z = Not(k)", "Dropout gives its mask, which opsets 10 and 12 changed"),
    "dropped mode": (
        11,
        'y = Resize<coordinate_transformation_mode="tf_half_pixel_for_nn">(x, s, s)',
        "Resize takes its pixels from where opset 13 does no more",
    ),
    "too old": (6, "y = Relu(x)", "nodes of opset 6, before 7, are not converted"),
}
REACHED = {"of groups": 20, "not run": 20}
"""How far those get that meet an obstacle on the way only; the others stay where they are."""


@pytest.mark.parametrize("name", REFUSED)
def test_stops_before_what_it_cannot_convert(name: str) -> None:
    opset, body, obstacle = REFUSED[name]
    model = draw(f"g (float[A,B,C,D] x, float[E] s) => (float[F,G,H,I] y) {{ h = Relu(x) {body} }}", opset=opset)
    before = ir.to_proto(model)
    assert raise_opset(model) == Raised(REACHED.get(name, opset), obstacle)
    if name not in REACHED:
        assert ir.to_proto(model) == before


def test_what_could_be_converted_leaves_no_constant_behind_where_another_node_cannot() -> None:
    text = "g (float[2,3,4] x, float[4] s) => (float[2,1,4] y) { h = ReduceMean<axes=[1]>(x) y = Upsample(h, s) }"
    model = draw(text, opset=9)
    raise_opset(model)
    assert not model.graph.initializers


def test_a_newer_opset_stays() -> None:
    model = draw("g (float[2] x) => (float[2] y) { y = Relu(x) }", opset=24)
    assert raise_opset(model) == Raised(24)


def test_knows_the_standard_by_its_other_name() -> None:
    proto = ir.to_proto(draw(CONVERTED["Unsqueeze"][1], opset=11))
    proto.opset_import[0].domain = "ai.onnx"
    model = ir.from_proto(proto)
    assert raise_opset(model).opset == NEWEST
    assert dict(model.graph.opset_imports) == {"ai.onnx": NEWEST}


FUNCTION = """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
    g (float[2,3] x) => (float[2,3] y) { y = own.f(x) }
    <domain: "own", opset_import: ["" : 17]> f (x) => (y) { BODY }"""


def test_functions_are_raised_with_the_graph() -> None:
    model = ir.from_proto(onnx.parser.parse_model(FUNCTION.replace("BODY", "y = Relu(x)")))
    before = run(model, {"x": normal(2, 3)})
    assert raise_opset(model).opset == NEWEST
    assert [function.opset_imports[""] for function in model.functions.values()] == [NEWEST]
    np.testing.assert_array_equal(run(model, {"x": normal(2, 3)})[0], before[0])


def test_a_function_with_a_node_to_convert_stops_it() -> None:
    model = ir.from_proto(onnx.parser.parse_model(FUNCTION.replace("BODY", "y = ReduceMax<axes=[0]>(x)")))
    assert raise_opset(model) == Raised(17, "opset 18 changes ReduceMax, which function 'f' calls")


def test_every_conversion_belongs_to_a_change_of_the_standard() -> None:
    for op_type, opset in CONVERSIONS:
        assert opset in changes(op_type, 1, NEWEST), (op_type, opset)


def test_a_signature_that_changes_is_no_extension() -> None:
    assert only_extends("Reshape", 14)
    assert only_extends("Gemm", 11)
    assert not only_extends("Softmax", 13)  # another default
    assert not only_extends("Clip", 11)  # attributes became inputs
    assert not only_extends("Upsample", 10)  # dropped
    assert not only_extends("Gelu", 20)  # new
    assert schema("Gelu", 19) is None


def test_a_node_that_is_held_by_a_stand_in_stops_it() -> None:
    proto = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> g () => (float[2] y) { y = Constant() }')
    indices = onnx.helper.make_tensor("i", onnx.TensorProto.INT64, [1], [0])
    sparse = onnx.helper.make_sparse_tensor(onnx.helper.make_tensor("v", 1, [1], [3.0]), indices, [2])
    proto.graph.node[0].name = "c"
    proto.graph.node[0].attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR, sparse_tensor=sparse)
    put_in_standins(proto)
    assert raise_opset(ir.from_proto(proto)) == Raised(17, "'c' holds what cannot be looked into")
