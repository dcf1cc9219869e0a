"""Compressing an export folder: the result holds what readers need beside the models, the source stays as it is."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import pytest

from compressor import __version__
from compressor.cli import ExitCode
from compressor.folder import copying
from compressor.folder.naming import Naming, result_name
from compressor.folder.ort_config import NAME
from compressor.model import together
from compressor.model.drafts import finish_file
from tests.commands import run
from tests.conftest import FIXTURES
from tests.model.saving import posix_only
from tests.test_together import answers, write_pair

KEPT = {"config.json": '{"model_type": "t5"}', "tokenizer.json": "{}", "generation_config.json": "{}"}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    write_pair(folder)
    for name, text in KEPT.items():
        (folder / name).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def compressed(folder: Path, *options: str) -> Path:
    out = folder.parent / "out"
    result = run("compress", folder, "-o", out, "--no-verify", "--quiet", *options)
    assert result.exit_code == ExitCode.DONE, result.stderr
    return out


def test_what_goes_along_is_copied_and_reported(export: Path) -> None:
    before = contents(export)
    result = run("compress", export, "-o", export.parent / "out", "--no-verify", "--json", "-")
    found = json.loads(result.stdout)
    after = contents(export.parent / "out")
    assert {name: after[name].decode() for name in KEPT} == KEPT
    assert [Path(path).name for path in found["sidecars"]] == [*sorted(KEPT), NAME]
    assert found["sidecars_refused"] == []
    assert contents(export) == before


def test_models_only_leaves_everything_else(export: Path) -> None:
    assert all(name.endswith((".onnx", ".data")) for name in contents(compressed(export, "--models-only")))


def test_the_file_for_optimum_holds_facts_of_these_models(export: Path) -> None:
    facts = json.loads(contents(compressed(export))[NAME])
    assert facts["opset"] == 17
    assert facts["use_external_data_format"] is True
    assert facts["optimization"] == {}
    assert facts["quantization"]["operators_to_quantize"] == ["Gather", "MatMul"]
    assert facts["quantization"]["weights_dtype"] == "QInt8"
    assert facts["quantization"]["is_static"] is False
    assert facts["compressor_recipe"].startswith("[[pass]]")
    assert facts["compressor_version"] == __version__, "which is known without an installation, too"


@pytest.mark.parametrize("options", [("--passes", "deduplicate"), ("--scheme", "weight-only")], ids=" ".join)
def test_the_file_for_optimum_says_nothing_of_a_scheme_it_has_no_words_for(
    export: Path, options: tuple[str, ...]
) -> None:
    assert json.loads(contents(compressed(export, *options))[NAME])["quantization"] == {}


def test_quantized_names_have_their_weights_inside(export: Path) -> None:
    out = compressed(export, "--naming", "quantized")
    models = {"encoder_quantized.onnx", "decoder_quantized.onnx"}
    assert contents(out).keys() == {*models, *KEPT, NAME}
    assert json.loads((out / NAME).read_text())["use_external_data_format"] is False
    plain = compressed(export, "--force")
    for name in ("encoder", "decoder"):
        assert (answers(out / f"{name}_quantized.onnx") == answers(plain / f"{name}.onnx")).all()


def test_weights_stay_inside_on_request(export: Path) -> None:
    out = compressed(export, "--no-shared-data")
    assert contents(out).keys() == {"encoder.onnx", "decoder.onnx", *KEPT, NAME}


def test_models_in_a_folder_called_onnx_stay_in_one(export: Path) -> None:
    (export / "onnx").mkdir()
    for name in ("encoder.onnx", "decoder.onnx"):
        (export / name).rename(export / "onnx" / name)
    out = compressed(export, "--naming", "quantized")
    assert contents(out).keys() == {"onnx/encoder_quantized.onnx", "onnx/decoder_quantized.onnx", *KEPT, NAME}


def test_results_can_go_beside_their_sources_and_nothing_else_changes(export: Path) -> None:
    before = contents(export)
    result = run("compress", export, "-o", export, "--no-verify", "--naming", "quantized")
    assert result.exit_code == ExitCode.DONE, result.stderr
    after = contents(export)
    assert after.keys() - before.keys() == {"encoder_quantized.onnx", "decoder_quantized.onnx"}
    assert {name: after[name] for name in before} == before


def test_a_file_of_another_content_is_replaced_only_by_force(export: Path) -> None:
    out = export.parent / "out"
    out.mkdir()
    (out / "config.json").write_text("mine")
    refused = run("compress", export, "-o", out, "--no-verify")
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "config.json: exists and is another file" in refused.stderr
    assert contents(out) == {"config.json": b"mine"}
    assert contents(compressed(export, "--force"))["config.json"].decode() == KEPT["config.json"]


def test_the_config_of_another_program_is_replaced_only_by_force(export: Path) -> None:
    out = export.parent / "out"
    out.mkdir()
    (out / NAME).write_text('{"optimum_version": "1.14.1"}')
    refused = run("compress", export, "-o", out, "--no-verify")
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert f"{NAME}: exists and is another file" in refused.stderr


def test_a_second_run_by_force_gives_the_same_files(export: Path) -> None:
    first = contents(compressed(export))
    assert contents(compressed(export, "--force")) == first


@pytest.mark.parametrize("options", [(), ("--naming", "quantized")])
def test_where_nothing_is_written_nothing_is_copied(export: Path, options: tuple[str, ...]) -> None:
    result = run("compress", export, "-o", export.parent / "out", "--no-verify", "--max-size", "1kB", *options)
    assert result.exit_code == ExitCode.BROKEN
    assert not (export.parent / "out").exists()


@pytest.mark.parametrize("module", [copying, together], ids=["of copies", "of models"])
@pytest.mark.parametrize("number", range(5))
def test_a_full_disk_leaves_nothing(
    export: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, number: int
) -> None:
    finished = itertools.count()

    def finish(file: BinaryIO, mode: int) -> None:
        if next(finished) == min(number, 2 if module is together else 4):
            raise OSError(28, "No space left on device")
        finish_file(file, mode)

    monkeypatch.setattr(module, "finish_file", finish)
    grouped(export)
    result = run("compress", export, "-o", export.parent / "out", "--no-verify")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "No space left on device" in result.stderr
    assert [path.name for path in export.parent.iterdir()] == ["export"]


def grouped(export: Path) -> Path:
    """The same export with its models in a folder of their own, and the settings of a pipeline's step in another."""
    (export / "onnx").mkdir()
    for name in ("encoder.onnx", "decoder.onnx"):
        (export / name).rename(export / "onnx" / name)
    return with_step(export)


def with_step(export: Path) -> Path:
    (export / "1_Pooling").mkdir()
    (export / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    return export


def failing(monkeypatch: pytest.MonkeyPatch, number: int) -> list[Path]:
    """Let the rename with this number fail, counted from 0; what is returned lists those that were tried."""
    tried: list[Path] = []
    rename = Path.replace

    def replace(path: Path, target: Path) -> Path:
        tried.append(target)
        if len(tried) == number + 1:
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    return tried


@pytest.mark.parametrize("arrange", [with_step, grouped])
@pytest.mark.parametrize("is_there", [False, True], ids=["new", "replaced"])
def test_all_files_get_their_names_or_none_does(
    export: Path, monkeypatch: pytest.MonkeyPatch, arrange: Callable[[Path], Path], is_there: bool
) -> None:
    arrange(export)
    out = export.parent / "out"
    if is_there:
        compressed(export, "--passes", "deduplicate")
        (out / "config.json").write_text("mine")
        (out / NAME).write_text("mine")
    before = contents(export.parent)
    options: tuple[str | Path, ...] = ("-o", out, "--no-verify", "--quiet", *(["--force"] if is_there else []))
    for number in range(20):
        with monkeypatch.context() as patched:
            tried = failing(patched, number)
            result = run("compress", export, *options)
        if len(tried) <= number:
            break
        assert result.exit_code == ExitCode.BAD_INPUT
        assert "Input/output error" in result.stderr
        assert contents(export.parent) == before, tried
        assert out.exists() == is_there
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert [path.suffix for path in tried[-2:]] == [".onnx", ".onnx"], "where the models are, all is"
    assert (out / "config.json").read_text() == KEPT["config.json"]
    assert {"config.json", NAME, "encoder.onnx"} <= {path.name for path in tried}


@posix_only
def test_a_link_out_of_the_folder_is_a_warning(export: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (export / "vocab.txt").symlink_to(tmp_path / "secret")
    result = run("compress", export, "-o", tmp_path / "out", "--no-verify")
    assert result.exit_code == ExitCode.DONE
    assert "vocab.txt was not copied: it is a link that leads out of the folder" in " ".join(result.stdout.split())
    assert "vocab.txt" not in contents(tmp_path / "out")


def test_a_link_in_the_result_is_replaced_not_written_through(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "precious").write_text("precious")
    (out / "config.json").symlink_to(tmp_path / "precious")
    compressed(export, "--force")
    assert (tmp_path / "precious").read_text() == "precious"
    assert (out / "config.json").read_text() == KEPT["config.json"]


def test_two_results_of_one_name_are_refused(export: Path) -> None:
    shutil.copy(export / "encoder.onnx", export / "encoder_quantized.onnx")
    result = run("compress", export, "--no-verify", "--naming", "quantized")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "have the same name" in result.stderr


@pytest.mark.parametrize("naming", [naming.value for naming in Naming if naming is not Naming.KEEP])
def test_every_other_name_has_its_weights_inside_too(export: Path, naming: str) -> None:
    out = compressed(export, "--naming", naming, "--models-only")
    assert contents(out).keys() == {f"encoder_{naming}.onnx", f"decoder_{naming}.onnx"}
    (named,) = out.glob("encoder*")
    assert result_name(named, Naming(naming)) == named.name, "a name that says so stays"


def test_naming_and_an_output_file_contradict_each_other(export: Path) -> None:
    named = run("compress", export / "encoder.onnx", "-o", export / "x.onnx", "--naming", "quantized")
    assert named.exit_code == ExitCode.BAD_INPUT
    assert "--output and --naming both name the result" in named.stderr
    alone = run("compress", export / "encoder.onnx", "--naming", "quantized", "--no-verify")
    assert alone.exit_code == ExitCode.DONE, alone.stderr
    assert (export / "encoder_quantized.onnx").exists()


def test_one_model_of_a_folder_is_judged_on_data(tmp_path: Path) -> None:
    folder = FIXTURES / "albert-banking77"
    options = ("--data", folder / "questions.csv", "--labels", "category", "--samples", "32", "--passes", "deduplicate")
    result = run("compress", folder, "-o", tmp_path / "out", *options, "--json", "-")
    assert result.exit_code == ExitCode.DONE, result.stderr
    (report,) = json.loads(result.stdout)["reports"]
    assert report["original_score"]["samples"] == 32
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "config.json",
        "model.onnx",
        "ort_config.json",
        "tokenizer.json",
    }
