"""The command on models that belong together: a folder, or several files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compressor import pipeline
from compressor.cli import ExitCode
from compressor.model import together
from compressor.report import Outcome, SetReport
from compressor.selection import beside_folder, select
from tests.commands import run
from tests.test_together import write_pair


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with two models that share a weight, and what exporters put beside them."""
    folder = tmp_path / "t5[v2]"
    folder.mkdir()
    write_pair(folder)
    (folder / "config.json").write_text("{}")
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_goes_to_a_folder_beside_it(pair: Path) -> None:
    before = contents(pair)
    result = run("compress", pair, "--no-verify")
    assert result.exit_code == ExitCode.DONE, result.stderr
    written = {path.name for path in pair.with_name("t5[v2].compressed").iterdir()}
    assert {"decoder.onnx", "encoder.onnx", "config.json", "ort_config.json"} < written
    assert len(written) == 5, "and one data file"
    assert contents(pair) == before
    assert "2 models -> " in result.stdout
    assert "Weights of several models are stored once, in weights-" in " ".join(result.stdout.split())


def test_several_files_go_to_a_folder_beside_the_first(pair: Path) -> None:
    result = run("compress", pair / "encoder.onnx", pair / "decoder.onnx", "--no-verify", "--json", "-")
    assert result.exit_code == ExitCode.DONE, result.stderr
    found = json.loads(result.stdout)
    assert found["kind"] == "compress-set"
    assert [Path(name).parent for name in found["files"]] == [pair / "compressed"] * 3
    assert [Path(report["source"]).name for report in found["reports"]] == ["encoder.onnx", "decoder.onnx"]
    assert [step["name"] for step in found["reports"][0]["steps"]] == ["deduplicate", "fuse", "smooth", "quantize"]
    assert found["total_bytes"] == sum(Path(name).stat().st_size for name in found["files"])
    assert found["shared_bytes"] > 0


def test_accuracy_is_measured_for_each_model(pair: Path) -> None:
    result = run("compress", pair, "--passes", "deduplicate")
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert result.stdout.count("bit-identical") == 3, "a line for each, and the closing one"


def test_a_folder_with_one_model_is_a_set_of_one(pair: Path, tmp_path: Path) -> None:
    (pair / "decoder.onnx").unlink()
    result = run("compress", pair, "-o", tmp_path / "out", "--no-verify")
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert "1 model -> " in result.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"encoder.onnx", "config.json", "ort_config.json"}


def test_a_folder_without_a_model_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "._encoder.onnx").write_bytes(b"from an archive")
    result = run("compress", tmp_path / "hidden")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert result.stderr.endswith("hidden: is a folder and holds no .onnx file; name a model or a folder of models\n")
    assert [path.name for path in tmp_path.iterdir()] == ["hidden"]


def test_one_bad_model_of_a_set_writes_nothing(pair: Path, tmp_path: Path) -> None:
    (pair / "third.ONNX").write_bytes(b"")
    result = run("compress", pair)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "third.ONNX: is empty" in result.stderr
    assert list(tmp_path.iterdir()) == [pair]


def test_existing_models_are_replaced_only_by_force_and_other_files_stay(pair: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("encoder.onnx", "notes.txt", "weights.data"):
        (out / name).write_text("precious")
    refused = run("compress", pair, "-o", out, "--no-verify")
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "exists" in refused.stderr
    assert {path.read_text() for path in out.iterdir()} == {"precious"}
    assert run("compress", pair, "-o", out, "--no-verify", "--force").exit_code == ExitCode.DONE
    assert [name for name in ("notes.txt", "weights.data") if (out / name).read_text() == "precious"]
    assert (out / "encoder.onnx").read_bytes() != b"precious"


def test_a_report_cannot_take_the_place_of_a_result(pair: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    result = run("compress", pair, "-o", tmp_path / "out", "--json", tmp_path / "out" / "encoder.onnx")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "named twice" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["config.json", "ort_config.json", "encoder_quantized.onnx"])
def test_a_report_cannot_take_the_place_of_what_goes_along(pair: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    options = ("-o", tmp_path / "out", "--naming", "quantized", "--json", tmp_path / "out" / name)
    result = run("compress", pair, *options)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "named twice" in result.stderr


def test_a_rolled_back_pass_of_any_model_ends_with_1_and_names_the_model(
    monkeypatch: pytest.MonkeyPatch, pair: Path
) -> None:
    real = pipeline.compress_together

    def break_a_claim(*arguments: Any, **options: Any) -> SetReport:
        found = real(*arguments, **options)
        first, second = found.reports
        broken = replace(second.steps[0], outcome=Outcome.ROLLED_BACK, reason="output 'y' differs by 0.5")
        return replace(found, reports=(first, replace(second, steps=(broken, *second.steps[1:]))))

    monkeypatch.setattr(pipeline, "compress_together", break_a_claim)
    result = run("compress", pair, "--no-verify", "--quiet")
    assert result.exit_code == ExitCode.BROKEN
    assert result.stderr == "compressor: encoder.onnx: deduplicate was rolled back: output 'y' differs by 0.5\n"


def test_an_interruption_leaves_no_folder(monkeypatch: pytest.MonkeyPatch, pair: Path, tmp_path: Path) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(together, "verify_written", interrupt)
    result = run("compress", pair, "-o", tmp_path / "out", "--no-verify")
    assert (result.exit_code, result.stderr) == (ExitCode.INTERRUPTED, "compressor: interrupted\n")
    assert list(tmp_path.iterdir()) == [pair]


@pytest.mark.parametrize(
    ("folder", "output"),
    [("a/models", "a/models.compressed"), ("models/", "models.compressed"), ("v1.2", "v1.2.compressed")],
)
def test_names_the_result_after_the_folder(folder: str, output: str) -> None:
    assert beside_folder(Path(folder)) == Path(output)


def test_a_folder_spelled_with_dots_gets_its_own_name(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pair)
    assert select([Path()], None).output == pair.with_name("t5[v2].compressed")
    (pair / "inner").mkdir()
    monkeypatch.chdir(pair / "inner")
    assert select([Path("..")], None).output == pair.with_name("t5[v2].compressed")


def test_a_limit_that_one_model_breaks_keeps_all_of_them_from_being_written(pair: Path) -> None:
    result = run("compress", pair, "--passes", "quantize", "--min-cosine", "1")
    assert result.exit_code == ExitCode.BROKEN
    assert not pair.with_name("t5[v2].compressed").exists()
    assert "decoder.onnx: the cosine similarity of the worst row is 0.9" in result.stderr
    assert "nothing was written; --keep" in result.stderr
    assert "(nothing written)" in result.stdout


def test_the_limit_of_size_holds_for_all_files_together(pair: Path) -> None:
    small = run("compress", pair, "--no-verify", "--max-size", "1kB", "--json", "-")
    assert small.exit_code == ExitCode.BROKEN
    assert not pair.with_name("t5[v2].compressed").exists()
    found = json.loads(small.stdout)
    assert found["files"] == []
    assert len(found["broken_limits"]) == 1
    assert all(report["broken_limits"] == [] for report in found["reports"])
    kept = run("compress", pair, "--no-verify", "--max-size", "1kB", "--keep")
    assert kept.exit_code == ExitCode.BROKEN
    assert (pair.with_name("t5[v2].compressed") / "decoder.onnx").exists()
