"""Where memory is short, models are run one after the other, or not at all, and the report says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor import Budget, Recipe, compress
from compressor.evaluation import judge as judging
from compressor.evaluation import reference, room
from compressor.evaluation.axes import probe_axes
from compressor.evaluation.contract import Feeds, Refusal, Samples
from compressor.evaluation.judge import Judge, appoint_judge
from compressor.evaluation.material import Material
from compressor.evaluation.room import Room, find_room
from compressor.inspection import inspect
from compressor.model.footprint import copied_bytes, unmapped_bytes
from compressor.model.load import load
from compressor.model.session import open_mapped_session, open_session
from compressor.model.weights import StoredWeight
from compressor.report import Outcome, Report

SIZE = 128
MB = 1 << 20
SPARE = room._SPARE
WEIGHTS = 2 * SIZE * SIZE * 4


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """Two products whose weights are equal, and lie one after the other in a data file."""
    w = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", SIZE]) for name in ("x", "y"))
    nodes = [helper.make_node("MatMul", ["x", "a"], ["h"]), helper.make_node("MatMul", ["h", "b"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(w, name) for name in ("a", "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="model.data", size_threshold=0)
    return path


def leave(monkeypatch: pytest.MonkeyPatch, count: int | None) -> None:
    monkeypatch.setattr(room, "available_bytes", lambda: count)


def appointed(path: Path, material: Material | None = None) -> Judge:
    judge = appoint_judge(load(path), threads=1, material=material)
    assert isinstance(judge, Judge), judge
    return judge


def test_room_is_ample_for_three_times_the_weights_and_where_nobody_knows(
    beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(beside)
    assert copied_bytes(model) == WEIGHTS
    for free, expected in ((None, Room.AMPLE), (SPARE + 4 * WEIGHTS, Room.AMPLE), (SPARE + 2 * WEIGHTS, Room.TIGHT)):
        leave(monkeypatch, free)
        assert find_room(model) is expected


def test_weights_off_their_natural_alignment_are_not_mapped(beside: Path) -> None:
    model = load(beside)
    assert unmapped_bytes(model) == 0
    for value in model.graph.initializers.values():
        assert isinstance(value.const_value, StoredWeight)
        value.const_value.start += 2
    assert unmapped_bytes(model) == WEIGHTS


def test_a_mapped_session_computes_what_the_runtime_computes_from_the_file(beside: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    feeds = {"x": np.random.default_rng(1).normal(size=(3, SIZE)).astype(np.float32)}
    expected = onnxruntime.InferenceSession(beside, options, providers=["CPUExecutionProvider"]).run(None, feeds)
    session = open_mapped_session(load(beside))
    assert not session.compressor_weights
    np.testing.assert_array_equal(session.run(None, feeds)[0], expected[0])


def test_a_data_file_that_was_replaced_is_not_mapped_by_its_name(beside: Path) -> None:
    model, feeds = load(beside), {"x": np.ones((1, SIZE), np.float32)}
    expected = open_session(model, is_optimized=False).run(None, feeds)[0]
    data = beside.with_name("model.data")
    other = beside.with_name("other")
    other.write_bytes(bytes(data.stat().st_size))
    other.replace(data)
    assert unmapped_bytes(model) == WEIGHTS
    np.testing.assert_allclose(open_mapped_session(model).run(None, feeds)[0], expected, rtol=1e-5)


def test_data_files_behind_links_are_mapped_where_they_are(beside: Path, tmp_path: Path) -> None:
    """As a download cache lays them out."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for name in ("model.onnx", "model.data"):
        (tmp_path / name).rename(blobs / f"blob-{name}")
        (snapshot / name).symlink_to(blobs / f"blob-{name}")
    model = load(snapshot / "model.onnx")
    assert unmapped_bytes(model) == 0
    assert not open_mapped_session(model).compressor_weights


def test_one_after_the_other_finds_the_same_and_times_nothing(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, SPARE + 2 * WEIGHTS)
    judge = appointed(beside)
    assert judge.room is Room.TIGHT
    assert judge.reference.session is None
    assert "one after the other" in judge.samples.notes[-1]
    verdict = judge.judge(load(beside))
    assert not isinstance(verdict, Refusal)
    assert verdict.fidelity.is_bit_identical
    assert verdict.latency is None
    assert verdict.fidelity.batches == len(judge.samples.batches)


def test_what_could_not_be_kept_is_left_out_and_said(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: tuple[Feeds, ...] = tuple({"x": np.full((1, SIZE), number, np.float32)} for number in range(4))
    samples = Samples(batches=batches, generated=False, description="drawn", places=((0,), (1,), (2,), (3,)))
    monkeypatch.setattr(reference, "KEPT_BYTES", 2 * SIZE * 4)
    leave(monkeypatch, SPARE + 2 * WEIGHTS)
    judge = appointed(beside, Material(samples=samples))
    assert "on the first 2 of 4 batches" in judge.samples.notes[-1]
    verdict = judge.judge(load(beside))
    assert not isinstance(verdict, Refusal)
    assert (verdict.fidelity.samples, verdict.fidelity.batches) == (2, 2)


def test_outputs_too_large_to_keep_end_in_a_sentence(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "KEPT_BYTES", 1)
    leave(monkeypatch, SPARE + 2 * WEIGHTS)
    refused = appoint_judge(load(beside), threads=1)
    assert isinstance(refused, Refusal)
    assert "more than can be kept" in refused.reason


def test_axes_are_put_to_the_test_in_the_room_there_is(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Room] = []
    open_in = Room.open

    def noted(how: Room, model: ir.Model, **options: Any) -> onnxruntime.InferenceSession:
        opened.append(how)
        return open_in(how, model, **options)

    monkeypatch.setattr(Room, "open", noted)
    for free in (None, SPARE + 2 * WEIGHTS):
        leave(monkeypatch, free)
        assert not isinstance(probe_axes(load(beside)), Refusal)
    assert opened == [Room.AMPLE, Room.TIGHT]


def test_without_room_no_axis_is_put_to_the_test_and_inspect_says_why(
    beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, SPARE - 1)
    found = inspect(beside)
    assert not found.axes
    (warning,) = found.warnings
    assert "not put to the test: it takes 268 MB of memory to run it, and 268 MB are free" in warning


def test_a_search_watches_the_model_in_the_room_there_is(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, SPARE + 2 * WEIGHTS)
    monkeypatch.setattr(room, "open_session", None)
    assert compress(beside, budget=Budget(min_cosine=0.9), search=True).attempts


def compressed(beside: Path, budget: Budget | None = None) -> Report:
    recipe = Recipe.from_names(["deduplicate", "quantize"])
    return compress(beside, beside.with_name("out.onnx"), recipe=recipe, budget=budget)


def test_without_room_for_one_model_nothing_is_run_and_the_result_is_written(
    beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, SPARE - 1)
    monkeypatch.setattr(judging, "stream_samples", None)
    report = compressed(beside)
    assert report.output is not None
    assert [step.outcome for step in report.steps] == [Outcome.KEPT, Outcome.KEPT]
    assert all(step.fidelity is None for step in report.steps)
    assert any("it takes 268 MB of memory to run it, and 268 MB are free" in warning for warning in report.warnings)


def test_without_room_a_limit_on_quality_is_broken_and_nothing_is_written(
    beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, SPARE - 1)
    report = compressed(beside, Budget(min_cosine=0.9))
    assert report.output is None
    assert report.broken_limits


def test_with_room_for_one_model_limits_on_quality_are_kept_and_one_on_speed_is_not(
    beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, SPARE + 2 * WEIGHTS)
    assert compressed(beside, Budget(min_cosine=0.9)).output is not None
    report = compressed_again(beside, Budget(min_speedup=0.1))
    assert report.output is None
    assert report.broken_limits


def compressed_again(beside: Path, budget: Budget) -> Report:
    return compress(beside, beside.with_name("again.onnx"), recipe=Recipe.from_names(["deduplicate"]), budget=budget)
