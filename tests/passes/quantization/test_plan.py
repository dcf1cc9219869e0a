"""What is left alone is left alone whole, and the reason says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compressor.errors import OptionError
from compressor.passes.quantization.options import Scheme, WeightType
from compressor.passes.quantize import QuantizeDynamic
from tests.passes.quantization.drawn import assert_near, assert_unchanged, draw, normal, quantize, reasons

PLAIN = "g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }"


def test_a_weight_that_is_an_input_as_well_may_be_overridden() -> None:
    model = draw("g (float[N, 64] x, float[64, 32] w) => (float[N, 32] y) { y = MatMul(x, w) }", w=normal(64, 32))
    result = quantize(model)
    assert reasons(result) == {"w": "is a graph input as well, so a caller may override it"}
    assert_unchanged(model, result)


@pytest.mark.parametrize("exposed", ["w", "t"])
def test_a_weight_that_is_an_output_stays(exposed: str) -> None:
    sizes = {"w": "64, 32", "t": "32, 64"}
    model = draw(
        f"g (float[N, 64] x) => (float[N, 32] y, float[{sizes[exposed]}] {exposed})"
        "{ y = MatMul(x, w) t = Transpose<perm = [1, 0]>(w) }",
        w=normal(64, 32),
    )
    result = quantize(model)
    assert reasons(result) == {"w": "is a graph output"}
    assert not result.counts


def test_an_unused_weight_is_reported() -> None:
    model = draw("g (float[N] x) => (float[N] y) { y = Neg(x) }", w=normal(64, 32))
    result = quantize(model)
    assert reasons(result) == {"w": "nothing uses it"}
    assert_unchanged(model, result)


def test_double_weights_stay_double() -> None:
    model = draw(PLAIN.replace("float", "double"), w=normal(64, 32).astype(np.float64))
    result = quantize(model)
    assert reasons(result) == {"w": "is double; only float32, float16 and bfloat16 weights are quantized"}
    assert_unchanged(model, result)


@pytest.mark.parametrize(
    "nodes",
    [
        "q = QuantizeLinear(x, s, z) h = DequantizeLinear(q, s, z) y = MatMul(h, w)",
        "h = DynamicQuantizeLinear(x) y = MatMul(x, w)",
    ],
)
def test_a_quantized_model_is_recognised_and_left_alone(nodes: str) -> None:
    if nodes.startswith("h"):
        nodes = nodes.replace("h =", "h, hs, hz =")
    model = draw(
        f"g (float[N, 64] x) => (float[N, 32] y) {{ {nodes} }}",
        w=normal(64, 32), s=np.array(0.1, np.float32), z=np.array(128, np.uint8),
    )  # fmt: skip
    result = quantize(model)
    (skip,) = result.skipped
    assert skip.candidate == "model"
    assert "quantized already" in skip.reason
    assert_unchanged(model, result)


@pytest.mark.parametrize(("least", "count"), [(2048, 1), (2049, 0)])
def test_small_weights_stay_float_and_are_reported(least: int, count: int) -> None:
    model = draw(PLAIN, w=normal(64, 32))
    result = quantize(model, min_elements=least)
    assert result.counts.get("weights_quantized", 0) == count
    assert reasons(result) == ({} if count else {"w": "has 2,048 elements, fewer than min_elements (2,049)"})
    assert sum(skip.weight_bytes for skip in result.skipped) == (0 if count else 8192)


def test_single_numbers_are_no_candidates() -> None:
    model = draw("g (float[N] x) => (float[N] y) { y = Mul(x, s) }", s=np.array(0.5, np.float32))
    assert not quantize(model, min_elements=4096).skipped


def test_a_negative_number_of_elements_is_refused() -> None:
    with pytest.raises(OptionError, match="min_elements is -1; it counts elements"):
        QuantizeDynamic(min_elements=-1)


def test_nothing_is_quantized_that_would_grow() -> None:
    model = draw("g (float[N, 8] x) => (float[N, 4] y) { y = MatMul(x, w) }", w=normal(8, 4))
    result = quantize(model)
    assert "not become smaller" in reasons(result)["w"]
    assert_unchanged(model, result)


@pytest.mark.parametrize("options", [{}, {"scheme": Scheme.WEIGHT_ONLY}, {"weight_type": WeightType.UINT8}])
@pytest.mark.parametrize(
    "body",
    [
        "h = MatMul(x, w) y = Add(h, b)",
        "h = Gather(w, i) y = Add(h, b)",
        "t = Transpose<perm = [1, 0]>(w) h = Gather<axis = 1>(t, i) s = Transpose<perm = [1, 0]>(h) y = Add(s, b)",
        "t = Gather(w, i) s = Transpose<perm = [1, 0]>(w) h = MatMul(t, s) y = Add(h, b)",
    ],
)
def test_running_twice_changes_nothing_the_second_time(body: str, options: dict[str, Any]) -> None:
    model = draw(
        f"g (float[8, 500] x, int64[8] i) => (float[8, 500] y) {{ {body} }}", w=normal(500, 500), b=normal(500)
    )
    once = quantize(model, **options)
    assert once.is_changed
    twice = QuantizeDynamic(min_elements=1, **options).run(once.model)
    assert not twice.is_changed
    assert "quantized already" in twice.skipped[0].reason
    assert_near(model, twice, x=normal(8, 500, seed=1), i=np.arange(8))


def test_bytes_that_are_data_do_not_make_a_model_quantized() -> None:
    model = draw(
        "g (uint8[N, 64] image) => (float[N, 32] y) { f = Cast<to = 1>(image) x = Mul(f, s) y = MatMul(x, w) }",
        w=normal(64, 32), s=np.array(1 / 255, np.float32),
    )  # fmt: skip
    assert quantize(model).counts["matmul_in_int8"] == 1
