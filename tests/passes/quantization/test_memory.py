"""Memory: no more than blocks of a large weight are held, whether it lies in a file or is itself computed."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from compressor.model.files import DataFile
from compressor.model.weights import ComputedWeight, DetachedWeight, StoredWeight
from compressor.passes.contract import PassResult
from compressor.passes.quantization import blocks
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantization.sensitivity import measure_power
from compressor.passes.quantize import QuantizeDynamic
from compressor.passes.smoothing.matrix import channel_reach, measure_features, scaled_features
from tests.passes.quantization.drawn import HEADER, Array, normal

MB = 1 << 20
FEATURES, OUTPUTS = 1024, 8192
WEIGHT_BYTES = 4 * FEATURES * OUTPUTS
"""33.6 MB."""

MOST = 16 * MB
"""Half of the weight: what is allowed to be held at any time."""

PRODUCTS = {
    "inputs first": ((FEATURES, OUTPUTS), "y = MatMul(x, w)"),
    "outputs first": ((OUTPUTS, FEATURES), "y = Gemm<transB = 1>(x, w)"),
}


def peak(work: Callable[[], object]) -> int:
    """Most bytes that `work` held at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def in_a_file(shape: tuple[int, int], folder: Path) -> StoredWeight:
    """Every sixteenth row holds numbers, the others are a hole in the file."""
    rows, row_bytes = shape[0], 4 * shape[1]
    path = folder / "w.bin"
    with path.open("wb") as file:
        file.truncate(rows * row_bytes)
        for row in range(0, rows, 16):
            file.seek(row * row_bytes)
            file.write(normal(shape[1], seed=row).tobytes())
    return StoredWeight(DataFile(path), 0, ir.DataType.FLOAT, ir.Shape(shape), name="w")


def computed(shape: tuple[int, int], folder: Path) -> ComputedWeight:
    """What smoothing leaves: a weight in a file, whose features are multiplied when somebody asks."""
    factors = np.linspace(0.5, 2, FEATURES, dtype=np.float32)
    return scaled_features(in_a_file(shape, folder), shape.index(FEATURES), factors)


def model_of(weight: DetachedWeight, nodes: str) -> ir.Model:
    text = (
        f"{HEADER} g (float[N, {FEATURES}] x, float[{FEATURES}, {OUTPUTS}] w) => (float[N, {OUTPUTS}] y) {{ {nodes} }}"
    )
    model = ir.from_onnx_text(text)
    value = model.graph.inputs.pop(1)
    value.shape, value.const_value = ir.Shape(weight.shape), weight
    model.graph.register_initializer(value)
    return model


def read_result(result: PassResult) -> Iterator[int]:
    """Make every weight of a result, as when it is written."""
    for value in result.model.graph.initializers.values():
        if isinstance(value.const_value, ComputedWeight):
            yield sum(len(chunk) for chunk in value.const_value.chunks())


@pytest.mark.parametrize("source", [in_a_file, computed])
@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("scheme", list(Scheme))
def test_every_scheme_reads_and_writes_a_large_weight_in_blocks(
    scheme: Scheme,
    product: str,
    source: Callable[[tuple[int, int], Path], DetachedWeight],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "_TURNED_ELEMENTS", FEATURES * OUTPUTS // 3)  # they suit larger weights
    monkeypatch.setattr(blocks, "_STRIP_ELEMENTS", 1 << 18)
    shape, nodes = PRODUCTS[product]
    model = model_of(source(shape, tmp_path), nodes)

    def compress() -> None:
        result = QuantizeDynamic(scheme=scheme).run(model)
        assert result.counts["weights_quantized"] == 1
        (written,) = read_result(result)
        assert written >= WEIGHT_BYTES // 8

    assert peak(compress) < MOST


@pytest.mark.parametrize("shape", [shape for shape, _ in PRODUCTS.values()])
def test_smoothing_a_weight_that_is_smoothed_already_holds_a_block(shape: tuple[int, int], tmp_path: Path) -> None:
    weight, axis = computed(shape, tmp_path), shape.index(FEATURES)
    factor: Array = np.full(FEATURES, 2, np.float32)

    def smooth() -> None:
        measure_features(weight, axis)
        channel_reach(weight, axis, [factor])
        for _ in scaled_features(weight, axis, factor).chunks():
            pass

    assert peak(smooth) < MOST


def test_the_power_of_a_weight_with_a_single_first_index_is_measured_in_blocks(tmp_path: Path) -> None:
    """Such as the kernel of one group, or a matrix with an axis of one in front."""
    weight = in_a_file((FEATURES, OUTPUTS), tmp_path)
    nested = StoredWeight(weight.file, 0, weight.dtype, ir.Shape((1, FEATURES, OUTPUTS)), name="w")
    assert peak(lambda: measure_power(nested)) < MOST
