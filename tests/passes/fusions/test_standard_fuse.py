"""Fusing for the standard: no operator of ONNX Runtime comes out, and the opset is raised as far as that needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from compressor.chain import tolerance_for
from compressor.errors import OptionError
from compressor.evaluation.judge import Judge, appoint_judge
from compressor.model.check import check_structure
from compressor.model.load import load
from compressor.model.session import open_session
from compressor.model.size import measure
from compressor.model.skeleton import to_skeleton
from compressor.passes.contract import PassResult
from compressor.passes.engines.choice import ENGINES
from compressor.passes.fuse import FuseTransformer
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantize import QuantizeDynamic
from compressor.passes.target import Target
from compressor.recipe import Recipe
from compressor.report import Fidelity
from tests.passes.fusions.fusing import TOLERANCE, Array, draw, normal, operators, reasons, run
from tests.passes.fusions.test_gelu import ERF, TANH
from tests.passes.fusions.test_gelu import graph as gelu_graph
from tests.passes.fusions.test_multi_head_attention import FEEDS, SPELLINGS
from tests.passes.fusions.test_multi_head_attention import graph as attention_graph

FIXTURES = sorted((Path(__file__).parents[3] / "fixtures").glob("*.onnx"))
STANDARD = FuseTransformer(target=Target.STANDARD)


def foreign(model: ir.Model) -> set[str]:
    """Operators and imports that are not the standard's."""
    return {node.op_type for node in model.graph.all_nodes() if node.domain} | set(model.graph.opset_imports) - {""}


def fuse(model: ir.Model, *feeds: Mapping[str, Array]) -> PassResult:
    """Fuse a copy of `model`, and make sure that it computes the same of all `feeds` with the standard's operators."""
    result = STANDARD.run(model.clone())
    onnx.checker.check_model(ir.to_proto(result.model))
    assert not foreign(result.model)
    for feed in feeds:
        for before, after in zip(run(model, feed), run(result.model, feed), strict=True):
            bound = TOLERANCE * max(1.0, float(np.abs(before).max()))
            np.testing.assert_allclose(after, before, rtol=0, atol=bound)
    return result


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_every_fixture_is_fused_as_far_as_for_onnx_runtime_and_computes_the_same(path: Path) -> None:
    model = load(path)
    result = STANDARD.run(model.clone())
    for_runtime = FuseTransformer().run(model.clone())
    attention = "attention_fused"
    assert result.counts.get(attention) == for_runtime.counts.get(attention)
    assert operators(result.model)["Attention"] == result.counts.get(attention, 0)
    assert not foreign(result.model)
    assert result.note.startswith("the opset was raised from ")
    check_structure(to_skeleton(result.model).proto)
    judge = appoint_judge(load(path), seed=0)
    assert isinstance(judge, Judge)
    fidelity = judge.compare(result.model)
    assert isinstance(fidelity, Fidelity), fidelity
    assert fidelity.worst_max_rel <= tolerance_for(measure(model))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_second_run_changes_nothing_and_quantizing_brings_no_other_operators(path: Path) -> None:
    once = STANDARD.run(load(path)).model
    again = STANDARD.run(once.clone())
    assert not again.is_changed, dict(again.counts)
    assert to_skeleton(again.model).proto == to_skeleton(once).proto
    quantized = QuantizeDynamic(target=Target.STANDARD).run(once)
    assert quantized.counts["weights_quantized"]
    assert not foreign(quantized.model)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("opset", [15, 20])
def test_attention_however_spelled_becomes_one_operator_of_the_standard(name: str, opset: int) -> None:
    model = attention_graph(SPELLINGS[name], opset=opset)
    feeds = [{given.name: feed[given.name] for given in model.graph.inputs if given.name} for feed in FEEDS]
    result = fuse(model, *feeds)
    assert operators(result.model)["Attention"] == result.counts["attention_fused"] == 1
    assert result.note == f"the opset was raised from {opset} to 23"


def test_states_the_width_of_values_that_onnx_would_infer_as_0() -> None:
    joined = "rows = Reshape(x, flat) products = MatMul(rows, wv) length = Shape <start=1, end=2> (x) "
    parted = "extent = Concat <axis=0> (minus, length, wide) v = Reshape(products, extent) "
    body = SPELLINGS["no mask"].replace("v = MatMul(x, wv) ", joined + parted)
    model = attention_graph(body, inputs="float[B, S, 8] x", weights={"flat": np.asarray([-1, 8])})
    result = fuse(model, {"x": normal(2, 5, 8)}, {"x": normal(1, 3, 8)})
    assert operators(result.model)["Attention"] == 1


@pytest.mark.parametrize("body", [ERF["torch"], TANH["cube"]])
def test_raises_the_opset_no_further_than_needed(body: str) -> None:
    result = fuse(gelu_graph(body, opset=13), {"x": normal(2, 5, 8)})
    assert operators(result.model) == {"Gelu": 1}
    assert dict(result.model.graph.opset_imports) == {"": 20}


def test_leaves_the_opset_where_nothing_is_fused() -> None:
    model = draw("g (float[2, 3] x) => (float[2, 1] y) { y = ReduceMean<axes=[1]>(x) }", opset=13)
    result = fuse(model, {"x": normal(2, 3)})
    assert not result.is_changed
    assert ir.to_proto(result.model) == ir.to_proto(model)


def test_leaves_sigmoid_units_and_biases_in_their_steps() -> None:
    body = "s = Mul(x, r) g = Sigmoid(s) y = Mul(x, g)"
    result = fuse(gelu_graph(body), {"x": normal(2, 5, 8)})
    assert operators(result.model) == {"Sigmoid": 1, "Mul": 2}
    assert not result.is_changed


def test_leaves_a_scale_below_zero_alone_which_onnx_runtime_refuses() -> None:
    body = SPELLINGS["no mask"].replace("Mul(qk, half)", "Mul(qk, minus_half)")
    model = attention_graph(
        body, inputs="float[B, S, 8] x", opset=23, weights={"minus_half": np.asarray(-0.5, np.float32)}
    )
    result = fuse(model, {"x": normal(2, 5, 8)})
    assert operators(result.model)["Softmax"] == 1
    assert reasons(result) == ["the scale is below 0, which ONNX Runtime does not take in the standard's Attention"]
    for_runtime = FuseTransformer().run(model)
    assert operators(for_runtime.model)["MultiHeadAttention"] == 1
    lowered = STANDARD.run(for_runtime.model)
    assert operators(lowered.model)["MultiHeadAttention"] == 1
    assert "MultiHeadAttention has a scale below 0, which ONNX Runtime refuses in the standard's" in reasons(lowered)


def test_says_what_keeps_the_opset_low_and_what_that_costs() -> None:
    body = SPELLINGS["key transposed at once"].replace("y = MatMul(cm, wo)", "z = MatMul(cm, wo)")
    model = attention_graph(f"{body} n = RandomNormalLike(z) y = Add(z, n)", opset=17)
    result = STANDARD.run(model)
    assert not foreign(result.model)
    assert operators(result.model)["Softmax"] == 1
    assert reasons(result) == [
        "opset 17 has no Attention",
        "is raised to 17 at most: ONNX Runtime does not run the RandomNormalLike of opset 22",
    ]


def test_lowers_what_the_source_has_of_onnx_runtime_and_reports_the_rest() -> None:
    text = """g (float[B,S,8] x, float[8] b, float[8,8] w) => (float[B,S,8] y) {
        h = com.microsoft.BiasGelu(x, b) y = com.microsoft.FusedMatMul(h, w) }"""
    model = draw(text)
    feed = {"x": normal(2, 3, 8), "b": normal(8), "w": normal(8, 8)}
    before = run(model, feed)[0]
    result = STANDARD.run(model)
    assert operators(result.model) == {"Add": 1, "Gelu": 1, "FusedMatMul": 1}
    assert result.counts == {"runtime_operators_lowered": 1}
    assert reasons(result) == ["no standard form of FusedMatMul, an operator of ONNX Runtime, is known here"]
    np.testing.assert_allclose(run(result.model, feed)[0], before, rtol=0, atol=1e-5)


def test_drops_the_import_of_what_nothing_uses_any_more() -> None:
    text = "g (float[B,S,8] x, float[8] b) => (float[B,S,8] y) { y = com.microsoft.BiasGelu(x, b) }"
    assert dict(STANDARD.run(draw(text)).model.graph.opset_imports) == {"": 20}


def test_reports_operators_of_onnx_runtime_inside_functions() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[2,3] x) => (float[2,3] y) { y = own.f(x) }
        <domain: "own", opset_import: ["" : 17, "com.microsoft" : 1]> f (x) => (y) { y = com.microsoft.Gelu(x) }"""
    result = STANDARD.run(ir.from_proto(onnx.parser.parse_model(text)))
    assert reasons(result) == ["is inside a function, which is not fused"]


def test_engines_may_bring_no_operators_of_onnx_runtime_either(monkeypatch: pytest.MonkeyPatch) -> None:
    body = SPELLINGS["key transposed at once"].replace("s = Mul(qk, half)", "t = Mul(qk, half) s = Tanh(t)")
    model = attention_graph(body)

    def engine(given: ir.Model, heads: int, width: int) -> ir.Model:
        copy = given.clone()
        next(node for node in copy.graph if node.op_type == "MatMul").op_type = "FusedMatMul"
        next(node for node in copy.graph if node.op_type == "FusedMatMul").domain = "com.microsoft"
        return copy

    monkeypatch.setitem(ENGINES, "onnxscript", engine)
    (first, *_) = replace(STANDARD, engines=("onnxscript",)).alternatives(model)
    assert not foreign(first.model)
    assert "uses operators the result may not hold: FusedMatMul" in reasons(first)


LSTM = "g (float[3,2,32] x) => (float[3,1,2,32] y) { y = LSTM<hidden_size=32>(x, w, r) }"


def test_weights_of_an_lstm_are_decoded() -> None:
    weights = {"w": normal(1, 128, 32) / 8, "r": normal(1, 128, 32, seed=1) / 8}
    feed = {"x": normal(3, 2, 32)}
    model = draw(LSTM, weights)
    assert foreign(QuantizeDynamic().run(model.clone()).model)
    result = QuantizeDynamic(target=Target.STANDARD).run(model.clone())
    assert result.counts["weights_quantized"] == 2
    assert not foreign(result.model)
    decoded = open_session(result.model).run(None, feed)[0]
    np.testing.assert_allclose(decoded, run(model, feed)[0], rtol=0, atol=0.02)


def test_weights_are_not_stored_in_blocks() -> None:
    model = draw("g (float[B,64] x) => (float[B,128] y) { y = MatMul(x, w) }", {"w": normal(64, 128)})
    result = QuantizeDynamic(target=Target.STANDARD, scheme=Scheme.BLOCKWISE_8).run(model)
    assert not foreign(result.model)
    assert "the standard has no operator that reads blocks" in result.note


def test_a_recipe_passes_its_target_on() -> None:
    recipe = Recipe.default().for_target(Target.STANDARD)
    targets = {step.name: getattr(step, "target", None) for step in recipe.passes}
    assert targets["fuse"] is targets["quantize"] is Target.STANDARD
    with pytest.raises(OptionError, match="none of the passes puts operators in"):
        Recipe.from_names(["deduplicate"]).for_target(Target.STANDARD)
