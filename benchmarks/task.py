"""Count right answers on labelled questions kept beside a model."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 32
_PARTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


def count_right_answers(session: Any, folder: Path) -> dict[str, int] | None:
    """Classify every question of `folder`; None where it holds no tokenizer, labels and questions.

    Args:
        session: an ONNX Runtime session, which has no type information.
        folder: with tokenizer.json, config.json (`label2id`) and questions.csv (`text,category`).
    """
    files = [folder / name for name in ("tokenizer.json", "config.json", "questions.csv")]
    if not all(file.exists() for file in files) or importlib.util.find_spec("tokenizers") is None:
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(files[0]))
    labels = json.loads(files[1].read_text(encoding="utf-8"))["label2id"]
    with files[2].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [value.name for value in session.get_inputs()]
    right = 0
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        encoded = tokenizer.encode_batch([row["text"] for row in batch])
        feeds = {name: np.array([getattr(one, _PARTS[name]) for one in encoded]) for name in names}
        answers = session.run(None, feeds)[0].argmax(axis=-1)
        right += sum(int(labels[row["category"]] == answer) for row, answer in zip(batch, answers, strict=True))
    return {"right": right, "of": len(rows)}
