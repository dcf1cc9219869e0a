"""The whole command on a model of 1 GB, in a process that gets a third of that memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of data count what is mapped on Linux alone")

FEATURES, OUTPUTS, COPIES = 2048, 32768, 4
WEIGHT_BYTES = 4 * FEATURES * OUTPUTS
"""268 MB; four of them are in the file, all equal."""

LIMIT = 350_000_000
"""Bytes of private memory, libraries and the stacks of threads included, which take 150 to 200 million."""

WITHIN = """
import resource, sys
from compressor.cli import main
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["compressor", *sys.argv[2:]]
main()
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four products; of each weight, one row in 64 holds numbers, and the others are holes in the file."""
    folder = tmp_path_factory.mktemp("large")
    random = np.random.default_rng(0).standard_normal((8, OUTPUTS)).astype(np.float32)
    tensors = []
    with (folder / "model.data").open("wb") as file:
        file.truncate(COPIES * WEIGHT_BYTES)
        for number in range(COPIES):
            for row in range(0, FEATURES, 64):
                file.seek(number * WEIGHT_BYTES + row * 4 * OUTPUTS)
                file.write(random[row // 64 % 8].tobytes())
            tensor = TensorProto(name=f"w{number}", data_type=TensorProto.FLOAT, dims=(FEATURES, OUTPUTS))
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", "model.data"), ("offset", number * WEIGHT_BYTES), ("length", WEIGHT_BYTES)):
                tensor.external_data.add(key=key, value=str(value))
            tensors.append(tensor)
    nodes = [helper.make_node("MatMul", ["x", tensor.name], [f"y{tensor.name}"]) for tensor in tensors]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])
    ys = [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, ["n", OUTPUTS]) for node in nodes]
    graph = helper.make_graph(nodes, "g", [x], ys, tensors)
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("scheme", "smallest", "largest"), [("dynamic", 67, 68), ("blockwise-4", 33, 45), ("fp16", 134, 135)]
)
def test_a_model_larger_than_the_memory_is_deduplicated_and_quantized(
    scheme: str, smallest: float, largest: float, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.onnx"
    arguments = ["compress", model, "-o", out, "--passes", "deduplicate,quantize", "--scheme", scheme, "--no-verify"]
    command = [sys.executable, "-c", WITHIN, str(LIMIT), *map(str, arguments), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert smallest <= out.stat().st_size / 1e6 <= largest
