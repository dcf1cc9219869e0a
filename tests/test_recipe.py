"""Recipes: by default, by names, from TOML, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from compressor.errors import OptionError
from compressor.passes.deduplicate import DeduplicateInitializers
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantize import QuantizeDynamic
from compressor.recipe import PASSES, Recipe


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_the_default_is_deduplicate_fuse_quantize() -> None:
    assert [step.name for step in Recipe.default().passes] == ["deduplicate", "fuse", "smooth", "quantize"]


def test_every_pass_is_called_by_its_own_name() -> None:
    assert {name: kind.name for name, kind in PASSES.items()} == {name: name for name in PASSES}


def test_takes_passes_in_any_order_and_more_than_once() -> None:
    recipe = Recipe.from_names(["quantize", "deduplicate", "quantize"])
    assert [step.name for step in recipe.passes] == ["quantize", "deduplicate", "quantize"]


def test_refuses_an_unknown_name_and_offers_the_known_ones() -> None:
    with pytest.raises(OptionError, match="no pass 'prune'; choose from deduplicate, fuse, smooth, quantize"):
        Recipe.from_names(["prune"])


def test_refuses_an_empty_chain() -> None:
    with pytest.raises(OptionError, match="no pass is named"):
        Recipe.from_names([])


def test_reads_options_from_toml(tmp_path: Path) -> None:
    path = write(tmp_path, '[[pass]]\nname = "quantize"\nmin_elements = 7\n')
    (step,) = Recipe.from_toml(path).passes
    assert isinstance(step, QuantizeDynamic)
    assert step.min_elements == 7


@pytest.mark.parametrize("scheme", Scheme)
def test_every_scheme_has_a_name_in_toml(scheme: Scheme, tmp_path: Path) -> None:
    path = write(tmp_path, f'[[pass]]\nname = "quantize"\nscheme = "{scheme.value}"\nblock_size = 64\n')
    assert Recipe.from_toml(path).passes == (QuantizeDynamic(scheme=scheme, block_size=64),)


def test_a_scheme_is_put_into_every_quantize_pass_and_leaves_its_other_options() -> None:
    recipe = Recipe((DeduplicateInitializers(), QuantizeDynamic(min_elements=7)))
    expected = (DeduplicateInitializers(), QuantizeDynamic(min_elements=7, scheme=Scheme.BLOCKWISE_4))
    assert recipe.with_scheme(Scheme.BLOCKWISE_4).passes == expected


def test_refuses_a_scheme_that_no_pass_takes() -> None:
    with pytest.raises(OptionError, match="scheme 'fp16' is of no use here: none of the passes is 'quantize'"):
        Recipe.from_names(["deduplicate"]).with_scheme(Scheme.FP16)


def test_what_it_writes_it_reads_back(tmp_path: Path) -> None:
    recipe = Recipe.default()
    assert Recipe.from_toml(write(tmp_path, recipe.to_toml())) == recipe


def test_writes_names_that_toml_must_escape(tmp_path: Path) -> None:
    recipe = Recipe((QuantizeDynamic(exclude=('a"b\\c', "line\nbreak\x7f", "\u00fc\U0001f600")),))
    assert Recipe.from_toml(write(tmp_path, recipe.to_toml())) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pass = 3", r"holds no \[\[pass\]\] table"),
        ("", r"holds no \[\[pass\]\] table"),
        ("[[pass]]\n", "has no name"),
        ('[[pass]]\nname = "prune"', "no pass 'prune'"),
        ('[[pass]]\nname = "quantize"\nbits = 3', "has no option 'bits'; its options: "),
        ('[[pass]]\nname = "quantize"\nmin_elements = "many"', "is 'many'; it takes a value like"),
        ('[[pass]]\nname = "quantize"\nmin_elements = true', "is True; it takes a value like"),
        ('title = "x"\n[[pass]]\nname = "fuse"', "has title; a recipe holds"),
        ("[[pass]", "is not TOML"),
        ('[[pass]]\nname = "quantize"\nscheme = ["dynamic"]', "is \\['dynamic'\\]; choose from dynamic, weight-only"),
        ('[[pass]]\nname = "quantize"\nscheme = "fast"', "is 'fast'; choose from dynamic, weight-only"),
        ('[[pass]]\nname = "fuse"\nwithout = ["softmax"]', "recipe.toml: fuse: without has no 'softmax'"),
        ("a = " + "[" * 5000, "is not TOML|is nested too deeply"),
    ],
)
def test_refuses_what_it_cannot_use(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Recipe.from_toml(write(tmp_path, text))


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read: No such file"):
        Recipe.from_toml(tmp_path / "none.toml")
