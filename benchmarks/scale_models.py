"""Write models of any size without holding them: a table, products, copies, a transpose of the table, and zeros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

WIDTH = 2048
_BLOCK_ROWS = 512
_SHARD_BYTES = 1 << 29


class Storage(Enum):
    """Where weights lie."""

    EMBEDDED = "embedded"
    ONE_FILE = "one file"
    SHARDS = "shards"
    UNALIGNED = "unaligned"


@dataclass(frozen=True, slots=True)
class _Weight:
    """A matrix of float32: its rows are those of a random block in turns, or nothing but zeros."""

    name: str
    rows: int
    columns: int
    seed: int | None
    is_transposed: bool = False

    @property
    def length(self) -> int:
        return 4 * self.rows * self.columns

    def bands(self) -> Iterator[NDArray[np.float32]]:
        """Some rows at a time; of a transpose, all rows of a block's columns."""
        rows = self.columns if self.is_transposed else self.rows
        width = self.rows if self.is_transposed else self.columns
        values = np.random.default_rng(self.seed).standard_normal((_BLOCK_ROWS, width), np.float32) * width**-0.5
        if not self.is_transposed:
            for top in range(0, rows, _BLOCK_ROWS):
                yield values[: min(_BLOCK_ROWS, rows - top)] * (1 + top / rows)
            return
        factors = np.repeat([1 + top / rows for top in range(0, rows, _BLOCK_ROWS)], _BLOCK_ROWS)[:rows]
        repeated = np.tile(np.arange(_BLOCK_ROWS), -(-rows // _BLOCK_ROWS))[:rows]
        for column in range(0, width, 16):
            yield np.ascontiguousarray((values[repeated, column : column + 16] * factors[:, None].astype("f4")).T)


def write_model(folder: Path, total_bytes: int, storage: Storage) -> Path:
    """Write a model of about `total_bytes`: a quarter a word embedding, a quarter its transpose, the rest products.

    Of the products, every other one is a copy of the one before, and every eighth is zeros, which a file system
    that knows holes does not store.
    """
    words = max(1024, total_bytes // 4 // (4 * WIDTH) // 16 * 16)
    count = max(2, (total_bytes - 8 * words * WIDTH) // (4 * WIDTH * WIDTH))
    seeds: list[int | None] = [None if number % 8 >= 6 else 1 + number // 2 for number in range(count)]
    weights = [
        _Weight("embedding", words, WIDTH, 0),
        *(_Weight(f"layer.{number}", WIDTH, WIDTH, seed) for number, seed in enumerate(seeds)),
        _Weight("head", WIDTH, words, 0, is_transposed=True),
    ]
    path = folder / "model.onnx"
    tensors = _embedded(weights) if storage is Storage.EMBEDDED else _beside(folder, weights, storage)
    onnx.save(_model(tensors, count, words), path)
    return path


def _embedded(weights: list[_Weight]) -> list[TensorProto]:
    return [
        TensorProto(name=w.name, data_type=TensorProto.FLOAT, dims=(w.rows, w.columns), raw_data=_bytes(w))
        for w in weights
    ]


def _bytes(weight: _Weight) -> bytes:
    if weight.seed is None:
        return bytes(weight.length)
    return b"".join(band.tobytes() for band in weight.bands())


def _beside(folder: Path, weights: list[_Weight], storage: Storage) -> list[TensorProto]:
    """Write weights to data files, page after page, or each from an odd byte on."""
    tensors, number, end = [], 0, 0
    for weight in weights:
        if storage is Storage.SHARDS and end >= _SHARD_BYTES:
            number, end = number + 1, 0
        name = f"model-{number:05}.data"
        start = end + 1 if storage is Storage.UNALIGNED else -(-end // 4096) * 4096
        with (folder / name).open("r+b" if end else "wb") as file:
            _write(file, weight, start)
        end = start + weight.length
        tensor = TensorProto(name=weight.name, data_type=TensorProto.FLOAT, dims=(weight.rows, weight.columns))
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", name), ("offset", str(start)), ("length", str(weight.length))):
            tensor.external_data.add(key=key, value=value)
        tensors.append(tensor)
    return tensors


def _write(file: BinaryIO, weight: _Weight, start: int) -> None:
    if weight.seed is None:
        file.truncate(start + weight.length)
        return
    file.seek(start)
    for band in weight.bands():
        file.write(band.tobytes())


def _model(tensors: list[TensorProto], count: int, words: int) -> onnx.ModelProto:
    nodes = [helper.make_node("Gather", ["embedding", "ids"], ["x0"])]
    for number in range(count):
        nodes.append(helper.make_node("MatMul", [f"x{number}", f"layer.{number}"], [f"product{number}"]))
        nodes.append(helper.make_node("Tanh", [f"product{number}"], [f"step{number}"]))
        nodes.append(helper.make_node("Add", [f"x{number}", f"step{number}"], [f"x{number + 1}"]))  # zeros pass it on
    nodes.append(helper.make_node("MatMul", [f"x{count}", "head"], ["logits"]))
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "sequence"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", words])
    graph = helper.make_graph(nodes, "scale", [ids], [logits], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
