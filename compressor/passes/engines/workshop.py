"""Let a foreign optimizer work on a private copy, in a process of its own, without any large weight.

The copy is the skeleton in a temporary folder. Vectors go along as they are, because optimizers combine them; matrices
are stood in for by files of zeros that take no room on disk, because optimizers look at their shapes only. What comes
back is checked: a weight that was changed, or a new one of some size, would hold zeros, so it is refused then.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no stubs

from compressor.errors import ModelError
from compressor.model.carried import carried
from compressor.model.check import check_structure
from compressor.model.order import sort_nodes
from compressor.model.skeleton import Skeleton, from_skeleton, to_skeleton

TIME_LIMIT = 120.0
"""Seconds after which an optimizer is stopped; BERT-base takes ten in the slowest."""

LARGEST_VECTOR = 1 << 20
"""Bytes up to which a vector goes along with its content."""

LARGEST_NEW = 1 << 16
"""Bytes of the largest tensor an optimizer may add: shapes, scalars, combined biases."""


class EngineRefusal(Exception):
    """An engine has nothing to offer for a model; the text says why."""


def optimize_apart(model: ir.Model, script: str, arguments: Sequence[str] = ()) -> ir.Model:
    """Run Python `script`, which reads ``model.onnx`` and writes ``result.onnx`` in its folder, on a copy of `model`.

    Raises:
        EngineRefusal: it failed, took too long, or gave back what cannot be used.
    """
    skeleton = to_skeleton(model)
    originals = {tensor.name: onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in _detached(skeleton)}
    with tempfile.TemporaryDirectory(prefix="compressor-") as name:
        folder = Path(name)
        _stand_in(skeleton, folder)
        (folder / "model.onnx").write_bytes(skeleton.proto.SerializeToString())
        _run(script, arguments, folder)
        result = _read(folder / "result.onnx")
    sent = {tensor.name: tensor.raw_data for tensor in skeleton.proto.graph.initializer if tensor.name in originals}
    for tensor in result.graph.initializer:
        _take_back(tensor, originals, sent)
    _check(result)
    return from_skeleton(Skeleton(result, skeleton.weights), carried(model))


def _detached(skeleton: Skeleton) -> list[onnx.TensorProto]:
    external = onnx.TensorProto.EXTERNAL
    return [tensor for tensor in skeleton.proto.graph.initializer if tensor.data_location == external]


def _location(tensor: onnx.TensorProto) -> str:
    return str(next(entry.value for entry in tensor.external_data if entry.key == "location"))


def _stand_in(skeleton: Skeleton, folder: Path) -> None:
    for tensor in _detached(skeleton):
        weight = skeleton.weights[_location(tensor)]
        if len(tensor.dims) < 2 and weight.nbytes <= LARGEST_VECTOR:
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = weight.tobytes()
            continue
        with (folder / _location(tensor)).open("wb") as file:
            file.truncate(weight.nbytes)


def _run(script: str, arguments: Sequence[str], folder: Path) -> None:
    # -I: neither the working folder nor the user's environment can put another module in front of the installed ones.
    command = [sys.executable, "-I", "-W", "ignore", "-c", script, *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise EngineRefusal(f"took more than {TIME_LIMIT:.0f} seconds") from None
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise EngineRefusal(f"failed: {words[-1][:200] if words else f'exit code {done.returncode}'}")


def _read(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise EngineRefusal(f"wrote no model: {error}") from error


def _check(result: onnx.ModelProto) -> None:
    try:
        sort_nodes(result.graph)
        check_structure(result)
    except ModelError as error:
        raise EngineRefusal(f"gives back what {error}") from error


def _take_back(tensor: onnx.TensorProto, originals: dict[str, onnx.TensorProto], sent: dict[str, bytes]) -> None:
    """Put the reference to a weight back in place of what stood in for it."""
    original = originals.get(tensor.name)
    if original is None:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.ByteSize() > LARGEST_NEW:
            raise EngineRefusal(f"makes a new weight '{tensor.name}' of {tensor.ByteSize():,} bytes")
        return
    is_same = (tensor.data_type, list(tensor.dims)) == (original.data_type, list(original.dims))
    is_external = tensor.data_location == onnx.TensorProto.EXTERNAL
    is_intact = _location(tensor) == _location(original) if is_external else _is_as_sent(tensor, sent[tensor.name])
    if not (is_same and is_intact):
        raise EngineRefusal(f"changes the weight '{tensor.name}'")
    tensor.CopyFrom(original)


def _is_as_sent(tensor: onnx.TensorProto, content: bytes) -> bool:
    raw = tensor.raw_data or onnx.numpy_helper.to_array(tensor).tobytes()
    return raw == content if content else not any(raw)
