"""Small models to save, system calls to fail, and what tells a whole model from a broken one."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.model.load import load

posix_only = pytest.mark.skipif(os.name != "posix", reason="links, modes and signals as POSIX has them")

OLD = b"what was there before"


def write_model(path: Path, value: float = 1.0) -> Path:
    """A model of two weights of 40 kB, one of them twice."""
    one = numpy_helper.from_array(np.full(10_000, value, np.float32), "one")
    two = numpy_helper.from_array(np.arange(10_000, dtype=np.float32), "two")
    nodes = [helper.make_node("Sum", ["x", "one", "two"], ["y"])]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [10_000]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], [one, two])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def is_whole(path: Path, value: float = 1.0) -> bool:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": np.zeros(10_000, np.float32)})
    return bool((result == np.arange(10_000, dtype=np.float32) + np.float32(value)).all())


def intercept(monkeypatch: pytest.MonkeyPatch, name: str, function: Callable[..., Any]) -> None:
    """Exchange a function of :mod:`os`; before Python 3.11 :mod:`pathlib` keeps references of its own to some."""
    monkeypatch.setattr(os, name, function)
    kept = getattr(pathlib, "_NormalAccessor", None)
    if kept is not None and getattr(kept, name, None) is not None and name != "open":  # its `open` is io.open
        monkeypatch.setattr(kept, name, staticmethod(function))


class Failing:
    """Count the calls of system functions, and let the call number `at` fail."""

    NAMES: tuple[str, ...] = ("open", "fsync", "fchmod", "rename", "replace", "copy_file_range", "unlink")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, code: int) -> None:
        self.calls = 0
        self.failed = ""
        for name in self.NAMES:
            if hasattr(os, name):
                intercept(monkeypatch, name, self._wrapped(name, getattr(os, name), at, code))

    def _wrapped(self, name: str, function: Callable[..., Any], at: int, code: int) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == at:
                self.failed = name
                raise OSError(code, os.strerror(code))
            return function(*arguments, **options)

        return call


NAMES = ("a.onnx", "b.onnx", "c.onnx")


def targeted(sources: tuple[Path, ...], folder: Path) -> dict[Path, ir.Model]:
    return {folder / source.name: load(source) for source in sources}


def contents(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_all_whole(folder: Path) -> None:
    for name, value in zip(NAMES, (1.0, 2.0, 1.0), strict=True):
        assert is_whole(folder / name, value), name


KILLING = """
    import os, signal, sys
    from pathlib import Path

    calls = 0

    def dying(function, at):
        def call(*arguments, **options):
            global calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return call

    def values(model):
        return {value.const_value.tobytes()[-4:].hex() for value in model.graph.initializers.values()}
"""
"""How programs that are killed at their n-th system call begin; `values` tells models apart."""
