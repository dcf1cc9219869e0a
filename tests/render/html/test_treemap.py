"""Every byte of a model gets its share of the drawing, and a drawing to scale is in scale."""

from __future__ import annotations

import re
import time

import pytest

from compressor.render.composition import Kind
from compressor.render.html.squarify import Box
from compressor.render.html.treemap import tiles, treemap, treemap_to_scale
from compressor.report import Size
from tests.render.drawn import albert, layer

BOX = Box(0.0, 0.0, 1000.0, 320.0)
TREE = albert(12, 9_000_000, "FLOAT")
SIZE = Size(total_bytes=TREE.all_weight_bytes + 5_000_000, weight_bytes=TREE.weight_bytes, metadata_bytes=2_000_000)


def test_tiles_hold_every_byte_and_their_areas_are_in_proportion() -> None:
    found = [tile for tile in tiles(TREE, SIZE, BOX) if tile.kind is not None]
    assert sum(tile.count for tile in found) == SIZE.total_bytes
    for tile in found:
        assert tile.box.area == pytest.approx(BOX.area * tile.count / SIZE.total_bytes, rel=1e-6)
    assert {tile.kind for tile in found} == {Kind.FLOAT, Kind.GRAPH, Kind.METADATA, Kind.OTHER}


def test_a_tile_is_inside_the_outline_of_its_layer() -> None:
    found = tiles(TREE, SIZE, BOX)
    outlines = {tile.path: tile.box for tile in found if tile.kind is None}
    assert ("albert", "layer", "3") in outlines
    for tile in found:
        for depth in range(1, len(tile.path)):
            outer = outlines.get(tile.path[:depth])
            if outer is not None:
                assert outer.x - 1e-6 <= tile.box.x
                assert tile.box.x + tile.box.width <= outer.x + outer.width + 1e-6


def test_a_drawing_to_scale_has_its_share_of_the_frame() -> None:
    quarter = treemap_to_scale(TREE, SIZE, 4 * SIZE.total_bytes)
    right, bottom = 0.0, 0.0
    for x, y, width, height in re.findall(
        r'<rect class="kind-.+?" x="(.+?)" y="(.+?)" width="(.+?)" height="(.+?)"', quarter
    ):
        right, bottom = max(right, float(x) + float(width)), max(bottom, float(y) + float(height))
    assert right == pytest.approx(500, abs=0.1)
    assert bottom == pytest.approx(160, abs=0.1)


def test_a_hundred_thousand_layers_make_no_hundred_thousand_tiles() -> None:
    many = layer(
        "", {}, *(layer(f"l{i}", {}, *(layer(f"p{j}", {"FLOAT": 4}) for j in range(100))) for i in range(1000))
    )
    size = Size(total_bytes=many.all_weight_bytes, weight_bytes=many.weight_bytes)
    started = time.process_time()
    assert len(tiles(many, size, BOX)) <= 2000
    assert time.process_time() - started < 5


def test_a_model_without_weights_is_all_graph() -> None:
    (tile,) = tiles(layer("", {}), Size(total_bytes=100, weight_bytes={}), BOX)
    assert (tile.kind, tile.count, tile.box) == (Kind.GRAPH, 100, BOX)


def test_labels_are_escaped_and_fit() -> None:
    tree = layer("", {}, layer("a<b>&\x1b", {"FLOAT": 10**6}), layer("x" * 500 + ".tail", {"FLOAT": 10**6}))
    text = treemap(tree, Size(total_bytes=2 * 10**6, weight_bytes=tree.weight_bytes))
    assert "a&lt;b&gt;&amp;\\x1b" in text
    assert max(map(len, re.findall(r"<text[^>]*>(.*?)</text>", text))) < 100
