"""The engine keeps what it logs to itself."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from compressor.passes.engines.onnxscript_fusions import optimize
from tests.passes.fusions.fusing import draw, normal


def unfit_for_shape_inference() -> ir.Model:
    """A product whose sizes do not fit, behind an attention."""
    return draw(
        "g (float[B, S, 8] x) => (float[B, S, C] y) { k = Transpose <perm=[0, 2, 1]> (x) s = MatMul(x, k) "
        "p = Softmax <axis=-1> (s) c = MatMul(p, x) y = MatMul(c, w) }",
        {"w": normal(5, 8)},
    )


def test_logs_nothing_where_shapes_cannot_be_inferred(caplog: pytest.LogCaptureFixture) -> None:
    optimize(unfit_for_shape_inference(), 0, 0)
    assert not caplog.records
