"""The model card says what is known of how a model was made, and that it is Markdown whatever names are in it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from compressor.recipe import Recipe
from compressor.render.as_model_card import MARK, card_of_report, card_of_set
from compressor.report import Report, SetReport
from tests.commands import run
from tests.test_together import write_pair

Golden = Callable[[str, str], None]


def test_the_card_of_a_model(report: Report, golden: Golden) -> None:
    recipe = Recipe.from_names(["deduplicate"]).to_toml()
    golden("model_card.md", card_of_report(replace(report, recipe=recipe, samples="24 rows made from the graph.")))


def test_the_card_of_models_that_belong_together(set_report: SetReport, golden: Golden) -> None:
    golden("model_card_of_set.md", card_of_set(set_report))


def test_a_model_that_was_not_run_claims_nothing(unverified_report: Report) -> None:
    assert "nothing is known of its accuracy" in card_of_report(unverified_report)


def test_a_pattern_of_the_recipe_cannot_end_its_block(report: Report) -> None:
    recipe = 'exclude = ["`````"]'
    assert f"``````toml\n{recipe}\n``````\n" in card_of_report(replace(report, recipe=recipe))


def test_a_recipe_of_a_card_makes_the_same_model_again(tmp_path: Path) -> None:
    model, _ = write_pair(tmp_path)
    first, second, card = tmp_path / "first.onnx", tmp_path / "second.onnx", tmp_path / "card.md"
    assert run("compress", model, "-o", first, "--passes", "quantize", "--model-card", card).exit_code == 0
    text = card.read_text()
    assert text.startswith(MARK)
    (tmp_path / "recipe.toml").write_text(text.split("```toml\n")[1].split("```")[0])
    assert run("compress", model, "-o", second, "--recipe", tmp_path / "recipe.toml").exit_code == 0
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("options", [(), ("--naming", "int8"), ("--no-shared-data",)], ids=" ".join)
@pytest.mark.parametrize("place", [".", "onnx"])
def test_the_command_of_a_card_makes_the_same_folder_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, options: tuple[str, ...]
) -> None:
    (tmp_path / "export" / place).mkdir(parents=True)
    write_pair(tmp_path / "export" / place)
    (tmp_path / "export/config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    how = ("--passes", "quantize", "--no-verify", "--model-card", "card.md")
    assert run("compress", "export", "-o", "out", *how, *options).exit_code == 0
    text = Path("card.md").read_text()
    Path("recipe.toml").write_text(text.split("```toml\n")[1].split("```")[0])
    (command,) = [line.strip() for line in text.splitlines() if line.startswith("    compressor ")]
    Path("out").rename("first")
    assert run(*shlex.split(command)[1:], "--no-verify").exit_code == 0
    assert files(tmp_path / "first") == files(tmp_path / "out")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
