"""Small files that would need much time, memory or stack are refused, or handled in little of each."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import ModelError
from compressor.model.load import load
from compressor.model.save import save
from compressor.model.size import measure

resource = pytest.importorskip("resource", reason="limits as POSIX has them")

SECONDS = 10
MEMORY = 1 << 30


@pytest.fixture(autouse=True)
def in_little_time() -> Iterator[None]:
    started = time.process_time()  # not of the wall clock, which other people's work moves as well
    yield
    assert time.process_time() - started < SECONDS


def flag() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("flag", TensorProto.BOOL, [])


def scalar(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [])


def write(path: Path, graph: onnx.GraphProto, functions: tuple[onnx.FunctionProto, ...] = ()) -> Path:
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid("local", 1)] if functions else [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))
    path.write_bytes(model.SerializeToString())
    return path


def delimited(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds `content`."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def nested(levels: int) -> bytes:
    """The serialized model of an If in an If in an If."""

    output = delimited(12, helper.make_tensor_value_info("o", TensorProto.FLOAT, []).SerializeToString())
    constant = helper.make_node("Constant", [], ["o"], value=helper.make_tensor("", TensorProto.FLOAT, [], [1.0]))
    leaf = delimited(1, constant.SerializeToString()) + delimited(2, b"b") + output
    body = leaf
    for _ in range(levels):
        branches = [(b"then_branch", body), (b"else_branch", leaf)]
        attributes = b"".join(
            delimited(5, delimited(1, name) + delimited(6, graph) + b"\xa0\x01\x05") for name, graph in branches
        )
        node = delimited(1, b"flag") + delimited(2, b"o") + delimited(4, b"If") + attributes
        body = delimited(1, node) + delimited(2, b"b") + output
    body += delimited(11, flag().SerializeToString())
    opset = delimited(8, helper.make_opsetid("", 17).SerializeToString())
    return b"\x08\x08" + delimited(7, body) + opset


def test_25_nested_branches_work(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(nested(25))
    save(load(path), tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx") == onnx.load(path)


@pytest.mark.parametrize("levels", [34, 100, 3000])
def test_more_nested_branches_than_any_reader_takes_are_refused(tmp_path: Path, levels: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(nested(levels))
    with pytest.raises(ModelError, match=r"nested|cannot be parsed"):
        load(path)


def test_every_depth_between_works_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for levels in range(25, 40):
        path.write_bytes(nested(levels))
        try:
            model = load(path)
        except ModelError:
            continue
        save(model, tmp_path / "out.onnx", overwrite=True)


def nested_type(levels: int) -> bytes:
    """A type that is a sequence of sequences of ... floats."""
    kind: bytes = onnx.TypeProto(tensor_type=onnx.TypeProto.Tensor(elem_type=1)).SerializeToString()
    for _ in range(levels):
        kind = delimited(4, delimited(1, kind))  # TypeProto.sequence_type.elem_type
    return kind


@pytest.mark.parametrize("levels", [10, 45, 3000])
def test_nested_types_work_or_are_refused(tmp_path: Path, levels: int) -> None:
    path = tmp_path / "model.onnx"
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [scalar("x")], [scalar("y")])
    write(path, graph)
    kind = nested_type(levels)

    info = delimited(1, b"z") + delimited(2, kind)
    path.write_bytes(path.read_bytes() + delimited(7, delimited(13, info)))  # merged into the graph's value_info
    try:
        save(load(path), tmp_path / "out.onnx")
    except ModelError as refusal:
        assert levels > 10, refusal  # noqa: PT017 - either is right, for the deep ones


def caller(name: str, called: str, times: int) -> onnx.FunctionProto:
    nodes = [helper.make_node(called, ["a" if not k else f"v{k}"], [f"v{k + 1}"], domain="local") for k in range(times)]
    nodes[-1].output[0] = "b"
    return helper.make_function("local", name, ["a"], ["b"], nodes, [helper.make_opsetid("local", 1)])


def calling(called: str) -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node(called, ["x"], ["y"], domain="local")], "g", [scalar("x")], [scalar("y")]
    )


def leaf(name: str) -> onnx.FunctionProto:
    return helper.make_function(
        "local", name, ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 17)]
    )


@pytest.mark.parametrize("levels", [30, 2000])
def test_functions_that_double_at_every_level_are_refused(tmp_path: Path, levels: int) -> None:
    functions = (*(caller(f"F{level}", f"F{level + 1}", 2) for level in range(levels)), leaf(f"F{levels}"))
    path = write(tmp_path / "model.onnx", calling("F0"), functions)
    with pytest.raises(ModelError, match=r"unfold|nested"):
        load(path)


@pytest.mark.parametrize("length", [1, 2, 50])
def test_functions_that_call_themselves_are_refused(tmp_path: Path, length: int) -> None:
    functions = tuple(caller(f"F{index}", f"F{(index + 1) % length}", 1) for index in range(length))
    with pytest.raises(ModelError, match="calls itself"):
        load(write(tmp_path / "model.onnx", calling("F0"), functions))


def test_a_function_that_calls_itself_inside_a_branch_is_refused(tmp_path: Path) -> None:
    branch = helper.make_graph([helper.make_node("F", ["a"], ["o"], domain="local")], "b", [], [scalar("o")])
    condition = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("", TensorProto.BOOL, [], [True]))
    body = [condition, helper.make_node("If", ["c"], ["b"], then_branch=branch, else_branch=branch)]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    function = helper.make_function("local", "F", ["a"], ["b"], body, opsets)
    with pytest.raises(ModelError, match="calls itself"):
        load(write(tmp_path / "model.onnx", calling("F"), (function,)))


def test_a_few_functions_in_functions_work(tmp_path: Path) -> None:
    functions = (*(caller(f"F{level}", f"F{level + 1}", 2) for level in range(5)), leaf("F5"))
    path = write(tmp_path / "model.onnx", calling("F0"), functions)
    save(load(path), tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx").functions == onnx.load(path).functions


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_chain_of_20000_nodes_works_in_either_order(tmp_path: Path, is_reversed: bool) -> None:
    names = ["x", *(f"v{index}" for index in range(19_999)), "y"]
    nodes = [helper.make_node("Relu", [before], [after]) for before, after in pairwise(names)]
    graph = helper.make_graph(nodes[::-1] if is_reversed else nodes, "g", [scalar("x")], [scalar("y")])
    save(load(write(tmp_path / "model.onnx", graph)), tmp_path / "out.onnx")
    assert list(onnx.load(tmp_path / "out.onnx").graph.node) == nodes


def test_a_node_with_50000_inputs_works(tmp_path: Path) -> None:
    graph = helper.make_graph([helper.make_node("Sum", ["x"] * 50_000, ["y"])], "g", [scalar("x")], [scalar("y")])
    load(write(tmp_path / "model.onnx", graph))


def test_12000_equal_scalars_are_measured_in_no_time(tmp_path: Path) -> None:
    weights = [numpy_helper.from_array(np.array(1.0, np.float32), f"w{index}") for index in range(12_000)]
    node = helper.make_node("Sum", [weight.name for weight in weights], ["y"])
    path = write(tmp_path / "model.onnx", helper.make_graph([node], "g", [], [scalar("y")], weights))
    assert measure(load(path)).duplicate_bytes == 4 * 11_999


def test_an_expansion_to_terabytes_is_never_carried_out(tmp_path: Path) -> None:
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [10**6, 10**6])
    big = [helper.make_node("Expand", ["x", "shape"], ["e"]), helper.make_node("ReduceMax", ["e"], ["o"], keepdims=0)]
    then = helper.make_graph(big, "t", [], [scalar("o")], [shape])
    other = helper.make_graph([helper.make_node("Identity", ["x"], ["o"])], "e", [], [scalar("o")])
    node = helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other)
    path = write(tmp_path / "model.onnx", helper.make_graph([node], "g", [flag(), scalar("x")], [scalar("y")]))
    done = compress_in_bounds(path, tmp_path / "out.onnx", "--no-verify")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("claimed", [2**31 - 1, 2**40, 2**63 - 1])
def test_a_length_that_is_not_there_takes_no_memory(tmp_path: Path, claimed: int) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08\x3a" + varint(claimed) + b"abc")
    done = compress_in_bounds(path, tmp_path / "out.onnx")
    assert done.returncode == 2
    assert "does not end inside" in done.stderr


def test_a_file_of_holes_takes_no_memory(tmp_path: Path) -> None:
    """8 GB that occupy nothing on disk: all zeros, which no message starts with."""
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(8 << 30)
    done = compress_in_bounds(path, tmp_path / "out.onnx")
    assert done.returncode == 2


def compress_in_bounds(path: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command on `path`; writing into memory it may not have, or for too long, fails."""

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))

    command = [sys.executable, "-m", "compressor", "compress", str(path), "-o", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20 * SECONDS, preexec_fn=bound, check=False)
    assert "Traceback" not in done.stderr
    return done
