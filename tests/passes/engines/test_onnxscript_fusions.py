"""The engine keeps what it logs to itself."""

from __future__ import annotations

import contextlib

import pytest

from compressor.passes.engines.onnxscript_fusions import optimize
from compressor.passes.engines.workshop import EngineRefusal
from tests.passes.fusions.fusing import draw, normal


def test_logs_nothing_where_shapes_cannot_be_inferred(caplog: pytest.LogCaptureFixture) -> None:
    model = draw("g (float[B, S, 8] x) => (float[B, S, C] y) { y = MatMul(x, w) }", {"w": normal(5, 8)})
    with contextlib.suppress(EngineRefusal):
        optimize(model, 0, 0)
    assert not caplog.records
