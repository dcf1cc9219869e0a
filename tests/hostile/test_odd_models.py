"""Sound but odd models come out of the whole chain computing what they did, with the interface they had."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor import compress
from compressor.report import Outcome
from tests.hostile.odd_models import (
    BFLOAT16,
    BIG,
    FLOAT8,
    ROWS,
    Odd,
    W,
    X,
    add_tensor,
    attention,
    call_all_nodes,
    changed,
    normal,
    packed,
    plain,
    product,
    with_branches_that_give_weights,
    with_metadata,
    with_sequence_output,
    with_shadows,
    with_siblings,
    with_sparse_weight,
    with_two_functions,
)

NAN = changed(W, (1,), np.nan)
YES, NO = ({**X, "flag": np.array(flag)} for flag in (True, False))
FLAGGED = "float[2,4] x, bool flag"
BOTH = "m = Add(x, a) y = Mul(m, b)"
LAYER_NORM = """
    m = ReduceMean <axes = [-1]> (x) d = Sub(x, m) s = Pow(d, two) v = ReduceMean <axes = [-1]> (s) e = Add(v, eps)
    r = Sqrt(e) n = Div(d, r) g = Mul(n, a) y = Add(g, b)
"""
NORM = {"two": np.float32(2) * np.ones((), np.float32), "eps": np.full((), 1e-5, np.float32), "a": W, "b": W + 1}
GELU = "d = Div(x, root) e = Erf(d) f = Add(e, one) g = Mul(x, f) y = Mul(g, half)"
GATE = {name: np.full((), value, np.float32) for name, value in {"root": 2**0.5, "one": 1.0, "half": 0.5}.items()}
WIDER = "float[2,4] y, float[2,4] e"

DUPLICATES: dict[str, Odd] = {
    "two equal weights": plain(BOTH),
    "the overridable one first": plain(BOTH, inputs="float[2,4] x, float[4] a", feeds={**X, "a": W + 5}),
    "a copy that is an output": plain(BOTH, outputs="float[2,4] y, float[4] b"),
    "same bytes of other types": plain(
        "i = Cast <to = 1> (b) u = Cast <to = 1> (c) s = Sum(x, a, i, u) y = Abs(s)",
        weights={"a": np.zeros(4, np.float32), "b": np.zeros(4, np.int32), "c": np.zeros(4, np.uint32)},
    ),
    "a number and a list of one": plain(
        "m = Mul(x, a) y = Add(m, b) z = Identity(b)",
        outputs="float[2,4] y, float[1] z", weights={"a": np.ones((), np.float32), "b": np.ones(1, np.float32)},
    ),
    "equal weights with NaN": plain(BOTH, weights={"a": NAN, "b": NAN}),
    "zeros of either sign": plain(
        "m = Div(x, a) n = Div(x, b) y = Sub(m, n)",
        weights={"a": np.zeros(4, np.float32), "b": -np.zeros(4, np.float32)},
    ),
    "nearly equal weights": plain("y = Sub(a, b)", outputs="float[4] y", weights={"a": W, "b": np.nextafter(W, W + 1)}),
    "shadowed in a branch": plain("y = Add(z, a)", inputs=FLAGGED, feeds=YES, alter=with_shadows),
    "shadowed in the other branch": plain("y = Add(z, a)", inputs=FLAGGED, feeds=NO, alter=with_shadows),
    "one name in both branches": plain("y = Add(z, a)", inputs=FLAGGED, feeds=YES, alter=with_siblings),
    "one name, the other branch": plain("y = Add(z, a)", inputs=FLAGGED, feeds=NO, alter=with_siblings),
    "branches that give weights": plain("y = Add(x, z)", inputs=FLAGGED, feeds=YES,
                                        alter=with_branches_that_give_weights),
    "constants of a function": plain("", alter=with_two_functions),
    "bfloat16": plain("f = Cast <to = 1> (a) g = Cast <to = 1> (b) y = Sum(x, f, g)",
                      weights={"a": W.astype(BFLOAT16), "b": W.astype(BFLOAT16)}),
    "float8": plain("f = Cast <to = 1> (a) g = Cast <to = 1> (b) m = Add(f, g) y = Add(x, m)", opset=19,
                    weights={"a": W.astype(FLOAT8), "b": W.astype(FLOAT8)}),
    "double": plain("s = Add(a, b) f = Cast <to = 1> (s) y = Add(x, f)",
                    weights={"a": W.astype(np.float64), "b": W.astype(np.float64)}),
    "uint4": plain("f = Cast <to = 1> (a) g = Cast <to = 1> (b) m = Add(f, g) y = Add(x, m)", opset=21, weights={},
                   alter=add_tensor(packed("a", TensorProto.UINT4, [4], b"\x21\x43"),
                                    packed("b", TensorProto.UINT4, [4], b"\x21\x43"))),
    "int4 whose unused half byte differs": plain(
        "f = Cast <to = 1> (a) g = Cast <to = 1> (b) y = Concat <axis = 0> (f, g)", outputs="float[6] y", opset=21,
        weights={}, alter=add_tensor(packed("a", TensorProto.INT4, [3], b"\x21\x03"),
                                     packed("b", TensorProto.INT4, [3], b"\x21\xf3")),
    ),
    "equal constants beside an initializer": plain(
        "c = Constant <value = float[4] {1, 2, 3, 4}> () d = Constant <value = float[4] {1, 2, 3, 4}> () "
        "y = Sum(x, c, d, a)", weights={"a": np.array([1, 2, 3, 4], np.float32)},
    ),
    "one node that reads both": plain("s = Sub(a, b) m = Max(a, b, x) y = Add(s, m)"),
    "shapes noted for weights": plain(BOTH, alter=lambda model: model.graph.value_info.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "ab")),
    "a sparse weight": plain("y = Add(x, sparse)", weights={}, alter=with_sparse_weight),
}  # fmt: skip
LOOKALIKES: dict[str, Odd] = {
    "attention": attention(),
    "attention with another scale": attention(scale=0.2),
    "attention with a soft mask": attention(hidden=-2.0),
    "attention with holes in the mask": attention(mask=np.array([[1, 0, 1, 0, 1]] * 2)),
    "attention with the lowest number": attention(hidden=float(np.finfo(np.float32).min)),
    "attention whose probabilities are an output": attention(outputs=", float[B, 2, S, S] p"),
    "attention without names": replace(attention(), alter=call_all_nodes("")),
    "almost GELU": plain(GELU, weights={**GATE, "root": np.full((), 1.5, np.float32)}),
    "GELU with an inner output": plain(GELU, outputs=WIDER, weights=GATE),
    "a large epsilon": plain(LAYER_NORM, weights={**NORM, "eps": np.full((), 0.1, np.float32)}),
    "a mean that is an output": plain(LAYER_NORM, outputs="float[2,4] y, float[2,1] m", weights=NORM),
}
MULTIPLY = "y = MatMul(x, w)"
OUTLIER = changed(BIG, (3, 5), 1000.0)
TAKEN = {name: normal(64, seed=5) for name in ("w_quantized", "w_scale", "w_zero_point", "x_scale")}
QUANTIZED: dict[str, Odd] = {
    "one product": product(MULTIPLY),
    "names that quantizers give": product("m = MatMul(x, w) y = Sum(m, w_quantized, w_scale, w_zero_point, x_scale)",
                                          weights={"w": BIG, **TAKEN}),
    "a weight that is multiplied and added": product("m = MatMul(x, w) y = Add(m, w)", feeds={"x": normal(64, 64)}),
    "an overridable weight": product(MULTIPLY, inputs="float[r, 64] x, float[64, 64] w",
                                     feeds={**ROWS, "w": normal(64, 64, seed=9)}),
    "a NaN in the weight": product(MULTIPLY, weights={"w": changed(BIG, (3, 5), np.nan)}),
    "an infinity in the weight": product(MULTIPLY, weights={"w": changed(BIG, (3, 5), np.inf)}),
    "weights near the largest number": product(MULTIPLY, weights={"w": np.sign(BIG) * np.float32(3e38)},
                                               feeds={"x": np.eye(8, 64, dtype=np.float32)}),
    "weights near the smallest number": product(MULTIPLY, weights={"w": BIG * np.float32(1e-41)}),
    "an outlier": product(MULTIPLY, weights={"w": OUTLIER}),
    "opset 7": product(MULTIPLY, opset=7),
    "double weights": product(MULTIPLY, inputs="double[r, 64] x", outputs="double[r, c] y",
                              weights={"w": BIG.astype(np.float64)}, feeds={"x": ROWS["x"].astype(np.float64)}),
    "a weight of one axis": product(MULTIPLY, outputs="float[r] y", weights={"w": normal(64)}),
    "a Gemm with every attribute": product("y = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (x, w, c)",
                                           weights={"w": BIG, "c": normal(64)}),
    "a convolution": product("y = Conv <pads = [1, 1, 1, 1]> (x, w, c)", inputs="float[1, 3, 8, 8] x",
                             outputs="float[1, 32, 8, 8] y", feeds={"x": normal(1, 3, 8, 8)},
                             weights={"w": normal(32, 3, 3, 3), "c": normal(32)}),
    "a quantized weight": product("f = DequantizeLinear(w, s, z) y = MatMul(x, f)",
                                  weights={"w": np.rint(BIG * 30).astype(np.int8), "s": np.full((), 0.03, np.float32),
                                           "z": np.zeros((), np.int8)}),
    "activations of nothing but zeros": product(MULTIPLY, feeds={"x": np.zeros((8, 64), np.float32)}),
    "a batch of no rows": product(MULTIPLY, feeds={"x": np.zeros((0, 64), np.float32)}),
    "two products without names": product("m = MatMul(x, w) y = MatMul(m, v)", alter=call_all_nodes(""),
                                          weights={"w": BIG, "v": BIG * 100}),
}  # fmt: skip
INTERFACES: dict[str, Odd] = {
    "metadata": plain(BOTH, alter=with_metadata),
    "an input that nobody reads": plain(BOTH, inputs="float[2,4] x, int64[n] unused",
                                        feeds={**X, "unused": np.arange(3)}),
    "no nodes": plain("", inputs="", outputs="float[4] a", feeds={}),
    "a sequence": plain("m = Add(x, a) y = Add(m, b) s = SequenceConstruct(y, x)", alter=with_sequence_output),
    "an import that nothing uses": plain(BOTH, alter=lambda model: model.opset_import.append(
        helper.make_opsetid("com.microsoft", 1))),
    "an expansion to 4 TB in a branch never taken": plain(
        "y = If (flag) <then_branch = t () => (float o) { w = Constant <value_ints = [1000000, 1000000]> () "
        "e = Expand(a, w) o = ReduceMax <keepdims = 0> (e) }, else_branch = f () => (float o) { o = Identity(a) }>",
        inputs="bool flag", outputs="float y", feeds={"flag": np.array(False)}, weights={"a": np.ones((), np.float32)},
    ),
}  # fmt: skip
STRINGS: dict[str, tuple[list[list[str]], int]] = {
    "equal strings": ([["a", "b"], ["a", "b"]], 1),
    "strings of other boundaries": ([["ab", "c"], ["a", "bc"]], 2),
    "strings with zeros at the end": ([["a", "b"], ["a\0", "b"]], 2),
}
ODD = DUPLICATES | LOOKALIKES | QUANTIZED | INTERFACES


def outputs(path: Path, feeds: object, level: ort.GraphOptimizationLevel) -> list[object]:
    options = ort.SessionOptions()
    options.graph_optimization_level, options.log_severity_level = level, 4
    found: list[object] = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"]).run(None, feeds)
    return found


def assert_near(before: object, after: object, allowed: float) -> None:
    if isinstance(before, list):
        assert isinstance(after, list)
        for one, other in zip(before, after, strict=True):
            assert_near(one, other, allowed)
        return
    first, second = np.asarray(before), np.asarray(after)
    assert (first.shape, first.dtype) == (second.shape, second.dtype)
    finite = np.isfinite(first)
    assert np.array_equal(first[~finite], second[~finite], equal_nan=True)
    largest = np.abs(first[finite]).max(initial=0)
    np.testing.assert_allclose(second[finite], first[finite], rtol=0, atol=allowed * float(largest))


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_an_odd_model_computes_what_it_did(odd: Odd, tmp_path: Path) -> None:
    path, out, source = tmp_path / "model.onnx", tmp_path / "out.onnx", odd.proto()
    path.write_bytes(source.SerializeToString())
    compress(path, out)
    for level in (ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL):
        expected = outputs(path, odd.feeds, level)
        assert_near(expected, outputs(out, odd.feeds, level), odd.allowed)
    written = onnx.load(out)
    assert [*written.graph.input, *written.graph.output] == [*source.graph.input, *source.graph.output]
    assert written.ir_version == source.ir_version
    assert written.metadata_props == source.metadata_props
    for name in ("producer_name", "model_version", "domain", "doc_string"):
        assert getattr(written, name) == getattr(source, name)


@pytest.mark.parametrize(("words", "stored"), STRINGS.values(), ids=STRINGS.keys())
def test_strings_are_equal_string_by_string(words: list[list[str]], stored: int, tmp_path: Path) -> None:
    odd = plain("p = Gather(a, i) q = Gather(b, i)", "string[n] p, string[n] q", "int64[n] i", weights={})
    model = odd.proto()
    for name, values in zip("ab", words, strict=True):
        model.graph.initializer.append(numpy_helper.from_array(np.array(values, object), name))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    compress(path, tmp_path / "out.onnx")
    written = onnx.load(tmp_path / "out.onnx").graph
    assert len(written.initializer) == stored
    read = [node.input[0] for node in written.node if node.op_type == "Gather"]
    held = {tensor.name: [s.decode() for s in tensor.string_data] for tensor in written.initializer}
    assert [held[name] for name in read] == words


def test_random_numbers_stay_apart(tmp_path: Path) -> None:
    """Two equal nodes that draw are no duplicates: merged, their difference would be zero."""
    path = tmp_path / "model.onnx"
    drawn = plain("p = RandomNormalLike(x) q = RandomNormalLike(x) y = Sub(p, q)", weights={})
    path.write_bytes(drawn.proto().SerializeToString())
    compress(path, tmp_path / "out.onnx")
    (result,) = outputs(tmp_path / "out.onnx", X, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    assert np.abs(np.asarray(result)).max() > 0


@pytest.mark.parametrize(
    "odd",
    [
        plain("m = Add(x, a) y = Mul(m, b)", alter=call_all_nodes("dup")),
        replace(attention(), alter=call_all_nodes("dup")),
        product("m = MatMul(x, w) y = MatMul(m, v)", alter=call_all_nodes("dup"), weights={"w": BIG, "v": BIG * 100}),
        plain(BOTH, alter=lambda model: model.graph.output.append(model.graph.output[0])),
    ],
    ids=["nodes of one name", "attention of one name", "products of one name", "an output listed twice"],
)
def test_what_the_runtime_refuses_is_refused_or_written_as_it_was(odd: Odd, tmp_path: Path) -> None:
    """Operators of one name do not load, so nothing can be measured; an output listed twice may load or not."""
    path = tmp_path / "model.onnx"
    model = odd.proto()
    path.write_bytes(model.SerializeToString())
    report = compress(path, tmp_path / "out.onnx")
    assert all(step.outcome is not Outcome.ROLLED_BACK for step in report.steps)
    assert [port.name for port in onnx.load(tmp_path / "out.onnx").graph.output] == [
        port.name for port in model.graph.output
    ]
