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

FIXTURES = sorted((Path(__file__).parents[2] / "fixtures").glob("*.onnx"))
SMALL = 1024
"""Fixtures are tiny, so that the default would leave most of their weights alone."""

LEAST_COSINE = 0.99
"""Worst output row of the fixtures; right results are above 0.999 for most, one wrong scale brings them under 0.9."""

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
@pytest.mark.parametrize("options", [{}, {"weight_type": WeightType.UINT8}, {"scheme": Scheme.WEIGHT_ONLY}], ids=str)
def test_a_real_export_stays_near_the_original(path: Path, options: dict[str, Any]) -> None:
    result = QuantizeDynamic(min_elements=SMALL, **options).run(load(path))
    assert result.is_changed
    verdict = judge_of(path).judge(result.model)
    assert isinstance(verdict, Verdict), verdict
    worst = verdict.fidelity.worst_cosine
    assert worst is not None
    assert worst > LEAST_COSINE


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


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def draw(text: str, **weights: Array) -> onnx.ModelProto:
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]>' + text)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return model


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
