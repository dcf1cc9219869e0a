from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import judge
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.parser import parse_model

from tests.benchmarks.conftest import BENCHMARKS

CLASSIFIER = """
<ir_version: 8, opset_import: ["" : 17]>
g (int64[batch, sequence] input_ids, int64[batch, sequence] attention_mask) => (float[batch, sequence, 3] logits)
<float[5, 3] table = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, float factor = {FACTOR}>
{
    embedded = Gather (table, input_ids)
    scaled = Mul (embedded, factor)
    CHANGE
}
"""
SAME = "logits = Identity (scaled)"
AXES = "axes = Constant <value = int64[1] {2}> ()"
PADDED_POSITIONS_LOST = f"""
    mask = Cast <to = 1> (attention_mask)
    {AXES}
    column = Unsqueeze (mask, axes)
    logits = Mul (scaled, column)
"""
RIGHT_PADDING_TAKEN_FOR_GRANTED = f"""
    {AXES}
    last = Constant <value = int64[1] {{1}}> ()
    total = ReduceSum <keepdims = 1> (attention_mask, last)
    zero = Constant <value = int64 {{0}}> ()
    one = Constant <value = int64 {{1}}> ()
    shape = Shape (attention_mask)
    length = Gather (shape, one)
    places = Range (zero, length, one)
    inside = Less (places, total)
    seen = Cast <to = 1> (inside)
    column = Unsqueeze (seen, axes)
    logits = Mul (scaled, column)
"""


def saved(path: Path, *, factor: float = 1.0, change: str = SAME) -> Path:
    onnx.save(parse_model(CLASSIFIER.replace("FACTOR", str(factor)).replace("CHANGE", change)), path)
    return path


def judged(original: Path, result: Path) -> dict[str, Any]:
    found: dict[str, Any] = judge.judge(original, result, 1)
    return found


def with_weights(path: Path, **weights: NDArray[Any]) -> Path:
    """A model that adds up all of `weights`, whatever their shapes; only its bytes are looked at."""
    nodes = [helper.make_node("Identity", [name], [f"{name}.out"]) for name in weights]
    outputs = [helper.make_tensor_value_info(f"{name}.out", TensorProto.UNDEFINED, None) for name in weights]
    stored = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], outputs, stored)), path)
    return path


MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_a_weight_stored_twice_counts_once_for_each_further_copy(tmp_path: Path) -> None:
    counted = judge.count_bytes(with_weights(tmp_path / "m.onnx", a=MATRIX, b=MATRIX.copy(), c=MATRIX.copy()))
    assert counted["duplicate_bytes"] == 2 * MATRIX.nbytes
    assert counted["transposed_duplicate_bytes"] == 0
    assert counted["total_bytes"] == (tmp_path / "m.onnx").stat().st_size


def test_a_transposed_copy_is_counted_apart(tmp_path: Path) -> None:
    counted = judge.count_bytes(with_weights(tmp_path / "m.onnx", a=MATRIX, b=np.ascontiguousarray(MATRIX.T)))
    assert (counted["duplicate_bytes"], counted["transposed_duplicate_bytes"]) == (0, MATRIX.nbytes)


@pytest.mark.parametrize(
    "other",
    [MATRIX.reshape(4, 3), MATRIX.view(np.int32), MATRIX + np.float32(1e-6), MATRIX.reshape(1, 3, 4)],
    ids=["another shape", "another type", "nearly equal", "another rank"],
)
def test_what_only_looks_alike_is_no_copy(tmp_path: Path, other: NDArray[Any]) -> None:
    counted = judge.count_bytes(with_weights(tmp_path / "m.onnx", a=MATRIX, b=other))
    assert counted["duplicate_bytes"] + counted["transposed_duplicate_bytes"] == 0


def test_zeros_of_either_sign_are_different_bytes(tmp_path: Path) -> None:
    zeros = np.zeros((3, 4), np.float32)
    assert judge.count_bytes(with_weights(tmp_path / "m.onnx", a=zeros, b=-zeros))["duplicate_bytes"] == 0


def test_copies_in_constants_and_branches_are_found(tmp_path: Path) -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (bool chosen) => (float[4] y) <float[4] w = {1, 2, 3, 4}> {
            c = Constant <value = float[4] {1, 2, 3, 4}> ()
            z = If (chosen) <
                then_branch = t () => (float[4] a) { a = Constant <value = float[4] {1, 2, 3, 4}> () },
                else_branch = e () => (float[4] b) { b = Identity (w) }
            >
            y = Add (z, c)
        }
    """
    onnx.save(parse_model(text), tmp_path / "m.onnx")
    assert judge.count_bytes(tmp_path / "m.onnx")["duplicate_bytes"] == 2 * 4 * 4


def test_names_for_the_same_bytes_of_a_data_file_are_no_copies(tmp_path: Path) -> None:
    model = onnx.load(with_weights(tmp_path / "m.onnx", a=MATRIX, b=MATRIX.copy(), c=MATRIX.copy()))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    apart = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    first, second, _ = apart.graph.initializer
    del second.external_data[:]
    second.external_data.extend(first.external_data)  # b is where a is; c is still a copy
    onnx.save(apart, tmp_path / "m.onnx")
    counted = judge.count_bytes(tmp_path / "m.onnx")
    assert counted["duplicate_bytes"] == MATRIX.nbytes
    assert counted["total_bytes"] == sum((tmp_path / name).stat().st_size for name in ("m.onnx", "m.data"))


def test_a_model_does_not_drift_from_itself(tmp_path: Path) -> None:
    found = judged(saved(tmp_path / "a.onnx"), saved(tmp_path / "b.onnx"))
    assert found["refused"] == ""
    assert [found[name]["max_rel"] for name in ("drift_right_padding", "drift_any_padding")] == [0, 0]
    assert found["drift_any_padding"]["top1"] == 1.0


def test_drift_is_the_largest_difference_over_the_largest_value(tmp_path: Path) -> None:
    found = judged(saved(tmp_path / "a.onnx"), saved(tmp_path / "b.onnx", factor=1.25))
    assert found["drift_right_padding"]["max_rel"] == pytest.approx(0.25)
    assert found["drift_right_padding"]["cosine_min"] == pytest.approx(1.0)
    assert found["drift_right_padding"]["top1"] == 1.0


def test_another_largest_answer_shows_in_top_1(tmp_path: Path) -> None:
    found = judged(saved(tmp_path / "a.onnx"), saved(tmp_path / "b.onnx", factor=-1.0))
    assert found["drift_any_padding"]["top1"] == 0.0


def test_positions_that_the_mask_leaves_out_do_not_count(tmp_path: Path) -> None:
    found = judged(saved(tmp_path / "a.onnx"), saved(tmp_path / "b.onnx", change=PADDED_POSITIONS_LOST))
    assert found["drift_any_padding"]["max_rel"] == 0


def test_a_mask_read_as_padding_on_the_right_shows_only_under_other_padding(tmp_path: Path) -> None:
    wrong = saved(tmp_path / "b.onnx", change=RIGHT_PADDING_TAKEN_FOR_GRANTED)
    found = judged(saved(tmp_path / "a.onnx"), wrong)
    assert found["drift_right_padding"]["max_rel"] == 0
    assert found["drift_any_padding"]["max_rel"] > 0.1
    assert found["drift_any_padding"]["cosine_min"] == 0.0  # a row of zeros instead of values


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("logits = Transpose <perm = [1, 0, 2]> (scaled)", "output has shape"),
        ("none = Sub (scaled, scaled)\n logits = Div (scaled, none)", "not finite"),
        ("logits = Missing (scaled)", "Missing"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_reason(tmp_path: Path, change: str, reason: str) -> None:
    found = judged(saved(tmp_path / "a.onnx"), saved(tmp_path / "b.onnx", change=change))
    assert reason in found["refused"]
    assert "drift_any_padding" not in found
    assert found["total_bytes"] > 0  # its size is known all the same


def test_each_question_is_answered_on_the_command_line(tmp_path: Path) -> None:
    models = [str(saved(tmp_path / "a.onnx")), str(saved(tmp_path / "b.onnx"))]

    def answer(question: str) -> dict[str, Any]:
        command = [sys.executable, str(BENCHMARKS / "judge.py"), question, *models, "1"]
        read: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return read

    assert answer("findings")["drift_any_padding"]["max_rel"] == 0
    timed = answer("latency")
    assert timed["turns"] >= judge.LATENCY_RUNS
    assert timed["positions"] == judge.LATENCY_POSITIONS[0]
    assert min(timed["original_ms"], timed["result_ms"]) > 0
