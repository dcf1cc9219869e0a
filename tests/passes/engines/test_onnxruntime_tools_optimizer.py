"""onnxruntime_tools runs for real on the opsets it reads, and costs nothing where it is not asked."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter

import numpy as np
import onnx_ir as ir
import pytest

from compressor.model.load import load
from compressor.model.session import open_session
from compressor.passes.engines.onnxruntime_tools_optimizer import optimize
from compressor.passes.engines.workshop import EngineRefusal
from tests.conftest import FIXTURES

TOLERANCE = 1e-5
"""Largest difference of an output, whose values are near 1: a few roundings of float32 in two layers."""


def contrib(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph if node.domain == "com.microsoft")


def feeds(model: ir.Model) -> dict[str, np.ndarray]:
    """Rows with padding on the right, on the left, with a hole, and with none."""
    ids = np.random.default_rng(0).integers(4, 90, (4, 7))
    mask = np.array([[1, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 0, 1], [1] * 7])
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    return {str(value.name): given[str(value.name)] for value in model.graph.inputs}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("bert.eager.torchscript11", {"SkipLayerNormalization": 4, "BiasGelu": 2}),
        ("roberta.eager.torchscript12", {"SkipLayerNormalization": 2, "BiasGelu": 1}),
    ],
)
def test_fuses_what_it_knows_and_the_outputs_stay(name: str, made: dict[str, int]) -> None:
    model = load(FIXTURES / f"{name}.onnx")
    result = optimize(model, 4, 64)
    assert not contrib(model)
    assert contrib(result) == made
    before, after = (open_session(each).run(None, feeds(model)) for each in (model, result))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=TOLERANCE)


def test_refuses_opsets_it_would_fail_on() -> None:
    with pytest.raises(EngineRefusal, match="reads opset 11 and 12 only, the model has 17"):
        optimize(load(FIXTURES / "bert.sdpa.torchscript17.onnx"), 0, 0)


def test_does_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineRefusal, match="onnxruntime_tools is not installed"):
        optimize(load(FIXTURES / "bert.eager.torchscript11.onnx"), 0, 0)


def test_is_never_imported_into_the_process() -> None:
    """Its modules would stand in the way of those of the same names that ONNX Runtime ships."""
    program = (
        "import sys\n"
        "from compressor.model.load import load\n"
        "from compressor.passes.engines.choice import ENGINES\n"
        f"ENGINES['onnxruntime_tools'](load({str(FIXTURES / 'bert.eager.torchscript11.onnx')!r}), 4, 64)\n"
        "sys.exit('onnxruntime_tools' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=FIXTURES.parent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
