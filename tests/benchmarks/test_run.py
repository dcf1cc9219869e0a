"""Run the benchmark itself on a fixture, with the project's own contenders and the copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matrices
import pytest
import records
import run

from tests.benchmarks import results
from tests.conftest import FIXTURES

MODEL = FIXTURES / "albert.eager.torchscript11.onnx"
NAMES = ("copy", "compressor deduplicate, unverified")
ABSENT = "onnxslim"
"""A peer that the project's own environment must not have."""


def benchmark(folder: Path, *arguments: str) -> None:
    """Run the benchmark of one commit, whatever happens to the repository meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "commit", lambda: "abc1234")
        run.main([str(MODEL), "--results", str(folder), *arguments])


def stored(folder: Path) -> dict[str, Any]:
    (model,) = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert isinstance(model, dict)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    benchmark(folder, "--untimed", "--rounds", "1", "--only", *NAMES, ABSENT)
    return folder


def test_finds_what_deduplication_leaves_and_that_outputs_are_the_same(folder: Path) -> None:
    model = stored(folder)
    copy, ours = (model["contenders"][name]["findings"] for name in NAMES)
    assert copy["total_bytes"] == model["original"]["total_bytes"] == MODEL.stat().st_size
    assert copy["duplicate_bytes"] == model["original"]["duplicate_bytes"] > 300_000
    assert ours["duplicate_bytes"] < 1000
    assert ours["total_bytes"] < copy["total_bytes"] - 300_000
    assert ours["drift_any_padding"]["max_rel"] == 0
    assert model["contenders"][NAMES[1]]["median"]["peak_rss_bytes"] > 20e6


def test_writes_tables_and_a_drawing(folder: Path) -> None:
    assert "| compressor deduplicate, unverified | -" in (folder / "results.md").read_text(encoding="utf-8")
    assert (folder / f"{MODEL.stem}.svg").read_text(encoding="utf-8").count("<rect") > 4


def test_a_peer_that_is_not_installed_is_skipped_with_a_note(folder: Path) -> None:
    assert stored(folder)["skipped"] == {ABSENT: "onnxslim is not installed"}
    assert "- onnxslim: skipped, onnxslim is not installed" in (folder / "results.md").read_text(encoding="utf-8")


def test_times_what_a_contender_takes_and_what_it_makes(tmp_path: Path) -> None:
    benchmark(tmp_path, "--rounds", "2", "--only", "copy")
    row = stored(tmp_path)["contenders"]["copy"]
    walls = sorted(run["wall_seconds"] for run in row["runs"])
    assert len(walls) == 2
    assert 0 < walls[0] <= row["median"]["wall_seconds"] <= walls[1]
    assert row["findings"]["latency"]["result_ms"] > 0
    assert stored(tmp_path)["settings"]["timed"]


def test_a_model_too_large_to_be_judged_is_counted_all_the_same(tmp_path: Path) -> None:
    benchmark(tmp_path, "--rounds", "1", "--untimed", "--unjudged", "--only", *NAMES)
    model = stored(tmp_path)
    assert model["original"]["total_bytes"] == MODEL.stat().st_size
    assert model["contenders"][NAMES[1]]["findings"]["total_bytes"] < MODEL.stat().st_size - 300_000
    text = matrices.as_short_tables([model])
    assert f"| copy | {MODEL.stat().st_size / 1e6:,.1f} (?) |" in text
    assert "**Drift" not in text


def test_goes_on_where_it_was_and_measures_nothing_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored(folder)
    arguments = ("--untimed", "--rounds", "1", "--only", *NAMES, ABSENT)
    benchmark(folder, *arguments)
    assert "round" not in capsys.readouterr().err
    assert stored(folder) == before
    unfinished = {**before, "contenders": {NAMES[1]: before["contenders"][NAMES[1]]}}
    (folder / records.FIGURES).unlink()
    records.keep(unfinished, folder)
    assert not (folder / records.FIGURES).exists(), "the tables show whole models only"
    benchmark(folder, *arguments)
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "round" in line] == [f"{MODEL.name}: round 1: copy"]
    assert list(stored(folder)["contenders"]) == list(NAMES)
    assert not (folder / records.UNFINISHED).exists()


def test_a_contender_without_room_is_a_row_with_its_error_and_not_the_end(tmp_path: Path) -> None:
    benchmark(tmp_path, "--rounds", "2", "--memory", "0.02", "--untimed", "--only", *reversed(NAMES))
    rows = stored(tmp_path)["contenders"]
    assert list(rows) == list(NAMES)
    failed = rows["compressor deduplicate, unverified"]
    assert len(failed["runs"]) == 1, "what failed is not tried again"
    assert not failed["runs"][0]["left_a_result"]
    assert failed["runs"][0]["exit_code"] != 0
    assert "findings" not in failed
    assert len(rows["copy"]["runs"]) == 2
    assert all(run["left_a_result"] for run in rows["copy"]["runs"])


def test_earlier_rows_go_unless_everything_they_were_made_with_is_the_same(tmp_path: Path) -> None:
    made_with = {"digest": "of the model", "settings": results.SETTINGS, "host": results.HOST}
    records.write(results.model("m.onnx"), tmp_path)
    same, _ = records.begin("m.onnx", made_with, tmp_path)
    assert "copy" in same["contenders"]
    later = {**made_with, "settings": {**results.SETTINGS, "commit": "fff0000"}}
    anew, known = records.begin("m.onnx", later, tmp_path)
    assert anew["contenders"] == {}
    assert known["1 0 0.02"]["drift_any_padding"]["max_rel"] == 0.02, "the same bytes need no second judgement"
    anew, known = records.begin("m.onnx", {**made_with, "digest": "of another model"}, tmp_path)
    assert anew["contenders"] == known == {}, "what was found holds beside the original it was found beside"


def test_a_model_takes_its_own_place_among_the_results(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx", "a.onnx"):
        records.write(results.model(name), tmp_path)
    models = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [model["model"] for model in models] == ["a.onnx", "b.onnx"]
