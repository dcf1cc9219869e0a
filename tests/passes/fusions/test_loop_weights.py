"""Weights that a Loop hands round are read where they are."""

from __future__ import annotations

import numpy as np
import pytest

from compressor.model.session import open_session
from compressor.passes.quantize import QuantizeDynamic
from tests.passes.fusions.fusing import draw, fuse, normal, run

HANDED_ON = {
    "as it is": "w_in",
    "through Identity": "w_out",
}


def recurrence(handed_on: str, taken: str = "", weight: str = "w") -> str:
    """A recurrent layer as converters of TensorFlow write it: the weight goes in, is multiplied by, and comes out."""
    step = "w_out = Identity(w_in)" if handed_on == "w_out" else ""
    return f"""g (float[B, 64] x) => (float[B, 64] y) {{
        h, v = Loop(rounds, , x, {weight}) <body = step (int64 i, bool go, float[B, 64] h_in, float[64, 64] w_in)
            => (bool go_on, float[B, 64] h_out, float[64, 64] {handed_on}) {{
                m = MatMul(h_in, w_in) {step} h_out = Tanh(m) go_on = Identity(go) }}>
        {taken or "y = Identity(h)"} }}"""


WEIGHTS = {"rounds": np.asarray(3), "w": 0.2 * normal(64, 64, seed=1)}


@pytest.mark.parametrize("handed_on", HANDED_ON.values(), ids=HANDED_ON)
def test_a_weight_that_a_loop_hands_on_is_read_from_outside_and_quantized(handed_on: str) -> None:
    x = normal(2, 64)
    model = draw(recurrence(handed_on), WEIGHTS)
    result = fuse(model, {"x": x})
    assert result.counts["loop_weights_read_outside"] == 1
    quantized = QuantizeDynamic(min_elements=1000).run(result.model)
    assert quantized.counts["matmul_in_int8"] == 1
    (expected,), (actual,) = run(model, {"x": x}), open_session(quantized.model).run(None, {"x": x})
    np.testing.assert_allclose(actual, expected, atol=0.05)


def test_a_second_run_finds_nothing_to_do() -> None:
    result = fuse(draw(recurrence("w_in"), WEIGHTS), {"x": normal(2, 64)})
    assert not fuse(result.model, {"x": normal(2, 64)}).counts


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(recurrence("w_in", taken="y = MatMul(h, v)"), id="the weight is taken at the end"),
        pytest.param(recurrence("w_in").replace("w_in", "w"), id="its name means something else inside"),
        pytest.param(
            recurrence("w_out").replace("w_out = Identity(w_in)", "w_out = Neg(w_in)"), id="it changes on the way"
        ),
        pytest.param(
            recurrence("w_out").replace("h_out = Tanh(m)", "n = Add(m, h_in) k = MatMul(n, w_out) h_out = Tanh(k)"),
            id="what hands it on is read inside",
        ),
    ],
)
def test_a_weight_that_is_needed_where_it_goes_round_is_left_there(text: str) -> None:
    result = fuse(draw(text, WEIGHTS), {"x": normal(2, 64)})
    assert "loop_weights_read_outside" not in result.counts
