"""Sums of int8 products that can saturate are named; whether they do is told by running without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from compressor.comparison import compare
from compressor.evaluation import saturation
from compressor.evaluation.contract import Refusal
from compressor.evaluation.judge import Judge, appoint_judge
from compressor.evaluation.saturation import EXACT_SUMS, explain_saturation, weights_that_may_saturate
from compressor.report import Fidelity
from tests.passes.quantization.drawn import Array, draw, normal, quantize

AVX2 = "avx2 without vnni (16-bit sums saturate)"
INTEGER = """g (float[N, 4] x) => (float[N, 2] y) {
    q, s, z = DynamicQuantizeLinear(x) i = MatMulInteger(q, %s, z) f = Cast<to = 1>(i) y = Mul(f, s)
}"""


def integer(weight: Array, text: str = INTEGER % "w") -> ir.Model:
    return ir.from_proto(draw(text, w=weight))


def columns(*first: int) -> Array:
    """A weight whose first column is given and whose second is small."""
    return np.array([[value, 1] for value in first], np.int8)


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (columns(127, 2, 0, 0), ["w"]),
        (columns(127, 1, 0, 0), []),
        (columns(-127, -2, 0, 0), ["w"]),
        (columns(1, 127, 127, 1), []),
        (columns(0, 0, -128, -1), ["w"]),
        (columns(1, 1, 127)[:3], []),
    ],
)
def test_two_neighbours_along_the_sum_may_be_too_large_together(weight: Array, expected: list[str]) -> None:
    text = (INTEGER % "w").replace("[N, 4]", f"[N, {len(weight)}]")
    assert weights_that_may_saturate(integer(weight, text)) == expected


def test_a_weight_without_elements_saturates_nothing() -> None:
    text = (INTEGER % "w").replace("float[N, 2] y", "float[N, 0] y")
    assert weights_that_may_saturate(integer(np.zeros((4, 0), np.int8), text)) == []


def test_neighbours_are_found_through_a_transpose() -> None:
    text = INTEGER.replace("{", "{ t = Transpose<perm = [1, 0]>(w)") % "t"
    assert weights_that_may_saturate(integer(columns(127, 2, 0, 0).T.copy(), text)) == ["w"]
    assert weights_that_may_saturate(integer(np.array([[127, 1, 0, 0], [127, 1, 0, 0]], np.int8), text)) == []


@pytest.mark.parametrize("block", [1, 40, 1 << 20])
@pytest.mark.parametrize("place", [(0, 0, 0), (0, 6, 3), (2, 2, 1), (2, 7, 9)], ids=str)
def test_a_pair_is_found_wherever_it_is(
    place: tuple[int, int, int], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saturation, "_BLOCK_ELEMENTS", block)
    stacked = np.ones((3, 9, 10), np.int8)
    matrix, row, column = place
    stacked[matrix, row, column] = -127
    text = """g (float[N, 9] x) => (float[3, N, 10] y) {
        q, s, z = DynamicQuantizeLinear(x) i = MatMulInteger(q, w, z) f = Cast<to = 1>(i) y = Mul(f, s)
    }"""
    assert weights_that_may_saturate(integer(stacked, text)) == []
    stacked[matrix, row + 1 - 2 * (row % 2), column] = 2
    assert weights_that_may_saturate(integer(stacked, text)) == ["w"]


@pytest.mark.parametrize("graph", [
    "g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }",
    "g (float[N, 32] x) => (float[N, 64] y) { y = Gemm<transB = 1>(x, w) }",
])  # fmt: skip
def test_no_weight_of_ours_may(graph: str) -> None:
    result = quantize(draw(graph, w=normal(64, 32)))
    assert result.counts["weights_quantized"] == 1
    assert weights_that_may_saturate(result.model) == []


def judged(model: ir.Model) -> tuple[Judge, ir.Model, Fidelity]:
    judge = appoint_judge(model, seed=0)
    assert isinstance(judge, Judge)
    fidelity = judge.compare(model)
    assert isinstance(fidelity, Fidelity)
    return judge, model, fidelity


def test_on_a_processor_with_vnni_it_warns_of_others() -> None:
    model = integer(columns(127, 127, 0, 0))
    said = explain_saturation(*judged(model), "avx512-vnni")
    assert said == (
        "sums of int8 products with 1 weights, such as 'w', can saturate on x86 processors without VNNI: "
        "outputs may differ more there than on this one"
    )


def test_on_one_without_it_runs_again_with_exact_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    original = Judge.compare

    def compare_and_note(self: Judge, model: ir.Model, config: dict[str, str] | None = None) -> Fidelity | Refusal:
        asked.append(config)
        return original(self, model, config)

    judge, model, fidelity = judged(integer(columns(127, 127, 0, 0)))
    monkeypatch.setattr(Judge, "compare", compare_and_note)
    said = explain_saturation(judge, model, fidelity, AVX2)
    assert asked == [EXACT_SUMS]
    assert "outputs differ by max rel 0.0e+00 instead of 0.0e+00" in said


def test_a_runtime_that_refuses_exact_sums_leaves_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, model, fidelity = judged(integer(columns(127, 127, 0, 0)))
    monkeypatch.setattr(Judge, "compare", lambda *_: Refusal(reason="is not loaded"))
    assert "is not known, since without it the candidate is not loaded" in explain_saturation(
        judge, model, fidelity, AVX2
    )


def test_a_comparison_warns(tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = draw("g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }", w=normal(64, 32))
    onnx.save(model, tmp_path / "model.onnx")
    quantize_dynamic(tmp_path / "model.onnx", tmp_path / "theirs.onnx", weight_type=QuantType.QInt8)
    found = compare(tmp_path / "model.onnx", tmp_path / "theirs.onnx", atol=10)
    assert any("sums of int8 products" in warning for warning in found.warnings)
