from __future__ import annotations

from pathlib import Path
from typing import Any

import fusion_page
import numpy as np
import onnx
import pytest
from fusion_contenders import CONTENDERS, SHAPES, difference, judged, outputs
from fusion_matrix import attention_layers, is_measured
from onnx.parser import parse_model

from tests.conftest import FIXTURES

ATTENTION = """
<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
g (float[batch, sequence, 8] q, float[batch, sequence, 8] k, float[batch, sequence, 8] v) => (float[batch, n, m] y)
<float[8, 8] weight> {
    CHANGE
}
"""


def counted(change: str) -> int:
    number: int = attention_layers(parse_model(ATTENTION.replace("CHANGE", change)))
    return number


def test_a_softmax_between_two_products_of_computed_values_counts() -> None:
    scores = "t = Transpose <perm = [0, 2, 1]> (k)\n s = MatMul (q, t)\n"
    assert counted(f"{scores} p = Softmax (s)\n y = MatMul (p, v)") == 1
    assert counted(f"{scores} m = Add (s, s)\n p = Softmax (m)\n d = Identity (p)\n y = MatMul (d, v)") == 1


@pytest.mark.parametrize(
    "change",
    [
        "s = MatMul (q, weight)\n p = Softmax (s)\n y = MatMul (p, v)",
        "s = MatMul (q, k)\n p = Softmax (s)\n t = Transpose (weight)\n y = MatMul (p, t)",
        "s = MatMul (q, k)\n y = Softmax (s)",
        "s = MatMul (q, k)\n r = Softmax (s)\n p = Softmax (r)\n y = Identity (p)",
    ],
    ids=["scores from a weight", "a weight behind it", "nothing behind it", "a classifier over scores"],
)
def test_a_softmax_of_another_kind_does_not_count(change: str) -> None:
    change = change if "weight" not in change else f"weight = Constant <value_floats = [1.0]> ()\n {change}"
    assert counted(change) == 0


def test_an_operator_that_is_attention_counts_as_it_is() -> None:
    assert counted("y = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v)") == 1


def test_differences_are_relative_and_gaps_must_agree() -> None:
    old = {SHAPES[0]: [np.array([1.0, -4.0]), np.array([np.nan, 2.0])]}
    assert difference(old, old) == 0
    assert difference(old, {SHAPES[0]: [np.array([1.0, -3.0]), old[SHAPES[0]][1]]}) == 0.25
    assert difference(old, {SHAPES[0]: [old[SHAPES[0]][0], np.array([1.0, 2.0])]}) == float("inf")
    assert difference(old, {SHAPES[0]: [np.ones(3), old[SHAPES[0]][1]]}) == float("inf")


def test_an_original_of_one_length_is_compared_at_that_length(tmp_path: Path) -> None:
    fixed = """
        <ir_version: 8, opset_import: ["" : 17]> g (float[batch, sequence] x) => (float[batch, 16] y) {
            shape = Constant <value_ints = [-1, 16]> ()
            y = Reshape (x, shape)
        }
    """
    onnx.save(parse_model(fixed), tmp_path / "m.onnx")
    found = outputs(tmp_path / "m.onnx")
    assert list(found) == [SHAPES[0]]
    with pytest.raises(Exception, match="Reshape"):
        outputs(tmp_path / "m.onnx", SHAPES)


@pytest.mark.slow
def test_every_contender_is_judged_the_same_way() -> None:
    path = FIXTURES / "bert.sdpa.torchscript17.onnx"
    ours = judged(CONTENDERS["compressor"], path)
    assert (ours["fused"], ours["left"]) == (2, [])
    assert ours["difference"] < 1e-5

    def broken(source: Path, out: Path) -> list[str]:
        CONTENDERS["compressor"](source, out)
        model = onnx.load(out)
        model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
        onnx.save(model, out)
        return []

    assert judged(broken, path).get("difference", 1) > 1e-4

    def raising(source: Path, out: Path) -> list[str]:
        raise KeyError(f"no such thing in {source}")

    assert judged(raising, path)["error"] == "KeyError: 'no such thing in bert.sdpa.torchscript17.onnx'"


def row(layers: int, **fused: dict[str, Any]) -> dict[str, Any]:
    entries = {name: {"fused": 0, "difference": 0.0, "left": []} for name in CONTENDERS}
    return {"layers": layers, **entries, **fused}


def test_a_wrong_result_counts_as_not_fused() -> None:
    figures = {
        "bert.sdpa.dynamo-20": row(2, compressor={"fused": 2, "difference": 1e-7, "left": []}),
        "gpt2.sdpa.dynamo-20": row(
            2,
            compressor={"fused": 1, "difference": 1e-7, "left": ["the scores go elsewhere"]},
            onnxscript={"fused": 2, "difference": 0.5},
            onnxruntime={"error": "KeyError: no"},
        ),
    }
    page = fusion_page.as_page(figures, {}, "here")
    assert "| dynamo-20 | 2 | 4 | 3 (75%) | 0 (0%), 1 ✗ | 0 (0%) | 0 (0%), 1 ✗ | 0 |" in page
    assert "- gpt2: the scores go elsewhere (dynamo-20)" in page
    assert "| gpt2, sdpa | **1** ✗<sup>1</sup> 0 2✗ of 2 |" in page
    assert "1. onnxruntime: KeyError: no" in page


def test_where_a_peer_fuses_more_the_page_says_so() -> None:
    better = {"fused": 2, "difference": 1e-7, "left": []}
    page = fusion_page.as_page({"bert.sdpa.dynamo-20": row(2, onnxscript=better)}, {}, "here")
    assert "| dynamo-20 | 1 | 2 | 0 (0%) | 0 (0%) | 0 (0%) | 2 (100%) | 1 |" in page


def test_only_rows_with_all_contenders_count_as_measured() -> None:
    assert is_measured({"layers": 0})
    assert is_measured(row(2))
    assert not is_measured({"layers": 2, "compressor": {"fused": 2}})
