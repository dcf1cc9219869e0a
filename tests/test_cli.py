"""The command as a script meets it: what is printed where, which exit code, which files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import compressor
from compressor import pipeline
from compressor.cli import ExitCode
from compressor.errors import ModelError
from compressor.report import Outcome, Report
from compressor.selection import beside_model
from tests.commands import draw_twice, run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return draw_twice(tmp_path)


def test_writes_the_result_beside_the_model_and_prints_the_report(model: Path) -> None:
    result = run("compress", model, "--no-verify")
    assert result.exit_code == ExitCode.DONE, result.stderr
    written = model.with_name("model.compressed.onnx")
    assert written.stat().st_size < model.stat().st_size / 2
    assert "deduplicate: 1 initializer merged" in result.stdout
    assert "Accuracy was not measured" in result.stdout
    assert result.stderr == ""


def test_measures_accuracy_unless_told_not_to(model: Path) -> None:
    result = run("compress", model, "--passes", "deduplicate")
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert "bit-identical on" in result.stdout


def test_json_on_stdout_is_alone_there(model: Path) -> None:
    read = json.loads(run("compress", model, "--no-verify", "--json", "-").stdout)
    assert read["kind"] == "compress"
    assert read["output"] == str(model.with_name("model.compressed.onnx"))


def test_json_and_markdown_files_come_with_the_table(model: Path, tmp_path: Path) -> None:
    result = run(
        "compress", model, "--no-verify", "--json", tmp_path / "report.json", "--markdown", tmp_path / "report.md"
    )
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert "deduplicate" in result.stdout
    assert json.loads((tmp_path / "report.json").read_text())["kind"] == "compress"
    assert "| deduplicate |" in (tmp_path / "report.md").read_text()


def test_quiet_prints_nothing(model: Path) -> None:
    result = run("compress", model, "--no-verify", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (ExitCode.DONE, "", "")


def test_verbose_lists_what_was_left_alone(model: Path) -> None:
    short, full = (run("compress", model, "--no-verify", "--force", *flags).stdout for flags in ((), ("-v",)))
    assert "onnxruntime" in full
    assert len(full) > len(short)


def test_an_existing_result_is_replaced_only_by_force(model: Path) -> None:
    target = model.with_name("model.compressed.onnx")
    target.write_text("precious")
    refused = run("compress", model, "--no-verify")
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "exists" in refused.stderr
    assert target.read_text() == "precious"
    assert run("compress", model, "--no-verify", "--force").exit_code == ExitCode.DONE
    assert target.read_bytes() != b"precious"


def test_the_model_itself_is_never_the_output(model: Path) -> None:
    before = model.read_bytes()
    refused = run("compress", model, "-o", model, "--force", "--no-verify")
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert model.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compress", "{folder}/no[v2].onnx"), "no[v2].onnx: no such file"),
        (("compress", "{folder}", "-o", "{model}", "--force"), "is not a folder"),
        (("compress", "{folder}", "-o", "{folder}", "--force"), "is the input"),
        (("compress", "{folder}", "-o", "{folder}/none/out"), "does not exist"),
        (("compress", "{folder}", "-o", "{folder}/" + "o" * 300), "too long"),
        (("compress", "{folder}", "-o", "-"), "cannot be printed"),
        (("compress", "{folder}", "{model}"), "name one folder alone, or files"),
        (("compress", "{model}", "{model}"), "have the same name"),
        (("compress", "{model}", "{folder}/none/MODEL.onnx"), "have the same name"),
        (("compress", "{model}", "{folder}/none.onnx"), "none.onnx: no such file"),
        (("compress", "{model}", "-o", ""), "is a folder"),
        (("compress", "{model}", "-o", "-"), "cannot be printed"),
        (("compress", "{model}", "-o", "{folder}"), "is a folder"),
        (("compress", "{model}", "-o", "{folder}/" + "o" * 300), "too long"),
        (("compress", "{folder}/" + "m" * 300), "too long"),
        (("compress", "{model}", "--passes", "shrink"), "no pass 'shrink'"),
        (("compress", "{model}", "--passes", ","), "no pass is named"),
        (("compress", "{model}", "--passes", "fuse", "--recipe", "r.toml"), "give one of them"),
        (("compress", "{model}", "--recipe", "{folder}/none.toml"), "none.toml"),
        (("compress", "{model}", "--json", "{folder}/none/r.json"), "cannot be written"),
        (("compress", "{model}", "--json", "{model}"), "not an earlier report"),
        (("compress", "{model}", "--json", "-", "--markdown", "-"), "named twice"),
        (("compress", "{model}", "-o", "{folder}/r", "--json", "{folder}/r"), "named twice"),
        (("compress", "{model}", "-o", "{folder}/none/out.onnx"), "none"),
        (("inspect", "{folder}/none.onnx"), "no such file"),
        (("inspect", "{model}", "--json", "{folder}"), "is a folder"),
        (("compare", "{model}", "{folder}/none.onnx"), "no such file"),
        (("compare", "{model}", "{model}", "--atol", "nan"), "nan"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_changes_nothing(
    model: Path, arguments: tuple[str, ...], said: str
) -> None:
    before = {path: path.read_bytes() for path in model.parent.iterdir()}
    result = run(*(argument.format(model=model, folder=model.parent) for argument in arguments))
    assert result.exit_code == ExitCode.BAD_INPUT
    assert said in result.stderr
    assert result.stderr.startswith("compressor: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert {path: path.read_bytes() for path in model.parent.iterdir()} == before


@pytest.mark.parametrize(
    "arguments", [("compress",), ("compress", "m", "--odd"), ("odd",), ("compare", "a", "b", "--atol", "x")]
)
def test_usage_errors_end_with_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == ExitCode.BAD_INPUT


def test_a_name_in_an_error_cannot_drive_the_terminal(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    def refuse(*arguments: object, **options: object) -> Report:
        raise ModelError("weight 'a\x1b[2J\n[bold]' is odd")

    monkeypatch.setattr(pipeline, "compress", refuse)
    assert run("compress", model).stderr == "compressor: weight 'a\\x1b[2J\\n[bold]' is odd\n"


def test_a_rolled_back_pass_ends_with_1_and_says_so(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    real = pipeline.compress

    def break_a_claim(*arguments: Any, **options: Any) -> Report:
        report = real(*arguments, **options)
        broken = replace(report.steps[0], outcome=Outcome.ROLLED_BACK, reason="output 'y' differs by 0.5")
        return replace(report, steps=(broken, *report.steps[1:]))

    monkeypatch.setattr(pipeline, "compress", break_a_claim)
    result = run("compress", model, "--no-verify", "--quiet", "--json", "-")
    assert result.exit_code == ExitCode.BROKEN
    assert result.stderr == "compressor: deduplicate was rolled back: output 'y' differs by 0.5\n"
    assert json.loads(result.stdout)["steps"][0]["outcome"] == "rolled back"


def test_a_defect_is_not_taken_for_a_verdict(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    def fail(*arguments: object, **options: object) -> Report:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(pipeline, "compress", fail)
    result = run("compress", model)
    assert result.exit_code == ExitCode.DEFECT
    assert "ZeroDivisionError: inside" in result.stderr
    assert "please report" in result.stderr


def test_too_little_memory_is_no_defect(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    def fail(*arguments: object, **options: object) -> Report:
        raise MemoryError

    monkeypatch.setattr(pipeline, "compress", fail)
    result = run("compress", model)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert result.stderr.splitlines()[-1].startswith("compressor: there is not enough memory; free some")


def test_an_interruption_is_one_line_and_leaves_no_file(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    def interrupt(*arguments: object, **options: object) -> Report:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "compress", interrupt)
    result = run("compress", model, "--json", model.parent / "report.json")
    assert (result.exit_code, result.stderr) == (ExitCode.INTERRUPTED, "compressor: interrupted\n")
    assert list(model.parent.iterdir()) == [model]


@pytest.mark.parametrize("command", [(), ("compress",), ("inspect",), ("compare",)])
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == ExitCode.DONE
    if command:
        assert "Examples:" in result.stdout
        assert f"\n    compressor {command[0]} model.onnx" in result.stdout


def test_says_its_version() -> None:
    assert run("--version").stdout == f"compressor {compressor.__version__}\n"


@pytest.mark.parametrize(
    ("model", "output"),
    [
        ("a/model.onnx", "a/model.compressed.onnx"),
        ("bert.v2.onnx", "bert.v2.compressed.onnx"),
        ("Model.ONNX", "Model.compressed.onnx"),
        ("model", "model.compressed.onnx"),
        ("bert.v2", "bert.v2.compressed.onnx"),
    ],
)
def test_names_the_result_after_the_model(model: str, output: str) -> None:
    assert beside_model(Path(model)) == Path(output)


def test_a_broken_limit_ends_with_exit_code_1_and_writes_nothing(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    result = run("compress", model, "-o", out, "--max-size", "1%")
    assert result.exit_code == ExitCode.BROKEN
    assert not out.exists()
    assert "limit of 1%" in result.stderr
    assert "limit broken: the size is" in " ".join(result.stdout.split())


def test_limits_that_need_runs_are_refused_with_no_verify(model: Path) -> None:
    result = run("compress", model, "--no-verify", "--min-speedup", "1")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "min_speedup: can only be checked by running the models" in result.stderr
