"""A weight that is asked for its shape is stored in integers all the same."""

from __future__ import annotations

import numpy as np
import pytest

from compressor.passes.quantization.options import Scheme
from tests.passes.quantization.drawn import assert_near, draw, normal, operators, quantize, run_both


@pytest.mark.parametrize("scheme", Scheme)
@pytest.mark.parametrize("question", ["s = Shape(w) h = MatMul(x, w)", "h = MatMul(x, w) s = Shape(w)"])
def test_a_question_for_the_shape_leaves_a_scale_to_each_output(question: str, scheme: Scheme) -> None:
    model = draw(
        "g (float[N, 64] x) => (float[N, 32] y, int64[2] t)" + "{" + question + " y = Identity(h) t = Identity(s) }",
        w=normal(64, 32) * np.geomspace(1e-3, 1e3, 32, dtype=np.float32),
    )
    result = quantize(model, scheme=scheme)
    assert result.counts["weights_quantized"] == 1
    pairs = run_both(model, result, x=normal(8, 64, seed=1))
    assert [actual.tolist() for expected, actual in pairs if expected.dtype == np.int64] == [[64, 32]] * 2


def test_the_shape_is_that_of_the_rearranged_weight() -> None:
    model = draw(
        "g (float[N, 32] x) => (float[N, 64] y, int64[2] s)"
        "{ t = Transpose<perm = [1, 0]>(w) s = Shape(t) y = MatMul(x, t) }",
        w=normal(64, 32),
    )
    result = quantize(model)
    assert result.counts["shapes_asked_of_integers"] == 1
    assert "MatMulInteger" in operators(result)
    pairs = run_both(model, result, x=normal(8, 32, seed=1))
    assert [actual.tolist() for expected, actual in pairs if expected.dtype == np.int64] == [[32, 64]] * 2


def test_the_number_of_elements_is_that_of_the_weight() -> None:
    model = draw(
        "g (float[N, 64] x) => (float[N, 32] y) { h = MatMul(x, w) n = Size(w) f = Cast<to = 1>(n) y = Div(h, f) }",
        w=normal(64, 32),
    )
    assert_near(model, quantize(model), x=normal(8, 64, seed=1))
