"""Two integers in one byte are told from one."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from onnx import TensorProto, parser

from compressor.model.layers import layers_of
from compressor.model.size import measure

HEADER = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>'


def model_of(body: str) -> ir.Model:
    """A graph over ``b``: 256 bytes, all zero."""
    proto = parser.parse_model(f"{HEADER} g (float[n, 32] x) => (float[n, 16] y) {{ {body} }}")
    shape = [16, 1, 16]
    proto.graph.initializer.add(name="b", data_type=TensorProto.UINT8, dims=shape, raw_data=bytes(256))
    proto.graph.initializer.add(name="s", data_type=TensorProto.FLOAT, dims=[16], float_data=[1.0] * 16)
    return ir.from_proto(proto)


def product(of: str, bits: str) -> str:
    return f"com.microsoft.MatMulNBits <K: int = 32, N: int = 16, block_size: int = 32{bits}> (x, {of}, s)"


@pytest.mark.parametrize(
    ("body", "type_name"),
    [
        (f"y = {product('b', ', bits: int = 4')}", "UINT4"),
        (f"y = {product('b', '')}", "UINT4"),
        (f"y = {product('b', ', bits: int = 2')}", "UINT2"),
        (f"y = {product('b', ', bits: int = 8')}", "UINT8"),
        (f"t = Reshape(b, shape)  y = {product('t', ', bits: int = 4')}", "UINT4"),
        ("y = Cast<to = 1>(b)", "UINT8"),
        (f"y = {product('b', ', bits: int = 4')}  z = Cast<to = 1>(b)", "UINT8"),
        ("y = com.other.MatMulNBits(x, b, s)", "UINT8"),
        ("y = Identity(x)", "UINT8"),
    ],
    ids=["4 bits", "as usual", "2 bits", "8 bits", "reshaped", "as bytes", "both ways", "another domain", "unused"],
)
def test_bytes_are_counted_as_what_is_read_from_them(body: str, type_name: str) -> None:
    model = model_of(body)
    assert measure(model).weight_bytes == {type_name: 256, "FLOAT": 64}
    assert layers_of(model).weight_bytes == {type_name: 256, "FLOAT": 64}
