#!/usr/bin/env python3
"""Write a synthetic model of a given size, its weights in a file beside it, every other layer a copy of the one before.

python benchmarks/make_large.py large.onnx --gigabytes 3
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

WIDTH = 4096
LAYER_BYTES = 4 * WIDTH * WIDTH


def write(path: Path, layers: int) -> None:
    """A chain of products, each scaled so that values neither grow nor fade, with a Relu between."""
    data = path.with_name(path.name + ".data")
    random = np.random.default_rng(0)
    with data.open("wb") as file:
        for number in range(layers):
            if number % 2 == 0:
                weight = random.standard_normal((WIDTH, WIDTH), dtype=np.float32) * np.float32((2 / WIDTH) ** 0.5)
            weight.tofile(file)
    nodes = []
    for number in range(layers):
        nodes.append(helper.make_node("MatMul", [f"x{number}", f"weight.{number}"], [f"product{number}"]))
        nodes.append(helper.make_node("Relu", [f"product{number}"], [f"x{number + 1}"]))
    shape: list[str | int | None] = ["batch", "sequence", WIDTH]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{layers}", TensorProto.FLOAT, shape)],
        [_stored(f"weight.{number}", data.name, number) for number in range(layers)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _stored(name: str, location: str, number: int) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", number * LAYER_BYTES), ("length", LAYER_BYTES)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--gigabytes", type=float, default=3.0)
    options = parser.parse_args()
    write(options.path, round(options.gigabytes * 1e9 / LAYER_BYTES))


if __name__ == "__main__":
    main()
