"""The pass as a whole: real exports, files, and the runtime's own quantizer where that is right and where it is not."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from compressor.evaluation import judge as judging
from compressor.evaluation.judge import Judge, Verdict, appoint_judge
from compressor.model.load import load
from compressor.model.save import save
from compressor.model.session import open_session
from compressor.model.size import measure
from compressor.passes.deduplicate import DeduplicateInitializers
from compressor.passes.quantization.options import Scheme, WeightType
from compressor.passes.quantize import QuantizeDynamic
from tests.passes.quantization.drawn import draw, normal

FIXTURES = sorted((Path(__file__).parents[2] / "fixtures").glob("*.onnx"))
SMALL = 1024
"""Fixtures are tiny, so that the default would leave most of their weights alone."""

LEAST_COSINE = 0.99
"""Worst output row of the fixtures; right results are above 0.999 for most, one wrong scale brings them under 0.9."""

LEAST_COSINE_OF_4_BITS = 0.9
"""Four bits leave 0.958 on the least of them, an ALBERT of random weights whose one layer runs four times."""

every_fixture = pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
Array = NDArray[Any]


@pytest.fixture(autouse=True)
def no_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict times both models; nothing here looks at that."""
    monkeypatch.setattr(judging, "LATENCY_SECONDS", 0.0)


@cache
def judge_of(path: Path) -> Judge:
    judge = appoint_judge(load(path), seed=0)
    assert isinstance(judge, Judge), judge
    return judge


@every_fixture
@pytest.mark.parametrize(
    "options", [{"weight_type": WeightType.UINT8}, *({"scheme": scheme} for scheme in Scheme)], ids=str
)
def test_a_real_export_stays_near_the_original(path: Path, options: dict[str, Any]) -> None:
    result = QuantizeDynamic(min_elements=SMALL, **options).run(load(path))
    if options.get("scheme") is Scheme.FP16 and "fp16" in path.stem:
        assert not result.is_changed
        return
    assert result.is_changed
    verdict = judge_of(path).judge(result.model)
    assert isinstance(verdict, Verdict), verdict
    worst = verdict.fidelity.worst_cosine
    assert worst is not None
    assert worst > (LEAST_COSINE_OF_4_BITS if options.get("scheme") is Scheme.BLOCKWISE_4 else LEAST_COSINE)


@every_fixture
def test_every_large_weight_that_stays_float_has_a_reason(path: Path) -> None:
    result = QuantizeDynamic(min_elements=SMALL).run(load(path))
    explained = sum(skip.weight_bytes for skip in result.skipped)
    left = sum(
        tensor.nbytes
        for value in result.model.graph.initializers.values()
        if (tensor := value.const_value) is not None
        and tensor.dtype.is_floating_point()
        and tensor.size >= SMALL
        and not (value.name or "").endswith("_scale")
    )
    assert left <= explained


@every_fixture
def test_what_is_written_gives_what_was_measured_in_memory(path: Path, tmp_path: Path) -> None:
    result = QuantizeDynamic(min_elements=SMALL).run(load(path))
    out = tmp_path / "out.onnx"
    save(result.model, out)
    judge = appoint_judge(result.model, seed=0)
    assert isinstance(judge, Judge), judge
    verdict = judge.judge(load(out))
    assert isinstance(verdict, Verdict), verdict
    assert verdict.fidelity.is_bit_identical
    before, after = measure(load(path)), measure(load(out))
    assert after.total_bytes < before.total_bytes


@every_fixture
def test_leaves_no_duplicates_behind_deduplication(path: Path) -> None:
    model = DeduplicateInitializers().run(load(path)).model
    result = QuantizeDynamic(min_elements=SMALL).run(model)
    assert not DeduplicateInitializers().run(result.model).counts.get("initializers_merged")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of what is read from weights."""
    from compressor.model import weights

    lengths: list[int] = []
    original = weights.StoredWeight.read

    def read(self: weights.StoredWeight, start: int, stop: int) -> bytes:
        lengths.append(stop - start)
        return original(self, start, stop)

    monkeypatch.setattr(weights.StoredWeight, "read", read)
    return lengths


def test_no_large_weight_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[int]) -> None:
    """Blocks only, in the pass and when the integers are written; of a third reading no more than may be held."""
    from compressor.passes.quantization import channels, noise

    monkeypatch.setattr(noise, "HELD_ELEMENTS", 1 << 18)
    model = draw("g (float[N, 2048] x) => (float[N, 1024] y) { y = MatMul(x, w) }", w=normal(2048, 1024))
    onnx.save(model, tmp_path / "model.onnx")
    result = QuantizeDynamic().run(load(tmp_path / "model.onnx"))
    assert result.counts["matmul_in_int8"] == 1
    assert 0 < max(reads) <= channels._BLOCK_ELEMENTS * 4
    assert sum(reads) == 4 * (2048 * 1024 + (1 << 18))
    reads.clear()
    save(result.model, tmp_path / "out.onnx")
    assert max(reads) <= channels._BLOCK_ELEMENTS * 4
    assert sum(reads) == 4 * 2048 * 1024


def test_a_weight_that_may_be_held_is_read_once_for_scales_and_noise(tmp_path: Path, reads: list[int]) -> None:
    model = draw("g (float[N, 512] x) => (float[N, 512] y) { y = MatMul(x, w) }", w=normal(512, 512))
    onnx.save(model, tmp_path / "model.onnx")
    result = QuantizeDynamic().run(load(tmp_path / "model.onnx"))
    assert result.quantization is not None
    assert result.quantization.worst[0].sqnr_db > 35
    assert reads == [4 * 512 * 512]


def relative_errors(model: onnx.ModelProto, folder: Path, feeds: dict[str, Array]) -> tuple[float, float]:
    """Largest error relative to the largest value: ours, and that of ONNX Runtime's quantizer per channel."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source, theirs = folder / "source.onnx", folder / "theirs.onnx"
    onnx.save(model, source)
    quantize_dynamic(source, theirs, per_channel=True, weight_type=QuantType.QInt8)
    ours = QuantizeDynamic(min_elements=1).run(load(source))
    assert ours.is_changed
    expected = ort.InferenceSession(source).run(None, feeds)

    def error(actual: list[Array]) -> float:
        return max(
            float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(expected, actual, strict=True) if a.size
        )

    return error(open_session(ours.model).run(None, feeds)), error(ort.InferenceSession(theirs).run(None, feeds))


INT8_ERROR = 0.03
"""Twice the largest error seen of right products of this size."""


@pytest.mark.parametrize(
    "text",
    [
        "g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }",
        "g (float[N, 64] x) => (float[N, 32] y) { y = Gemm(x, w, b) }",
        "g (float[N, 64] x) => (float[N, 32] y) { h = MatMul(x, w) y = Add(h, b) }",
    ],
)
def test_agrees_with_the_runtimes_quantizer_where_that_is_right(text: str, tmp_path: Path) -> None:
    model = draw(text, w=normal(64, 32), b=normal(32, seed=2))
    ours, theirs = relative_errors(model, tmp_path, {"x": normal(64, 64, seed=1)})
    assert ours < INT8_ERROR
    assert ours == pytest.approx(theirs, rel=0.5)


def test_is_right_where_the_runtimes_quantizer_is_wrong_on_a_shared_gemm_weight(tmp_path: Path) -> None:
    model = draw(
        "g (float[N, 48] x) => (float[N, 48] y, float[N, 48] z)"
        "{ y = Gemm<transB = 1>(x, w, b) z = Gemm<transB = 1>(y, w, b) }",
        w=normal(48, 48), b=normal(48, seed=2),
    )  # fmt: skip
    ours, theirs = relative_errors(model, tmp_path, {"x": normal(64, 48, seed=1)})
    assert ours < INT8_ERROR < 0.5 < theirs


def integers_and_scales(model: onnx.ModelProto, of: str) -> tuple[Array, Array]:
    """The int8 form of the weight `of` and its scales, whatever a quantizer calls them."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    (integers,) = (array for name, array in tensors.items() if array.dtype == np.int8 and array.ndim == 2)
    scales = next(array for name, array in tensors.items() if name == f"{of}_scale")
    return integers, scales


def test_integers_are_those_of_the_runtimes_quantizer_but_for_a_step(tmp_path: Path) -> None:
    """Ours leave room for sums of two, so their step is larger by up to two; a large value beside a small one has none.

    In a column of pairs (large, 0) no sum exceeds the largest value, and both steps are the same.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    w = normal(64, 32)
    w[1::2] = 0
    onnx.save(draw("g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }", w=w), tmp_path / "source.onnx")
    quantize_dynamic(
        tmp_path / "source.onnx", tmp_path / "theirs.onnx", per_channel=True, weight_type=QuantType.QInt8,
        extra_options={"WeightSymmetric": True},
    )  # fmt: skip
    save(QuantizeDynamic(min_elements=1).run(load(tmp_path / "source.onnx")).model, tmp_path / "ours.onnx")
    ours, our_scales = integers_and_scales(onnx.load(tmp_path / "ours.onnx"), "w")
    theirs, their_scales = integers_and_scales(onnx.load(tmp_path / "theirs.onnx"), "w")
    assert our_scales == pytest.approx(their_scales, rel=0.01)  # they spread 255 steps, we 254
    assert np.abs(ours.astype(int) - theirs).max() <= 1


CONTRIB = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>'


def test_is_right_where_the_runtimes_quantizer_is_wrong_on_a_weight_of_gemm_and_matmul(tmp_path: Path) -> None:
    model = draw(
        "g (float[N, 48] x) => (float[N, 48] y) { h = Gemm<transB = 1>(x, w, b) y = MatMul(h, w) }",
        w=normal(48, 48), b=normal(48, seed=2),
    )  # fmt: skip
    ours, theirs = relative_errors(model, tmp_path, {"x": normal(64, 48, seed=1)})
    assert ours < INT8_ERROR < 0.5 < theirs


def test_keeps_the_bias_of_scores_that_the_runtimes_quantizer_drops(tmp_path: Path) -> None:
    model = draw(
        CONTRIB + "g (float[2, 6, 64] x, float[1, 1, 6, 6] bias) => (float[2, 6, 64] y)"
        '{ y = com.microsoft.Attention<num_heads = 4>(x, w, b, "", "", bias) }',
        w=0.1 * normal(64, 192), b=0.1 * normal(192, seed=2),
    )  # fmt: skip
    feeds = {"x": normal(2, 6, 64, seed=1), "bias": 3 * normal(1, 1, 6, 6, seed=3)}
    ours, theirs = relative_errors(model, tmp_path, feeds)
    assert ours < INT8_ERROR < 0.5 < theirs


@pytest.mark.parametrize(
    ("text", "weights", "feeds"),
    [
        (
            "g (int64[N] i) => (float[N, 100] y) { h = Gather(w, i) y = Gemm<transB = 1>(h, w, b) }",
            {"w": normal(100, 48), "b": normal(100, seed=2)},
            {"i": np.arange(100)},
        ),
        (
            "g (float16[N, 64] x) => (float16[N, 32] y) { y = MatMul(x, w) }",
            {"w": normal(64, 32).astype(np.float16)},
            {"x": normal(64, 64, seed=1).astype(np.float16)},
        ),
    ],
    ids=["a table tied to a Gemm", "float16"],
)
def test_gives_a_model_that_runs_where_the_runtimes_quantizer_does_not(
    text: str, weights: dict[str, Array], feeds: dict[str, Array], tmp_path: Path
) -> None:
    from onnxruntime.quantization import quantize_dynamic

    model = draw(text, **weights)
    onnx.save(model, tmp_path / "source.onnx")
    quantize_dynamic(tmp_path / "source.onnx", tmp_path / "theirs.onnx", per_channel=True)
    with pytest.raises(Exception, match="Load model"):  # the runtime's exceptions share no public base class
        ort.InferenceSession(tmp_path / "theirs.onnx")
    (expected,) = ort.InferenceSession(tmp_path / "source.onnx").run(None, feeds)
    ours = QuantizeDynamic(min_elements=1).run(load(tmp_path / "source.onnx"))
    (actual,) = open_session(ours.model).run(None, feeds)
    assert actual.dtype == expected.dtype
    assert 0 < np.abs(actual - expected).max() / np.abs(expected).max() < INT8_ERROR


def test_quantizes_a_constant_node_that_the_runtimes_quantizer_passes_over(tmp_path: Path) -> None:
    values = ", ".join(f"{value:.4f}" for value in normal(48, 48).reshape(-1))
    constant = f"Constant<value = float[48, 48] {{{values}}}>()"
    model = draw(f"g (float[N, 48] x) => (float[N, 48] y) {{ w = {constant} y = MatMul(x, w) }}")
    ours, theirs = relative_errors(model, tmp_path, {"x": normal(64, 48, seed=1)})
    assert 0 < ours < INT8_ERROR
    assert theirs == 0, "it quantizes this now; compare with it above instead"


@pytest.mark.parametrize(
    "text",
    [
        "g (float[N, 48] x) => (float[N, 48] y) { y = Gemm<alpha = 0.5>(x, w, b) }",
        "g (float[N, 48] x) => (float[N, 48] y) { v = Identity(w) h = MatMul(x, v) y = Add(h, b) }",
        "g (float[N, 48] x) => (float[N, 48] y) { v = Transpose(w) h = MatMul(x, v) y = Add(h, b) }",
    ],
    ids=["alpha", "Identity", "Transpose"],
)
def test_quantizes_what_the_runtimes_quantizer_passes_over(text: str, tmp_path: Path) -> None:
    model = draw(text, w=normal(48, 48), b=normal(48, seed=2))
    ours, theirs = relative_errors(model, tmp_path, {"x": normal(64, 48, seed=1)})
    assert 0 < ours < INT8_ERROR
    assert theirs < 1e-6, "it quantizes this now; compare with it above instead"
