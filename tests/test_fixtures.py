"""Check that every fixture is what its README says: it loads, runs at two sizes, and the trained one is as accurate."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
MODELS = sorted(FIXTURES.glob("*.onnx"))
TRAINED = FIXTURES / "albert-banking77"
FIRST_SIZES = {"batch": 1, "sequence": 5, "target": 3, "past": 4}
SECOND_SIZES = {"batch": 3, "sequence": 12, "target": 7, "past": 9}
NUMPY_TYPES = {
    "tensor(int64)": np.int64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
}


def open_model(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def make_feeds(session: onnxruntime.InferenceSession, sizes: dict[str, int]) -> dict[str, NDArray[Any]]:
    sizes = {**sizes, "total": sizes["sequence"] + sizes["past"]}
    random = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {}
    for value in session.get_inputs():
        shape = [sizes[dim] if isinstance(dim, str) else dim for dim in value.shape]
        high = 2 if "mask" in value.name or "type" in value.name else 128
        numbers = random.integers(0, high, shape) if "int" in value.type else random.standard_normal(shape)
        feeds[value.name] = numbers.astype(NUMPY_TYPES[value.type])
    return feeds


def run(session: onnxruntime.InferenceSession, feeds: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
    outputs: list[NDArray[np.float32]] = session.run(None, feeds)
    return outputs


def test_readme_lists_every_fixture_with_its_size() -> None:
    readme = (FIXTURES / "README.md").read_text(encoding="utf-8")
    files = [path for path in FIXTURES.iterdir() if path.suffix in {".onnx", ".data"}]
    assert len(files) >= 12
    missing = [path.name for path in files if f"| {path.name} | {path.stat().st_size:,} |" not in readme]
    assert missing == []


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_runs_at_two_batch_sizes_and_lengths(path: Path) -> None:
    session = open_model(path)
    for sizes in (FIRST_SIZES, SECOND_SIZES):
        outputs = run(session, make_feeds(session, sizes))
        assert outputs[0].shape[0] == sizes["batch"]
        assert all(np.isfinite(output).all() for output in outputs)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_rows_differ_so_that_a_broken_model_shows(path: Path) -> None:
    session = open_model(path)
    logits = run(session, make_feeds(session, SECOND_SIZES))[0].astype(np.float64)
    # An output that hardly depends on the input would hide any damage done to the weights.
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


def test_both_branches_of_the_merged_decoder_agree() -> None:
    session = open_model(FIXTURES / "gpt2-merged.eager.torchscript17.onnx")
    feeds = make_feeds(session, {**SECOND_SIZES, "past": 0})
    feeds["attention_mask"] = np.ones_like(feeds["attention_mask"])
    whole, *_ = run(session, {**feeds, "use_cache_branch": np.array([False])})
    start = {**feeds, "use_cache_branch": np.array([True])}
    start |= {name: feeds[name][:, :7] for name in ("input_ids", "attention_mask")}
    _, *cache = run(session, start)
    rest = {**feeds, "use_cache_branch": np.array([True]), "input_ids": feeds["input_ids"][:, 7:]}
    rest |= {f"past_key_values.0.{kind}": part for kind, part in zip(("key", "value"), cache, strict=True)}
    continued, *_ = run(session, rest)
    np.testing.assert_allclose(continued, whole[:, 7:], atol=1e-5)


def test_trained_classifier_is_as_accurate_as_its_readme_says() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(TRAINED / "tokenizer.json"))
    labels = json.loads((TRAINED / "config.json").read_text(encoding="utf-8"))["label2id"]
    with (TRAINED / "questions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    session = open_model(TRAINED / "model.onnx")
    right = 0
    for start in range(0, len(rows), 32):
        batch = rows[start : start + 32]
        encoded = tokenizer.encode_batch([row["text"] for row in batch])
        feeds = {
            "input_ids": np.array([item.ids for item in encoded], dtype=np.int64),
            "attention_mask": np.array([item.attention_mask for item in encoded], dtype=np.int64),
            "token_type_ids": np.array([item.type_ids for item in encoded], dtype=np.int64),
        }
        found = run(session, feeds)[0].argmax(axis=-1)
        right += sum(int(labels[row["category"]] == label) for row, label in zip(batch, found, strict=True))
    readme = (FIXTURES / "README.md").read_text(encoding="utf-8")
    assert f"{right} of {len(rows)}" in readme
    assert right / len(rows) > 0.85
