"""A model that takes tokens, with its tokenizer and configuration, small enough to know every number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir

from compressor.evaluation.data.read import read_material
from compressor.evaluation.material import Material
from compressor.evaluation.settings import Evaluation
from compressor.model.load import load

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "very", "film", "a", "is", "it")

# A row of the table for each word; column 1 counts good words, column 0 bad ones. Padding must be masked to be right.
CLASSIFIER = """
<ir_version: 8, opset_import: ["" : 17]>
classifier (int64[batch, sequence] input_ids, int64[batch, sequence] attention_mask,
            int64[batch, sequence] token_type_ids) => (float[batch, 2] logits)
<int64[1] last = {2}, int64[1] middle = {1}>
{
    rows = Gather(table, input_ids)
    kinds = Gather(segments, token_type_ids)
    both = Add(rows, kinds)
    mask = Cast<to = 1>(attention_mask)
    column = Unsqueeze(mask, last)
    seen = Mul(both, column)
    logits = ReduceSum<keepdims = 0>(seen, middle)
}
"""


def table() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    weights = np.zeros((len(WORDS), 2), np.float32)
    weights[WORDS.index("[PAD]")] = (100, 0)
    weights[WORDS.index("good"), 1] = weights[WORDS.index("bad"), 0] = 1
    return weights


def write_model(folder: Path, text: str = CLASSIFIER, **weights: np.ndarray) -> Path:
    """Write the model; `weights` are added to those of the classifier."""
    proto = onnx.parser.parse_model(text)
    known = {"table": table(), "segments": np.zeros((2, 2), np.float32), **weights}
    for name, array in known.items():
        if any(name in node.input for node in proto.graph.node):
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def write_tokenizer(folder: Path, *, offsets: str = "Whitespace") -> None:
    """Write a tokenizer that knows one number a word, and puts [CLS] and [SEP] around."""
    pair = [("[CLS]", 0), ("A", 0), ("[SEP]", 0), ("B", 1), ("[SEP]", 1)]
    pieces = [{"Sequence" if name in "AB" else "SpecialToken": {"id": name, "type_id": kind}} for name, kind in pair]
    ids = {name: WORDS.index(name) for name in WORDS}
    special = {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    written = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": {"type": "Lowercase"},
        "added_tokens": [
            {"id": ids[name], "content": name, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
            for name in WORDS[:4]
        ],
        "pre_tokenizer": {"type": offsets}, "decoder": None,
        "post_processor": {
            "type": "TemplateProcessing", "single": pieces[:3], "pair": pieces, "special_tokens": special
        },
        "model": {"type": "WordLevel", "vocab": ids, "unk_token": "[UNK]"},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(written))


def write_config(folder: Path, **settings: object) -> None:
    (folder / "config.json").write_text(json.dumps(settings))


def read(model: Path, data: Path, **settings: object) -> Material:
    """Read data for a model, as the pipeline does."""
    evaluation = Evaluation(data=data, **settings)  # type: ignore[arg-type]  # each test names settings that fit
    return read_material(load(model), model, data, evaluation)


def parse(text: str) -> ir.Model:
    return ir.from_proto(onnx.parser.parse_model(text))
