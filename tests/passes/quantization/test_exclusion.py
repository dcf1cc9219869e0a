"""What the user names stays float: weights, operators, layers, operator types; what matches nothing is reported."""

from __future__ import annotations

import onnx
import pytest

from tests.passes.quantization.drawn import assert_near, assert_unchanged, draw, normal, quantize, reasons

PLAIN = "g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }"
TWO = """g (float[8, 64] x, int64[8] i) => (float[8, 32] y, float[8, 64] z) {
    y = MatMul(x, w)
    z = Gather(table, i)
}"""


def plain(name: str = "", weight: str = "w") -> onnx.ModelProto:
    model = draw(PLAIN.replace("(x, w)", f'(x, "{weight}")'), **{weight: normal(64, 32)})
    model.graph.node[0].name = name
    return model


@pytest.mark.parametrize("glob", ["w", "?", "/encoder/layer.0/*", "*MatMul", "/encoder/layer.[0-3]/MatMul"])
def test_excludes_by_the_name_of_the_weight_or_the_operator(glob: str) -> None:
    model = plain(name="/encoder/layer.0/MatMul")
    result = quantize(model, exclude=("y", glob))
    assert reasons(result) == {"w": f"excluded by '{glob}'"}
    assert result.note == "nothing in this model is excluded by 'y'"
    assert_unchanged(model, result)


def test_an_operator_without_a_name_goes_by_its_output() -> None:
    model = plain()
    assert reasons(quantize(model, exclude=("y",))) == {"w": "excluded by 'y'"}


def test_a_name_that_is_spelled_out_need_not_be_escaped() -> None:
    model = plain(name="layers[0]/MatMul")
    assert reasons(quantize(model, exclude=("layers[0]/MatMul",))) == {"w": "excluded by 'layers[0]/MatMul'"}


@pytest.mark.parametrize("glob", ["encoder.layer.0", "encoder.layer.0.*", "*.query"])
def test_excludes_the_layers_that_the_newer_exporter_writes_down(glob: str) -> None:
    model = plain(name="node_MatMul_93")
    scopes = "['', 'encoder', 'encoder.layer.0', 'encoder.layer.0.query', 'linear']"
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    assert reasons(quantize(model, exclude=(glob,))) == {"w": f"excluded by '{glob}'"}


@pytest.mark.parametrize("scopes", ["[", "[" * 5000, "['a', 3, b]", "{}", "[1]", "__import__('os')"])
def test_scopes_that_are_no_list_of_names_match_nothing(scopes: str) -> None:
    model = plain()
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    result = quantize(model, exclude=("a",))
    assert result.counts["matmul_in_int8"] == 1


@pytest.mark.parametrize("operator", ["Gather", "ai.onnx.Gather"])
def test_excludes_by_the_type_of_the_operator(operator: str) -> None:
    model = draw(TWO, w=normal(64, 32), table=normal(100, 64))
    result = quantize(model, exclude_operators=(operator, "Conv"))
    assert reasons(result) == {"table": f"excluded by '{operator}'"}
    assert result.counts == {"weights_quantized": 1, "matmul_in_int8": 1}
    assert result.note == "nothing in this model is excluded by 'Conv'"


def test_a_type_of_another_domain_is_another_type() -> None:
    result = quantize(plain(), exclude_operators=("com.microsoft.MatMul",))
    assert result.counts["matmul_in_int8"] == 1
    assert "'com.microsoft.MatMul'" in result.note


def test_a_shared_weight_stays_float_for_all_its_uses() -> None:
    """Kept in float for one use and in integers for another it would be stored twice."""
    model = draw("g (float[N, 48] x) => (float[N, 48] y) { h = MatMul(x, w) y = MatMul(h, w) }", w=normal(48, 48))
    model.graph.node[0].name = "first"
    result = quantize(model, exclude=("first",))
    assert reasons(result) == {"w": "excluded by 'first'"}
    assert_unchanged(model, result)


def test_what_is_too_small_anyway_is_still_matched() -> None:
    model = draw(TWO, w=normal(64, 32), table=normal(100, 64))
    result = quantize(model, min_elements=4096, exclude=("w",))
    assert not result.note
    assert_near(model, result, x=normal(8, 64, seed=1), i=normal(8).argsort())
