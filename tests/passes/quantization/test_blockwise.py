"""Blocks: one storage for every product and lookup of a weight, near the float model, or a reason why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from compressor.errors import OptionError
from compressor.model.load import load
from compressor.model.save import save
from compressor.model.session import open_session
from compressor.passes.contract import PassResult
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantize import QuantizeDynamic
from tests.passes.quantization.drawn import (
    HEADER,
    Array,
    assert_near,
    draw,
    normal,
    operators,
    quantize,
    reasons,
    run_both,
    uneven,
)

every_width = pytest.mark.parametrize("scheme", [Scheme.BLOCKWISE_8, Scheme.BLOCKWISE_4])
PRODUCT = "g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }"
TIED = """g (int64[N] ids) => (float[N, 100] y) {
    h = Gather(w, ids)  t = Transpose<perm = [1, 0]>(w)  y = MatMul(h, t) }"""


def large_tensors(result: PassResult, least_bytes: int) -> list[ir.TensorProtocol]:
    values = [value.const_value for value in result.model.graph.initializers.values()]
    return [tensor for tensor in values if tensor is not None and tensor.nbytes >= least_bytes]


def decoded_weight(result: PassResult, inputs: int) -> Array:
    """What the first product multiplies by, by the definition of MatMulNBits."""
    node = next(node for node in result.model.graph if node.op_type == "MatMulNBits")
    bits, size = node.attributes["bits"].as_int(), node.attributes["block_size"].as_int()
    arrays = [_constant(value) for value in node.inputs[1:]]
    packed, scales = arrays[0], arrays[1]
    integers = _unpacked(packed, bits).reshape(*scales.shape, size).astype(np.float64)
    zero: Any = 1 << bits - 1
    if len(arrays) > 2:
        zero = _unpacked(arrays[2], bits)[:, : scales.shape[1], None].astype(np.float64)
    return np.asarray(((integers - zero) * scales[..., None]).reshape(len(scales), -1)[:, :inputs].T)


def _constant(value: ir.Value | None) -> Array:
    assert value is not None
    node = value.producer()
    if node is not None and node.op_type == "Reshape":
        return _constant(node.inputs[0])
    assert value.const_value is not None
    return value.const_value.numpy()


def _unpacked(packed: Array, bits: int) -> Array:
    return packed if bits == 8 else np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], -1)


@every_width
@pytest.mark.parametrize("inputs", [64, 50, 17])
def test_a_product_differs_only_by_the_rounding_of_activations(inputs: int, scheme: Scheme) -> None:
    """Activations get 8 bits and a scale for each block, so each product of them is off by at most 1/254 of its block's
    largest activation, times the weight it meets."""
    model = draw(f"g (float[N, {inputs}] x) => (float[N, 32] y) {{ y = MatMul(x, w) }}", w=uneven(inputs, 32))
    result = quantize(model, scheme=scheme)
    assert operators(result) == ["MatMulNBits"]
    assert result.counts == {"weights_quantized": 1, "matmul_in_blocks": 1}
    x, w = normal(20, inputs, seed=1), decoded_weight(result, inputs)
    bound = np.abs(x).max(1, keepdims=True) / 254 * np.abs(w).sum(0, keepdims=True)
    for _, actual in run_both(model, result, x=x):
        assert (np.abs(actual - x @ w) <= bound * 1.01 + 1e-5).all()
    assert_near(model, result, x=x)


@every_width
@pytest.mark.parametrize("ids", [np.array(3, np.int64), np.array([[0, 7, -1], [99, 3, 3]], np.int64)])
@pytest.mark.parametrize("width", [64, 50])
def test_a_lookup_gives_the_stored_rows(ids: Array, width: int, scheme: Scheme) -> None:
    dims = ", ".join([*(str(size) for size in ids.shape), str(width)])
    given = f"[{', '.join(map(str, ids.shape))}]" if ids.ndim else ""
    table = uneven(100, width)
    model = draw(f"g (int64{given} ids) => (float[{dims}] y) {{ y = Gather(w, ids) }}", w=table)
    result = quantize(model, scheme=scheme)
    assert operators(result) == ["GatherBlockQuantized", *(["Slice"] if width % 32 else [])]
    assert result.counts["gather_in_blocks"] == 1
    step = np.abs(table).max() / (127 if scheme is Scheme.BLOCKWISE_8 else 7)
    for expected, actual in run_both(model, result, ids=ids):
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() <= step
    assert_near(model, result, channel_axis=None, ids=ids)


@every_width
@pytest.mark.parametrize("text", [TIED, TIED.replace("MatMul(h, t)", "Gemm(h, t)"),
                                  TIED.replace("MatMul(h, t)", "Gemm<transB = 1>(h, w)")])  # fmt: skip
@pytest.mark.parametrize("width", [64, 50])
def test_a_tied_table_is_stored_once(text: str, width: int, scheme: Scheme) -> None:
    model = draw(text, w=uneven(100, width))
    result = quantize(model, scheme=scheme)
    assert result.counts["gather_in_blocks"] == 1
    packed = large_tensors(result, 100 * width // 2)
    assert len(packed) == 1
    assert packed[0].shape.numpy() == (100, -(-width // 32) * 32 * (1 if scheme is Scheme.BLOCKWISE_8 else 0.5))
    assert_near(model, result, channel_axis=None, ids=np.arange(40))


@every_width
@pytest.mark.parametrize(
    "call",
    ["Gemm(x, w)", "Gemm(x, w, b)", "Gemm<alpha = 0.5, beta = 3.0>(x, w, b)", "Gemm<beta = 0.0>(x, w, b)",
     "Gemm<transB = 1>(x, w)", "Gemm<transA = 1, transB = 1, alpha = -2.0>(x, w, b)"],
)  # fmt: skip
def test_every_spelling_of_a_gemm_is_right(call: str, scheme: Scheme) -> None:
    model = draw(f"g (float[64, 64] x) => (float[64, 64] y) {{ y = {call} }}", w=uneven(64, 64), b=normal(64, seed=2))
    result = quantize(model, scheme=scheme)
    assert result.counts["gemm_in_blocks"] == 1
    assert_near(model, result, x=normal(64, 64, seed=1))


@every_width
@pytest.mark.parametrize("dtype", ["float16", "float"])
def test_a_weight_stored_in_another_float_type_is_quantized(dtype: str, scheme: Scheme) -> None:
    """A float16 model computes in float16; a bfloat16 weight cast to float32 is used as float32."""
    if dtype == "float16":
        model = draw(PRODUCT.replace("float", "float16"), w=uneven(64, 32).astype(np.float16))
        result = quantize(model, scheme=scheme)
        assert_near(model, result, x=normal(20, 64, seed=1).astype(np.float16))
    else:
        model = draw("g (float[N, 64] x) => (float[N, 32] y) { v = Cast<to = 1>(w) y = MatMul(x, v) }")
        bits = (uneven(64, 32).view(np.uint32) >> 16).astype(np.uint16)
        weight = onnx.TensorProto(name="w", dims=[64, 32], data_type=onnx.TensorProto.BFLOAT16, raw_data=bits.tobytes())
        model.graph.initializer.append(weight)
        result = quantize(model, scheme=scheme)
        assert_near(model, result, x=normal(20, 64, seed=1))
    assert [name for name in operators(result) if name != "Cast"] == ["MatMulNBits"]


HALF_PRODUCT = "g (float16[N, 64] x) => (float16[N, 32] y) { r = Relu(x) p = MatMul(r, w) y = Add(p, b) }"
HALF_GEMM = "g (float16[N, 64] x) => (float16[N, 32] y) { r = Relu(x) y = Gemm<alpha = 0.5>(r, w, b) }"
HALF_TIED = """g (int64[N] ids) => (float16[N, 100] y) {
    h = Gather(w, ids)  r = Relu(h)  p = Gemm<transB = 1>(r, w)  y = Relu(p) }"""


@every_width
@pytest.mark.parametrize("text", [HALF_PRODUCT, HALF_GEMM, HALF_TIED])
def test_float16_products_between_operators_without_float16_are_right(text: str, scheme: Scheme) -> None:
    """The runtime computes an operator between two that it has for float32 only in float32 as well."""
    shape = (100, 50) if text is HALF_TIED else (64, 32)
    model = draw(text, w=uneven(*shape).astype(np.float16), b=normal(32, seed=2).astype(np.float16))
    result = quantize(model, scheme=scheme)
    assert "MatMulNBits" in operators(result)
    feeds = {"ids": np.arange(20)} if text is HALF_TIED else {"x": normal(20, 64, seed=1).astype(np.float16)}
    assert_near(model, result, channel_axis=None, **feeds)


@every_width
def test_a_batch_does_not_change_a_row(scheme: Scheme) -> None:
    result = quantize(draw(PRODUCT, w=uneven(64, 32)), scheme=scheme)
    session = open_session(result.model)
    x = normal(5, 64, seed=1) * np.array([[1], [100], [1], [0.01], [1]], np.float32)
    together = session.run(None, {"x": x})[0]
    alone = np.concatenate([session.run(None, {"x": x[row : row + 1]})[0] for row in range(5)])
    # Kernels for one row and for several add in different orders, but from the same integers.
    assert (np.abs(together - alone) <= 1e-5 * np.abs(together).max(1, keepdims=True)).all()


@every_width
@pytest.mark.parametrize(
    ("text", "shape", "feed", "said"),
    [
        ("g (float[1, 8, 9, 9] x) => (float[1, 32, 7, 7] y) { y = Conv(x, w) }", (32, 8, 3, 3), (1, 8, 9, 9),
         "used by Conv y, without a form that reads blocks"),
        ("g (float[32, 64] x) => (float[64, 64] y) { y = MatMul(w, x) }", (64, 32), (32, 64),
         "used by MatMul y, without a form that reads blocks"),
        ("g (float[3, 9, 64] x) => (float[3, 9, 32] y) { y = MatMul(x, w) }", (3, 64, 32), (3, 9, 64),
         "used by MatMul y, without a form that reads blocks"),
        ("g (float[64, 64] x) => (float[64, 64] y, float[64, 64] z) { y = MatMul(x, w) z = Gemm<transB = 1>(x, w) }",
         (64, 64), (64, 64), "its uses want blocks along different axes"),
    ],
    ids=["Conv", "left operand", "batched weight", "both ways round"],
)  # fmt: skip
def test_what_reads_no_blocks_gets_8_bits_by_channel_and_is_named(
    text: str, shape: tuple[int, ...], feed: tuple[int, ...], said: str, scheme: Scheme
) -> None:
    model = draw(text, w=uneven(*shape))
    result = quantize(model, scheme=scheme)
    assert "MatMulNBits" not in operators(result)
    assert result.counts["weights_quantized"] == 1
    assert result.note == f"in 8 bits with a scale a channel instead of in blocks: w ({said})"
    assert_near(model, result, channel_axis=None, x=normal(*feed, seed=1))


def test_a_weight_that_nothing_decodes_stays_float_with_the_reason() -> None:
    model = draw("g (float[32, 32] x) => (float[32, 32] y) { h = MatMul(x, w) y = Add(h, w) }", w=normal(32, 32))
    result = quantize(model, scheme=Scheme.BLOCKWISE_4)
    assert not result.counts
    assert reasons(result) == {"w": "used in float by Add y"}


def with_outliers(value: float, every: int) -> Array:
    w = normal(64, 32)
    w[::every, 5] = value
    return w


def test_an_outlier_gets_finer_blocks_and_the_report_says_so() -> None:
    model = draw(PRODUCT, w=with_outliers(100, 64))
    result = quantize(model, scheme=Scheme.BLOCKWISE_4, block_size=64)
    assert "in finer blocks" in result.note
    assert "w (4 bits, blocks of 16)" in result.note
    assert_near(model, result, channel_axis=None, x=normal(20, 64, seed=1))


@every_width
def test_a_weight_full_of_outliers_stays_float(scheme: Scheme) -> None:
    result = quantize(draw(PRODUCT, w=with_outliers(1e6, 8)), scheme=scheme)
    assert reasons(result) == {"w": "most values in 1 of its 32 outputs would round to zero"}


@every_width
@pytest.mark.parametrize(
    ("value", "reason"),
    [(np.nan, "holds NaN or infinity"), (np.inf, "holds NaN or infinity"),
     (3e38, "holds values up to 3.0e+38, whose products overflow")],
)  # fmt: skip
def test_keeps_in_float_what_blocks_would_not_represent(value: float, reason: str, scheme: Scheme) -> None:
    result = quantize(draw(PRODUCT, w=with_outliers(value, 64)), scheme=scheme)
    assert reasons(result) == {"w": reason}


@every_width
def test_a_second_run_changes_nothing(scheme: Scheme) -> None:
    first = quantize(draw(TIED, w=uneven(100, 64)), scheme=scheme)
    second = QuantizeDynamic(min_elements=1, scheme=scheme).run(first.model)
    assert not second.counts
    assert second.skipped[0].reason == "is quantized already (1 GatherBlockQuantized, 1 MatMulNBits); left as it is"


@every_width
@pytest.mark.parametrize("is_external", [False, True])
def test_what_is_written_is_what_was_in_memory(is_external: bool, scheme: Scheme, tmp_path: Path) -> None:
    onnx.save(draw(TIED, w=uneven(100, 64)), tmp_path / "in.onnx", save_as_external_data=is_external, size_threshold=0)
    result = QuantizeDynamic(min_elements=1, scheme=scheme).run(load(tmp_path / "in.onnx"))
    save(result.model, tmp_path / "out.onnx")
    feeds = {"ids": np.arange(40)}
    in_memory = open_session(result.model).run(None, feeds)[0]
    assert (open_session(load(tmp_path / "out.onnx")).run(None, feeds)[0] == in_memory).all()


@pytest.mark.parametrize("opset", [7, 10])
def test_old_opsets_have_products_in_blocks_too(opset: int) -> None:
    model = draw(f'<ir_version: 4, opset_import: ["" : {opset}]>' + PRODUCT.replace("N", "8"), w=uneven(64, 32))
    result = quantize(model, scheme=Scheme.BLOCKWISE_4)
    assert operators(result) == ["MatMulNBits"]
    assert result.model.graph.opset_imports[""] == opset
    assert_near(model, result, x=normal(8, 64, seed=1))


def test_an_old_opset_cannot_cut_off_what_filled_a_row_up() -> None:
    text = '<ir_version: 4, opset_import: ["" : 10]> g (int64[4] ids) => (float[4, 50] y) { y = Gather(w, ids) }'
    model = draw(text, w=uneven(100, 50))
    result = quantize(model, scheme=Scheme.BLOCKWISE_8)
    assert result.counts["gather_in_int8"] == 1
    assert_near(model, result, channel_axis=None, ids=np.array([0, 7, 99, 3]))


@every_width
def test_a_product_in_a_function_declares_the_operators_it_uses(scheme: Scheme) -> None:
    text = (
        HEADER.replace('"" : 17', '"" : 17, "f" : 1')
        + """
        g (float[N, 64] x) => (float[N, 32] y) { y = f.layer(x) }
        <domain: "f", opset_import: ["" : 17]> layer (a) => (b) { w = Constant<value = float[64, 32] {WEIGHT}>()
        b = MatMul(a, w) }""".replace("WEIGHT", ", ".join(f"{v:.4f}" for v in uneven(64, 32).reshape(-1)))
    )
    model = draw(text)
    result = quantize(model, scheme=scheme)
    assert result.counts["matmul_in_blocks"] == 1
    assert_near(model, result, x=normal(20, 64, seed=1))


@pytest.mark.parametrize("size", [0, 8, 48, -32])
def test_refuses_a_size_that_the_operators_do_not_take(size: int) -> None:
    with pytest.raises(OptionError, match=f"block_size is {size}; it takes a power of two from 16 on"):
        QuantizeDynamic(block_size=size)


@pytest.mark.parametrize(("inputs", "expected"), [(192, 64), (256, 128), (40, 16), (100, 128), (50, 64), (16, 16)])
def test_takes_smaller_blocks_where_filling_up_large_ones_would_cost_more(inputs: int, expected: int) -> None:
    model = draw(f"g (float[N, {inputs}] x) => (float[N, 96] y) {{ y = MatMul(x, w) }}", w=uneven(inputs, 96))
    result = quantize(model, scheme=Scheme.BLOCKWISE_8, block_size=128)
    (node,) = (node for node in result.model.graph if node.op_type == "MatMulNBits")
    assert node.attributes["block_size"].as_int() == expected
    assert_near(model, result, x=normal(20, inputs, seed=1))
