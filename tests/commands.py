"""Run the command in this process, on a model that every pass but fuse has something to do with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from typer.testing import CliRunner, Result

from compressor.cli import app

TWICE = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 64] x) => (float[batch, 64] y)
{
    inner = MatMul(x, first)
    y = MatMul(inner, second)
}
"""
"""Two equal weights, so that every pass but fuse has something to do."""


def draw_twice(folder: Path) -> Path:
    """Write the model into `folder`."""
    drawn = onnx.parser.parse_model(TWICE)
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    for name in ("first", "second"):
        drawn.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    path = folder / "model.onnx"
    onnx.save(drawn, path)
    return path


def run(*arguments: str | Path) -> Result:
    """Type the command."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
