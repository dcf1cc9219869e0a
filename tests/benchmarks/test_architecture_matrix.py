"""Take a sample of the architecture matrix: real exports through the command, looked at with other eyes."""

from __future__ import annotations

from pathlib import Path

import architecture_matrix
import onnx
import pytest
from architecture_page import as_page
from fusion_matrix import attention_layers

from tests.conftest import FIXTURES

LARGEST_DRIFT = 0.05
"""Of an int8 result over random weights; the largest among these is 0.02."""

SAMPLE = {
    "bert.sdpa.torchscript17": 2,
    "albert.eager.torchscript11": 4,
    "albert.sdpa.dynamo": 4,
    "bert-mlm.sdpa.dynamo": 1,
    "gpt2.eager.torchscript17": 2,
    "llama.sdpa.torchscript17": 1,
    "roberta.eager.torchscript12": 1,
    "t5.eager.torchscript17": 6,
    "vit.sdpa.torchscript17": 2,
}
"""Fixture, and how many layers of attention it has."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layers"), SAMPLE.items(), ids=list(SAMPLE))
def test_the_default_chain_ends_well_on(name: str, layers: int, tmp_path: Path) -> None:
    path = FIXTURES / f"{name}.onnx"
    entry = architecture_matrix.compress(path, tmp_path)
    assert entry["exit_code"] == 0, entry["words"]
    assert entry["rolled_back"] == []
    assert attention_layers(onnx.load(path)) == layers == entry["fused"], entry["left"]
    assert entry["inputs_compared"] == [3, 3]
    assert 0 < entry["difference"] < LARGEST_DRIFT
    before, after = entry["bytes"]
    assert before > 1.8 * after
    page = as_page({f"{name}.route": {"layers": layers, "softmaxes": layers, **entry}}, {}, ["route"], "here")
    assert f"{before / after:.1f}x · {layers} / {layers} · {entry['difference']:.1e}" in page
    assert "1 end with exit code 0, 0 with a pass rolled back, 0 with a result that does not run" in page


def test_a_model_that_is_refused_is_a_row_with_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "bert.sdpa.route.onnx"
    broken.write_bytes(b"<html>not a model</html>")
    entry = {"layers": 0, "softmaxes": 0, **architecture_matrix.compress(broken, tmp_path)}
    assert entry["exit_code"] == 2
    page = as_page({"bert.sdpa.route": entry}, {}, ["route"], "here")
    assert "| bert | **failed**<sup>1</sup> |" in page
    assert "1. exit code 2: " in page


def test_an_architecture_that_was_not_exported_keeps_its_row_with_the_reason() -> None:
    page = as_page({}, {"xlnet.eager.route": "ConversionError: no"}, ["route"], "here")
    assert "| xlnet | –<sup>1</sup> |" in page
    assert "1. ConversionError: no" in page


def test_what_a_reader_must_know_stands_in_a_note() -> None:
    row = {
        "layers": 0,
        "softmaxes": 2,
        "exit_code": 1,
        "words": "broken promise",
        "bytes": [300, 200],
        "fused": 0,
        "difference": 0.001,
        "inputs_compared": [1, 3],
        "rolled_back": ["fuse"],
        "notes": {"smooth": "seen on generated inputs", "quantize": "on this host the result runs at 0.5 times"},
        "heaviest": "has 10 elements",
        "left": ["no such attention"],
        "warnings": ["some sizes were left out"],
    }
    page = as_page({"longformer.eager.route": row}, {}, ["route"], "here")
    notes = [line.partition(". ")[2] for line in page.partition("## Notes")[2].splitlines() if line]
    assert notes == [
        "exit code 1: broken promise",
        "fuse was rolled back",
        "smooth: seen on generated inputs",
        "the largest weight left in float: has 10 elements",
        "2 Softmax operators, none within 12 operators of a product on either side: attention of a form that is not "
        "counted, and not fused",
        "compared over 1 of 3 inputs: the original runs with no other length",
        "attention left: no such attention",
        "some sizes were left out",
    ]
    assert "| longformer | 1.5x · none counted · 1.0e-03<sup>1, 2, 3, 4, 5, 6, 7, 8</sup> |" in page


def test_one_export_of_each_architecture_is_taken_with_sdpa_where_there_is_one(tmp_path: Path) -> None:
    for name in ("bert.eager.r", "bert.sdpa.r", "deberta.eager.r", "bert.sdpa.other", "bert-mlm.eager.r"):
        (tmp_path / f"{name}.onnx").touch()
    usual = [path.stem for path in architecture_matrix.usual_exports(tmp_path, "r")]
    assert usual == ["bert.sdpa.r", "bert-mlm.eager.r", "deberta.eager.r"]
