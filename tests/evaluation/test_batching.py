"""Rows alone and together: dynamic scales make them differ, float arithmetic does not."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from compressor.evaluation.batching import ROWS_ALONE, measure_batching, scales_at_run_time
from compressor.evaluation.contract import Array, Samples
from compressor.model.session import open_session
from compressor.passes.quantization.options import Scheme
from compressor.report import Batching
from tests.passes.quantization.drawn import draw, normal, quantize

PRODUCT = "g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }"


def rows_of_different_size(count: int) -> Array:
    return normal(count, 64, seed=1) * np.geomspace(0.01, 1, count, dtype=np.float32)[:, None]


def found(model: onnx.ModelProto, scheme: Scheme = Scheme.DYNAMIC, **feeds: Array) -> Batching | None:
    result = quantize(model, scheme=scheme)
    samples = Samples(batches=[feeds], generated=True, description="")
    return measure_batching(open_session(ir.from_proto(model)), open_session(result.model), samples)


def test_a_small_row_beside_a_large_one_moves() -> None:
    batching = found(draw(PRODUCT, w=normal(64, 32)), x=rows_of_different_size(6))
    assert batching is not None
    assert batching.rows == ROWS_ALONE
    assert batching.max_rel > 1e-3
    assert batching.cosine_min is not None
    assert batching.cosine_min < 0.999
    assert batching.original_max_rel < 1e-5


def test_float_arithmetic_does_not_care() -> None:
    batching = found(draw(PRODUCT, w=normal(64, 32)), Scheme.WEIGHT_ONLY, x=rows_of_different_size(6))
    assert batching is not None
    assert batching.max_rel < 1e-5


def test_equal_rows_do_not_differ() -> None:
    batching = found(draw(PRODUCT, w=normal(64, 32)), x=np.repeat(normal(1, 64), 3, axis=0))
    assert batching is not None
    assert batching.max_rel == 0
    assert batching.rows == 3


def test_outputs_are_judged_each_by_its_own_size() -> None:
    model = draw(
        "g (float[N, 64] x) => (float[N, 32] y, float[N, 32] z) { y = MatMul(x, w) z = Mul(y, tiny) }",
        w=normal(64, 32), tiny=np.array(1e-6, np.float32),
    )  # fmt: skip
    alone = found(draw(PRODUCT, w=normal(64, 32)), x=rows_of_different_size(4))
    both = found(model, x=rows_of_different_size(4))
    assert alone is not None
    assert both is not None
    assert both.max_rel == pytest.approx(alone.max_rel, rel=1e-3)


def test_inputs_without_rows_are_given_whole() -> None:
    model = draw(
        "g (float[1, 64] bias, float[N, 64] x) => (float[N, 32] y, float[1, 64] b)"
        "{ s = Add(x, bias) y = MatMul(s, w) b = Neg(bias) }",
        w=normal(64, 32),
    )
    batching = found(model, bias=normal(1, 64), x=rows_of_different_size(4))
    assert batching is not None
    assert batching.rows == ROWS_ALONE


@pytest.mark.parametrize(
    "text",
    [
        "g (float[4, 64] x) => (float[4, 32] y) { y = MatMul(x, w) }",
        "g (float[N, 64] x, float[64, N] o) => (float[N, 32] y) { h = MatMul(x, o) k = MatMul(h, x) y = MatMul(k, w) }",
        "g (float[N, 64] x) => (float[N, 32] y)"
        "{ a = Constant<value_ints = [0]>() m = ReduceMean<axes = [0]>(x) h = Sub(x, m) y = MatMul(h, w) }",
    ],
    ids=["a fixed batch", "rows that are columns, too", "rows that the original mixes"],
)
def test_where_rows_cannot_be_told_apart_there_is_no_figure(text: str) -> None:
    model = draw(text, w=normal(64, 32))
    feeds = {"x": rows_of_different_size(4)}
    if "float[64, N] o" in text:
        feeds["o"] = feeds["x"].T
    assert found(model, Scheme.DYNAMIC, **feeds) is None


def test_one_row_is_no_batch() -> None:
    assert found(draw(PRODUCT, w=normal(64, 32)), x=rows_of_different_size(1)) is None


@pytest.mark.parametrize(("scheme", "expected"), [(Scheme.DYNAMIC, True), (Scheme.WEIGHT_ONLY, False)])
def test_knows_which_models_find_scales_at_run_time(scheme: Scheme, expected: bool) -> None:
    assert scales_at_run_time(quantize(draw(PRODUCT, w=normal(64, 32)), scheme=scheme).model) is expected
