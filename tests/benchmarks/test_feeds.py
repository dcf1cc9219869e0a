from __future__ import annotations

import feeds
import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

ENCODER = """
<ir_version: 8, opset_import: ["" : 17]>
g (int64[batch, sequence] input_ids, int64[batch, sequence] attention_mask, float[batch, 4] more)
    => (float[batch, sequence, 2] y, float[batch, 4] z)
    <float[7, 2] words = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}> {
    small = Cast <to = 6> (input_ids)
    y = Gather (words, small)
    z = Identity (more)
}
"""


@pytest.fixture
def encoder() -> onnx.ModelProto:
    return parse_model(ENCODER)


def test_ids_lie_within_the_table_they_index(encoder: onnx.ModelProto) -> None:
    made = feeds.make_feeds(encoder, rows=8, positions=64, padding=feeds.Padding.NONE)
    assert (made["input_ids"].min(), made["input_ids"].max()) == (0, 6)
    assert made["attention_mask"].all()
    assert made["more"].dtype == np.float32
    assert made["more"].shape == (8, 4)


def test_padding_on_the_right_ends_rows_and_leaves_the_first_full(encoder: onnx.ModelProto) -> None:
    mask = feeds.make_feeds(encoder, rows=4, positions=16, padding=feeds.Padding.RIGHT)["attention_mask"]
    assert mask[0].all()
    assert all((np.diff(row) <= 0).all() and not row.all() and row[0] for row in mask[1:])


def test_other_padding_is_on_the_left_or_in_holes(encoder: onnx.ModelProto) -> None:
    mask = feeds.make_feeds(encoder, rows=4, positions=16, padding=feeds.Padding.ANY)["attention_mask"]
    assert (np.diff(mask[1]) >= 0).all()
    assert not mask[1, 0]
    assert (np.diff(mask[2]) < 0).any()
    assert (np.diff(mask[2]) > 0).any()


def test_inputs_are_the_same_every_time(encoder: onnx.ModelProto) -> None:
    one, other = (feeds.make_feeds(encoder, rows=2, positions=9, padding=feeds.Padding.ANY) for _ in range(2))
    assert all((one[name] == other[name]).all() for name in one)
