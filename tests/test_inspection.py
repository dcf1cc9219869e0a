from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from compressor.errors import ModelError
from compressor.inspection import Inspection, inspect
from compressor.passes.contract import PassResult
from compressor.passes.deduplicate import DeduplicateInitializers
from compressor.report import Outcome

TIED = """
<ir_version: 8, opset_import: ["" : 17], producer_name: "drawn", producer_version: "1">
g (int64[batch, sequence] ids, float[?] scale) => (float[batch, sequence, 64] logits)
{
    embedded = Gather(table, ids)
    table_t = Transpose <perm = [1, 0]> (table)
    scored = MatMul(embedded, first)
    again = MatMul(scored, second)
    flag = Constant <value = bool {1}> ()
    chosen = If (flag) <
        then_branch = a () => (float[?, ?, ?] left) { left = MatMul(again, first) },
        else_branch = b () => (float[?, ?, ?] right) { right = MatMul(again, third) }
    >
    summed = MatMul(chosen, table_t)
    logits = Mul(summed, scale)
}
"""
"""A table used by Gather and, transposed, by MatMul; two equal weights; a third used in a branch only."""


def draw_tied(path: Path) -> Path:
    model = onnx.parser.parse_model(TIED)
    random = np.random.default_rng(0)
    first = random.standard_normal((32, 32)).astype(np.float32)
    weights = {
        "table": random.standard_normal((64, 32)).astype(np.float32),
        "first": first,
        "second": first,
        "third": random.standard_normal((32, 32)).astype(np.float32),
        "scale": np.ones(1, np.float32),
    }
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    onnx.save(model, path)
    return path


@pytest.fixture
def tied(tmp_path: Path) -> Inspection:
    return inspect(draw_tied(tmp_path / "tied.onnx"))


def test_accounts_for_every_byte_of_the_file(tied: Inspection) -> None:
    assert tied.size.total_bytes == tied.source.stat().st_size
    assert tied.file_bytes == {tied.source: tied.source.stat().st_size}
    assert tied.size.weight_bytes == {"FLOAT": 4 * (64 * 32 + 3 * 32 * 32 + 1), "BOOL": 1}
    assert tied.size.graph_bytes > 0


def test_says_what_the_model_says_of_itself(tied: Inspection) -> None:
    assert (tied.ir_version, dict(tied.opsets), tied.producer) == (8, {"ai.onnx": 17}, "drawn 1")
    assert [(port.name, port.type, port.dims, port.has_default) for port in tied.inputs] == [
        ("ids", "INT64", ("batch", "sequence"), False),
        ("scale", "FLOAT", (None,), True),
    ]
    assert [(port.name, port.dims) for port in tied.outputs] == [("logits", ("batch", "sequence", 64))]


def test_counts_operators_inside_branches(tied: Inspection) -> None:
    assert tied.operators == {"MatMul": 5, "Gather": 1, "Transpose": 1, "Constant": 1, "If": 1, "Mul": 1}


def test_names_what_a_weight_is_for_through_what_only_hands_it_on(tied: Inspection) -> None:
    consumers = {weight.name: weight.consumers for weight in tied.largest}
    assert consumers["table"] == ("Gather", "MatMul")
    assert consumers["third"] == ("MatMul",), "a branch uses it"
    assert consumers["scale"] == ("Mul",)


def test_a_shape_is_for_the_reshape_and_an_output_for_the_caller(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[4] x) => (float[2, 2] y, float[1] given)
        <int64[2] shape = {2, 2}, float[1] given = {1.0}, int64[3] idle = {1, 2, 3}>
        { y = Reshape(x, shape) }"""
    )
    onnx.save(model, tmp_path / "shapes.onnx")
    consumers = {weight.name: weight.consumers for weight in inspect(tmp_path / "shapes.onnx").largest}
    assert consumers == {"shape": ("Reshape",), "given": ("graph output",), "idle": ()}


def test_counts_each_weight_once_among_its_consumers(tied: Inspection) -> None:
    assert tied.consumer_bytes["Gather + MatMul"] == 4 * 64 * 32
    assert tied.consumer_bytes["MatMul"] == 4 * 3 * 32 * 32
    assert sum(tied.consumer_bytes.values()) == tied.size.all_weight_bytes


def test_lists_the_largest_weights_first(tied: Inspection) -> None:
    assert tied.largest[0].name == "table"
    assert tied.largest[0].shape == (64, 32)
    assert tied.largest[0].weight_bytes == 4 * 64 * 32
    assert tied.weights == 6


def test_finds_exact_copies_and_no_others(tied: Inspection) -> None:
    assert [(group.members, group.saved_bytes) for group in tied.duplicates] == [(("first", "second"), 4096)]


def test_a_defect_in_one_pass_does_not_cost_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_half_way(self: DeduplicateInitializers, model: ir.Model) -> PassResult:
        del model.graph.initializers["third"]
        raise KeyError("lost")

    monkeypatch.setattr(DeduplicateInitializers, "run", fail_half_way)
    first, *others = inspect(draw_tied(tmp_path / "model.onnx")).forecast
    assert first.outcome is Outcome.ROLLED_BACK
    assert first.reason == "it failed with KeyError: 'lost'; this is a defect, please report it"
    assert first.size.weight_bytes["FLOAT"] == 4 * (64 * 32 + 3 * 32 * 32 + 1)
    assert [step.name for step in others] == ["fuse", "smooth", "quantize"]


def test_forecasts_each_pass_on_the_result_of_the_one_before(tied: Inspection) -> None:
    assert [step.name for step in tied.forecast] == ["deduplicate", "fuse", "smooth", "quantize"]
    deduplicated = tied.forecast[0]
    assert deduplicated.counts == {"initializers_merged": 1}
    assert tied.size.total_bytes - deduplicated.size.total_bytes >= 4096
    assert deduplicated.size.duplicate_bytes == 0
    assert all(step.fidelity is None and step.latency is None for step in tied.forecast), "nothing was run"


def test_leaves_the_file_and_its_folder_alone(tmp_path: Path) -> None:
    path = draw_tied(tmp_path / "tied.onnx")
    before = path.read_bytes()
    inspect(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_dynamic_axes_are_put_to_the_test_unless_nothing_may_run(tmp_path: Path) -> None:
    path = draw_tied(tmp_path / "tied.onnx")
    assert [finding.is_fixed for finding in inspect(path).axes] == [False, False]
    assert inspect(path, run=False).axes == ()


def test_lists_data_files_and_counts_their_bytes(tmp_path: Path) -> None:
    model = onnx.load(draw_tied(tmp_path / "tied.onnx"))
    path = tmp_path / "external.onnx"
    onnx.save(model, path, save_as_external_data=True, location="external.data", size_threshold=1024)
    found = inspect(path)
    assert list(found.file_bytes) == [path, tmp_path / "external.data"]
    assert found.size.total_bytes == path.stat().st_size + (tmp_path / "external.data").stat().st_size


def test_works_on_a_model_without_weights(tmp_path: Path) -> None:
    path = tmp_path / "bare.onnx"
    onnx.save(
        onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["" : 17]> g (float[n] x) => (float[n] y) { y = Relu(x) }'
        ),
        path,
    )
    found = inspect(path)
    assert (found.weights, found.largest, found.duplicates, dict(found.consumer_bytes)) == (0, (), (), {})


def test_refuses_what_is_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("<!doctype html>")
    with pytest.raises(ModelError, match="web page"):
        inspect(path)
