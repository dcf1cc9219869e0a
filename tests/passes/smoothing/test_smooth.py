"""What is smoothed gives the same bytes and loses less in int8; what cannot be is left alone, with a reason."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from compressor.errors import OptionError
from compressor.evaluation.contract import Samples
from compressor.evaluation.observe import Observer
from compressor.model.load import load
from compressor.model.save import save
from compressor.model.skeleton import to_skeleton
from compressor.model.weights import ComputedWeight
from compressor.passes.smooth import SmoothActivations
from compressor.pipeline import compress
from compressor.recipe import PASSES, Recipe
from compressor.report import Outcome
from tests.passes.smoothing.drawn import (
    FEATURES,
    drawn,
    error_in_int8,
    operators,
    outputs,
    reasons,
    same,
    samples,
    smoothed,
)

AFTER = "n = LayerNormalization(x, gamma, beta) a = MatMul(n, w1) b = MatMul(n, w2) c = Add(a, b) y = Add(c, n)"
"""The normalized value goes past the products, too, as in BERT."""

BEFORE = "n = LayerNormalization(x, gamma, beta) a = MatMul(n, w1) b = MatMul(n, w2) c = Add(a, b) y = Add(c, x)"
"""Only products read the normalized value, as in GPT-2."""

IN_PIECES = """
    two = Constant <value = float {2}> () eps = Constant <value = float {1e-5}> ()
    mean = ReduceMean <axes = [-1]> (x) d = Sub(x, mean) s = Pow(d, two) v = ReduceMean <axes = [-1]> (s)
    ve = Add(v, eps) r = Sqrt(ve) q = Div(d, r) g = Mul(q, gamma) n = Add(g, beta) y = MatMul(n, w1)"""

FLATTENED = "n = LayerNormalization(x, gamma, beta) f = Reshape(n, shape) p = Gemm <transB = 1> (f, w1, even) "
FLATTENED += "sizes = Shape(n) y = Reshape(p, sizes)"


@pytest.mark.parametrize(
    "body", [AFTER, BEFORE, IN_PIECES, FLATTENED], ids=["after", "before", "in pieces", "flattened"]
)
def test_smoothing_changes_no_bit_and_halves_the_error_of_int8(body: str) -> None:
    model = drawn(body, opset=13 if body == IN_PIECES else 17)
    result = smoothed(model)
    assert result.counts["activations_smoothed"] == 1
    assert same(model, result.model)
    assert error_in_int8(result.model, model) < error_in_int8(model, model) / 2


@pytest.mark.parametrize("body", [BEFORE, IN_PIECES, FLATTENED], ids=["before", "in pieces", "flattened"])
def test_a_normalization_that_only_products_read_takes_the_factors_in(body: str) -> None:
    model = drawn(body, opset=13 if body == IN_PIECES else 17)
    result = smoothed(model)
    assert result.counts["factors_in_normalizations"] == 1
    assert operators(result.model) == operators(model)
    assert len(result.model.graph.initializers) == len(model.graph.initializers)


def test_a_normalized_value_read_elsewhere_is_multiplied_for_the_products_alone() -> None:
    model = drawn(AFTER)
    result = smoothed(model)
    assert operators(result.model) == ["LayerNormalization", "Mul", "MatMul", "MatMul", "Add", "Add"]
    assert dict(result.counts) == {"activations_smoothed": 1, "weights_scaled": 2}


def test_a_normalized_value_that_is_an_output_keeps_its_values() -> None:
    model = drawn(BEFORE)
    value = next(node for node in model.graph if node.op_type == "LayerNormalization").outputs[0]
    value.shape, value.type = ir.Shape(["N", "S", FEATURES]), ir.TensorType(ir.DataType.FLOAT)
    model.graph.outputs.insert(0, value)
    result = smoothed(model)
    assert "Mul" in operators(result.model)
    assert same(model, result.model)


def test_vectors_shared_with_another_normalization_are_not_touched() -> None:
    second = "m = LayerNormalization(x, gamma, beta) y = Add(c, m)"
    model = drawn(BEFORE.replace("y = Add(c, x)", second))
    result = smoothed(model)
    assert result.counts["factors_in_normalizations"] == 1
    assert same(model, result.model)
    assert len(result.model.graph.initializers) == len(model.graph.initializers) + 2


def test_vectors_of_a_normalization_in_pieces_that_are_read_elsewhere_are_not_touched() -> None:
    model = drawn(IN_PIECES.replace("y = MatMul(n, w1)", "m = MatMul(n, w1) y = Add(m, gamma)"), opset=13)
    result = smoothed(model)
    assert result.counts["activations_smoothed"] == 1
    assert "factors_in_normalizations" not in result.counts
    assert same(model, result.model)


def test_a_second_run_changes_nothing() -> None:
    for body in (AFTER, BEFORE):
        once = smoothed(drawn(body)).model
        again = smoothed(once)
        assert not again.is_changed
        assert to_skeleton(again.model).proto == to_skeleton(once).proto


def test_a_weight_of_several_products_is_scaled_once_and_all_its_activations_with_it() -> None:
    body = "n = LayerNormalization(x, gamma1, beta1) a = MatMul(n, w1) m = LayerNormalization(a, gamma2, beta2) "
    model = drawn(body + "b = MatMul(m, w1) c = MatMul(m, w2) s = Add(b, c) y = Add(s, n)")
    result = smoothed(model)
    assert dict(result.counts) == {"activations_smoothed": 2, "factors_in_normalizations": 1, "weights_scaled": 2}
    assert same(model, result.model)
    assert error_in_int8(result.model, model) < error_in_int8(model, model)


def test_weights_are_computed_when_somebody_asks_and_written_right(tmp_path: Path) -> None:
    model = drawn(AFTER)
    result = smoothed(model).model
    assert isinstance(result.graph.initializers["w1"].const_value, ComputedWeight)
    save(result, tmp_path / "out.onnx")
    assert same(model, load(tmp_path / "out.onnx"))


def test_a_weight_in_a_constant_node_is_scaled_there() -> None:
    model = drawn(AFTER)
    held = model.graph.initializers.pop("w1")
    node = ir.node("Constant", [], {"value": held.const_value})
    model.graph.insert_before(model.graph[0], node)
    held.replace_all_uses_with(node.outputs[0])
    result = smoothed(model)
    assert result.counts["weights_scaled"] == 2
    assert same(model, result.model)


@pytest.mark.parametrize("generated", [True, False])
def test_only_real_inputs_tell_how_large_other_activations_get(generated: bool) -> None:
    model = drawn("h = Mul(x, gamma) y = MatMul(h, w1)")
    result = smoothed(model, samples(generated=generated))
    assert result.is_changed is not generated
    if not generated:
        assert same(model, result.model)
        assert error_in_int8(result.model, model) < error_in_int8(model, model) / 2


def test_even_features_are_left_alone() -> None:
    model = drawn(AFTER.replace("gamma", "even1").replace("beta", "even2"))
    result = smoothed(model)
    assert not result.is_changed
    assert reasons(result)["n"].startswith("smoothing would leave")
    assert to_skeleton(result.model).proto == to_skeleton(model).proto


def test_a_tied_table_is_left_alone_and_its_neighbour_is_not() -> None:
    lookup = "r = Gather(w1, ids) d = Add(c, r) y = Add(d, n)"
    model = drawn(AFTER.replace("y = Add(c, n)", lookup), more=", int64[N, S] ids")
    seen = Samples(
        batches=({**samples().batches[0], "ids": np.zeros((2, 9), np.int64)},), generated=True, description=""
    )
    result = smoothed(model, seen)
    assert reasons(result) == {"w1": "used by Gather r as well, which takes no smoothed activation"}
    assert dict(result.counts) == {"activations_smoothed": 1, "weights_scaled": 1}
    assert same(model, result.model, seen)


def test_what_no_normalization_feeds_is_no_candidate_for_generated_inputs() -> None:
    model = drawn("h = Mul(x, gamma) a = MatMul(h, w1) r = Gather(w1, ids) y = Add(a, r)", more=", int64[N, S] ids")
    seen = Samples(
        batches=({**samples().batches[0], "ids": np.zeros((2, 9), np.int64)},), generated=True, description=""
    )
    assert reasons(smoothed(model, seen)) == {}


def test_a_weight_multiplied_along_either_axis_is_left_alone() -> None:
    body = "n = LayerNormalization(x, gamma, beta) a = MatMul(n, w1) t = Transpose(w1) b = MatMul(n, t) y = Add(a, b)"
    assert reasons(smoothed(drawn(body))) == {"w1": "multiplied along either axis"}


def test_a_weight_that_callers_see_is_left_alone() -> None:
    model = drawn(AFTER)
    model.graph.inputs.append(model.graph.initializers["w1"])
    assert reasons(smoothed(model)) == {"w1": "is an input or an output of the graph as well"}


def test_half_precision_is_left_alone() -> None:
    body = "n = LayerNormalization(x, gamma, beta) h = Cast <to = 10> (n) wh = Cast <to = 10> (w1) a = MatMul(h, wh) "
    model = drawn(body + "y = Cast <to = 1> (a)")
    assert not smoothed(model).is_changed


def test_a_product_in_a_branch_is_left_alone() -> None:
    branch = "y = If (flag) < then_branch = t () => (float[N, S, M] p) { p = MatMul(n, w1) }, "
    branch += "else_branch = e () => (float[N, S, M] q) { q = Identity(n) } >"
    model = drawn("n = LayerNormalization(x, gamma, beta) k = MatMul(n, w1) " + branch, more=", bool flag")
    seen = samples(flag=np.array(True))
    result = smoothed(model, seen)
    assert not result.is_changed
    assert reasons(result) == {"w1": "used by MatMul p as well, which takes no smoothed activation"}


def test_small_weights_are_left_alone() -> None:
    assert not smoothed(drawn(AFTER), min_elements=FEATURES * FEATURES + 1).is_changed


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_weights_or_activations_without_a_size_are_left_alone(value: float) -> None:
    model = drawn(BEFORE.replace("b = MatMul(n, w2) c = Add(a, b)", "c = Identity(a)"))
    weight = model.graph.initializers["w1"]
    weight.const_value = ir.tensor(np.full((FEATURES, FEATURES), value, np.float32), name="w1")
    assert reasons(smoothed(model)) == {
        "n": "its features, or those of its weights, are all zero, not finite or of extreme size"
    }


def test_a_model_that_does_not_run_is_left_alone_in_words() -> None:
    wrong = Samples(batches=({"x": np.zeros((1, 1, 3), np.float32)},), generated=True, description="three features")
    result = smoothed(drawn(AFTER), wrong)
    assert not result.is_changed
    assert result.note.startswith("left as it was: the model does not run on x 1x1x3")


def test_nothing_is_done_without_runs() -> None:
    result = next(SmoothActivations().attempts(drawn(AFTER), None))
    assert not result.is_changed
    assert result.note == "left as it was: it must see the model run, and nothing was run"


@pytest.mark.parametrize("options", [{"strength": 1.5}, {"most_error": -0.1}], ids=str)
def test_shares_outside_0_to_1_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="it takes a share from 0 to 1"):
        SmoothActivations(**options)  # type: ignore[arg-type]  # options differ in type


def test_a_feature_that_is_quiet_in_the_samples_does_not_coarsen_the_others_elsewhere() -> None:
    model = drawn(AFTER)
    quiet = [9]
    for name in ("gamma", "beta"):
        vector = model.graph.initializers[name]
        assert vector.const_value is not None
        numbers = vector.const_value.numpy().copy()
        numbers[quiet] = 0
        vector.const_value = ir.tensor(numbers, name=name)
    result = smoothed(model)
    factor = next(node for node in result.model.graph if node.op_type == "Mul").inputs[1]
    assert factor is not None
    assert factor.const_value is not None
    factors = factor.const_value.numpy()
    assert factors[quiet[0]] <= 8 * np.median(factors)


def test_the_chain_lets_the_pass_see_the_model_run(tmp_path: Path) -> None:
    model = drawn(AFTER)
    save(model, tmp_path / "in.onnx")
    recipe = Recipe.from_names(["smooth", "quantize"])
    seen = compress(tmp_path / "in.onnx", tmp_path / "seen.onnx", recipe=recipe)
    blind = compress(tmp_path / "in.onnx", tmp_path / "blind.onnx", recipe=recipe, verify=False)
    first, last = seen.steps
    assert first.outcome is Outcome.KEPT
    assert first.fidelity is not None
    assert first.fidelity.is_bit_identical
    assert first.reason.startswith("seen on generated inputs")
    assert last.outcome is Outcome.KEPT
    assert blind.steps[0].outcome is Outcome.UNCHANGED
    right = np.concatenate([batch.reshape(-1) for batch in outputs(model)])
    errors = [
        np.abs(np.concatenate([batch.reshape(-1) for batch in outputs(load(tmp_path / name))]) - right).mean()
        for name in ("seen.onnx", "blind.onnx")
    ]
    assert errors[0] < errors[1] / 2


@pytest.mark.parametrize("names", list(permutations(PASSES)), ids="+".join)
def test_it_works_before_and_after_any_other_pass(names: tuple[str, ...]) -> None:
    original = drawn(AFTER)
    seen = Observer(samples())
    model = original
    for name in names:
        model = next(PASSES[name]().attempts(model.clone(), seen)).model
    right, wrong = (np.concatenate([batch.reshape(-1) for batch in outputs(m)]) for m in (original, model))
    error = float(np.linalg.norm(wrong - right) / np.linalg.norm(right))
    is_smoothed_in_time = names.index("smooth") < names.index("quantize")
    plain = error_in_int8(original, original)
    assert error < (plain / 2 if is_smoothed_in_time else 1.1 * plain)
    assert all(value.uses() for value in model.graph.initializers.values())


def test_the_same_model_is_smoothed_into_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.onnx", "two.onnx"):
        save(next(SmoothActivations().attempts(drawn(AFTER), Observer(samples()))).model, tmp_path / name)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()
