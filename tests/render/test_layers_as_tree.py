"""The tree of layers: numbers folded, levels with one entry joined, the light left out and counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from rich.console import RenderableType

from compressor.render.folding import FoldedLayer, fold
from compressor.render.layers_as_tree import layers_as_tree
from compressor.report import Layer
from tests.render.drawn import layer

Printed: TypeAlias = Callable[[RenderableType], str]


def names(folded: FoldedLayer) -> list[str]:
    return [part.name for part in folded.parts]


def block(name: str, unit: int, *more: Layer) -> Layer:
    return layer(name, {}, layer("attention", {"FLOAT": unit}), layer("ffn", {"FLOAT": 2 * unit}), *more)


def test_layers_that_differ_in_their_number_are_folded_and_their_parts_added_up() -> None:
    (folded,) = fold(layer("", {"INT64": 8}, layer("layer", {}, *(block(str(i), 10) for i in range(12))))).parts
    assert (folded.name, folded.layers, folded.weight_bytes) == ("layer.0..11", 12, {"FLOAT": 360})
    assert [(part.name, part.weight_bytes["FLOAT"], part.weights) for part in folded.parts] == [
        ("ffn", 240, 12), ("attention", 120, 12),
    ]  # fmt: skip


def test_layers_with_other_parts_stay_apart() -> None:
    downsampling = layer("downsample", {"FLOAT": 1})
    found = fold(layer("", {"FLOAT": 1}, block("0", 10, downsampling), block("1", 9, downsampling), block("2", 8)))
    assert names(found) == ["0..1", "2"]


def test_numbers_that_are_missing_are_not_claimed() -> None:
    found = fold(layer("", {"FLOAT": 1}, block("0", 10), block("3", 9), block("7", 8)))
    assert names(found) == ["0..7 (3 of them)"]


def test_repeated_calls_of_one_layer_are_folded() -> None:
    calls = (layer(name, {"FLOAT": 4}) for name in ("ffn", "ffn_2", "ffn_1", "norm", "key_1"))
    found = fold(layer("", {"FLOAT": 1}, *calls))
    assert sorted(names(found)) == ["ffn, ffn_1..2", "key_1", "norm"]


def test_a_level_with_one_entry_is_joined_with_it_unless_it_has_weights_of_its_own() -> None:
    found = fold(
        layer(
            "",
            {"FLOAT": 1},
            layer("a", {}, layer("b", {}, layer("c", {"FLOAT": 1}))),
            layer("d", {"INT8": 1}, layer("e", {"INT8": 1})),
        )
    )
    assert names(found) == ["d", "a.b.c"]
    assert names(found.parts[0]) == ["e"]


def test_no_byte_is_lost_by_folding() -> None:
    def leaves(folded: FoldedLayer) -> int:
        own = folded.all_weight_bytes - sum(part.all_weight_bytes for part in folded.parts)
        assert own >= 0
        return own + sum(map(leaves, folded.parts))

    tree = layer("", {"FLOAT": 3}, *(block(str(i), i, layer("x", {"INT8": i})) for i in range(5)), block("5", 9))
    assert leaves(fold(tree)) == tree.all_weight_bytes


def test_the_light_layers_are_counted_and_shown_on_request(printed: Printed) -> None:
    tree = layer("", {}, *(layer(f"part{chr(97 + i)}", {"FLOAT": 1000 - i}) for i in range(20)))
    short, long = printed(layers_as_tree(tree)), printed(layers_as_tree(tree, verbose=True))
    assert "partp" in short
    assert "partq" not in short
    assert "and 4 lighter layers (-v shows all)" in short
    assert "partt" in long
    assert "lighter" not in long


def test_a_layer_is_shown_with_the_one_it_is_in(printed: Printed) -> None:
    deep = layer("deep", {}, layer("x", {"FLOAT": 10**6}), layer("y", {"FLOAT": 1}))
    tree = layer("", {}, deep, *(layer(f"part{chr(97 + i)}", {"FLOAT": 1000 - i}) for i in range(20)))
    lines = printed(layers_as_tree(tree)).splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["deep", "x"]
    assert lines[1].startswith("  x")


def test_weights_outside_every_layer_are_called_that(printed: Printed) -> None:
    assert "(weights without a layer)" in printed(layers_as_tree(layer("", {"FLOAT": 8, "INT64": 8})))


def test_names_of_layers_cannot_drive_the_terminal(printed: Printed) -> None:
    text = printed(layers_as_tree(layer("", {"FLOAT": 1}, layer("[red]\x1b[2J", {"FLOAT": 8}))))
    assert "[red]\\x1b[2J" in text
    assert "\x1b" not in text
