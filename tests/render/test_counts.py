from __future__ import annotations

import pytest

from compressor.render.counts import count_as_fact


@pytest.mark.parametrize(
    ("name", "one", "several"),
    [
        ("initializers_merged", "1 initializer merged", "1,077 initializers merged"),
        ("shape_computations_merged", "1 shape computation merged", "1,077 shape computations merged"),
        ("reshapes_made_constant", "1 reshape made constant", "1,077 reshapes made constant"),
        ("no_ops_dropped", "1 no-op dropped", "1,077 no-ops dropped"),
        ("outlier_rows_kept_in_float", "1 outlier row kept in float", "1,077 outlier rows kept in float"),
        ("factors_in_normalizations", "1 factor in normalizations", "1,077 factors in normalizations"),
        ("attention_caches_fused", "1 attention cache fused", "1,077 attention caches fused"),
        ("lstm_weights_in_int8", "1 LSTM weight in int8", "1,077 LSTM weights in int8"),
    ],
)
def test_the_noun_follows_the_number_wherever_it_stands(name: str, one: str, several: str) -> None:
    assert count_as_fact(name, 1) == one
    assert count_as_fact(name, 1077) == several


def test_a_noun_in_the_singular_gets_its_plural() -> None:
    assert count_as_fact("layer_normalization_fused", 1) == "1 layer normalization fused"
    assert count_as_fact("layer_normalization_fused", 25) == "25 layer normalizations fused"
    assert count_as_fact("rotary_embedding_fused", 2) == "2 rotary embeddings fused"


def test_kinds_of_operators_have_no_plural() -> None:
    assert count_as_fact("attention_fused", 12) == "12 attention fused"
    assert count_as_fact("matmul_in_int8", 25) == "25 MatMul in int8"
    assert count_as_fact("bias_gelu_fused", 1) == "1 bias GELU fused"
    assert count_as_fact("grouped_queries_fused", 1) == "1 grouped queries fused"
    assert count_as_fact("decoded_to_float", 3) == "3 decoded to float"


def test_a_name_nobody_foresaw_is_read_word_by_word() -> None:
    assert count_as_fact("bias_found", 1) == "1 bias found"
    assert count_as_fact("axis_found", 2) == "2 axis found"
    assert count_as_fact("edges_seen\x1b[2J", 1) == "1 edge seen\\x1b[2J"
