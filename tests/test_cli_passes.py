"""The command and its passes: which run, in which order, with which options, chosen by hand, recipe or search."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from compressor.cli import ExitCode
from compressor.recipe import Recipe
from tests.commands import draw_twice, run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return draw_twice(tmp_path)


def test_passes_run_in_the_order_given(model: Path) -> None:
    read = json.loads(run("compress", model, "--no-verify", "--passes", "quantize, deduplicate", "--json", "-").stdout)
    assert [step["name"] for step in read["steps"]] == ["quantize", "deduplicate"]


def test_a_scheme_is_a_shortcut_for_the_option_of_quantize(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    result = run("compress", model, "-o", out, "--passes", "quantize", "--scheme", "fp16", "--no-verify", "--json", "-")
    assert result.exit_code == 0
    (step,) = json.loads(result.stdout)["steps"]
    assert step["counts"]["stored_as_fp16"] == step["counts"]["weights_quantized"]


def test_what_is_excluded_stays_float(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    options = ["--passes", "quantize", "--no-verify", "--exclude", "nothing", "--exclude", "*", "--json", "-"]
    result = run("compress", model, "-o", out, *options)
    (step,) = json.loads(result.stdout)["steps"]
    assert step["outcome"] == "unchanged"
    assert {"excluded by '*'"} == {skip["reason"] for skip in step["skipped"] if "min_elements" not in skip["reason"]}
    assert step["reason"] == "nothing in this model is excluded by 'nothing'"


def test_an_exclusion_without_a_pass_that_quantizes_is_refused(model: Path, tmp_path: Path) -> None:
    result = run("compress", model, "-o", tmp_path / "out.onnx", "--passes", "deduplicate", "--exclude", "a")
    assert result.exit_code == 2
    assert "nothing to exclude 'a' from" in result.stderr


def test_a_scheme_without_a_pass_that_quantizes_is_refused(model: Path, tmp_path: Path) -> None:
    result = run("compress", model, "-o", tmp_path / "out.onnx", "--passes", "deduplicate", "--scheme", "fp16")
    assert result.exit_code == 2
    assert "none of the passes is 'quantize'" in result.stderr


def test_a_recipe_file_names_the_passes(model: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(Recipe.from_names(["deduplicate"]).to_toml())
    read = json.loads(run("compress", model, "--no-verify", "--recipe", recipe, "--json", "-").stdout)
    assert [step["name"] for step in read["steps"]] == ["deduplicate"]


def test_a_target_keeps_operators_of_onnx_runtime_out(tmp_path: Path) -> None:
    source, out = Path(__file__).parents[1] / "fixtures/bert.eager.torchscript11.onnx", tmp_path / "out.onnx"
    result = run("compress", source, "-o", out, "--no-verify", "--passes", "fuse,quantize", "--target", "standard")
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert {entry.domain for entry in onnx.load(out).opset_import} == {""}
    assert "the opset was raised from 11 to 23" in " ".join(result.stdout.split())


def test_a_target_without_a_pass_that_it_concerns_is_refused(model: Path) -> None:
    result = run("compress", model, "--passes", "deduplicate", "--target", "standard")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "none of the passes puts operators in" in " ".join(result.stderr.split())


def test_a_search_prints_what_it_tried_and_keeps_its_recipe(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    result = run("compress", model, "-o", out, "--search", "--min-cosine", "0.9")
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert "chosen" in result.stdout
    recipe = tmp_path / "out.recipe.toml"
    assert Recipe.from_toml(recipe).to_toml() == recipe.read_text()


def test_a_scheme_beside_a_search_is_refused(model: Path) -> None:
    refused = run("compress", model, "--search", "--min-cosine", "0.9", "--scheme", "fp16")
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert "--search chooses the scheme of every weight" in refused.stderr


def test_a_recipe_can_be_printed_and_is_not_written_over_anything_else(model: Path, tmp_path: Path) -> None:
    printed = run("compress", model, "-o", tmp_path / "out.onnx", "--no-verify", "--save-recipe", "-")
    assert printed.exit_code == ExitCode.DONE
    assert printed.stdout.startswith("[[pass]]")
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    refused = run("compress", model, "-o", tmp_path / "out2.onnx", "--no-verify", "--save-recipe", notes)
    assert refused.exit_code == ExitCode.BAD_INPUT
    assert notes.read_text() == "mine"
