"""What else a stranger may have written: files beside a model, recipes, globs; refused in one sentence, in time."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from compressor import Evaluation, OptionError, Recipe, compress

TOKENS = """
    g (int64[b, s] input_ids) => (float[b, s, 4] y) { y = Gather(table, input_ids) }
"""
RECIPES = {
    "nested deeply": "pass = " + "[" * 100_000,
    "no table": "pass = 3",
    "an option that is none": '[[pass]]\nname = "quantize"\nthreads = 3',
    "a pass that is none": '[[pass]]\nname = "__import__"',
    "of another type": '[[pass]]\nname = "quantize"\nmin_elements = "all"',
    "a number of 5,000 digits": '[[pass]]\nname = "quantize"\nmin_elements = ' + "9" * 5000,
    "a day that is none": '[[pass]]\nname = "quantize"\nmin_elements = 2020-99-99',
    "a pass twice in one table": '[[pass]]\nname = "quantize"\nname = "fuse"',
    "not a text": '[[pass]]\nname = "\\ud800"',
    "a NUL": '[[pass]]\nname = "quan\x00tize"',
    "a number without end": '[[pass]]\nname = "quantize"\nmin_elements = nan',
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A table looked up by token, with a line of text to look up."""
    drawn = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {TOKENS}')
    drawn.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((8, 4), np.float32), "table"))
    path = tmp_path / "model.onnx"
    path.write_bytes(drawn.SerializeToString())
    (tmp_path / "texts.csv").write_text("text\nhello\n")
    return path


@pytest.mark.parametrize("text", RECIPES.values(), ids=RECIPES.keys())
def test_a_hostile_recipe_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(OptionError) as caught:
        Recipe.from_toml(path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a device without an end")
def test_a_recipe_without_an_end_is_not_read_into_memory(tmp_path: Path) -> None:
    (tmp_path / "large.toml").write_bytes(b"#" * (1 << 20) + b"#")
    for path in (Path("/dev/zero"), tmp_path / "large.toml"):
        with pytest.raises(OptionError, match="is larger than 1 MiB"):
            Recipe.from_toml(path)


@pytest.mark.parametrize("content", [b"[]", b"{", b"null", b"[" * 100_000, b"\xff\xfe", bytes(10_000), b""])
@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "tokenizer_config.json"])
def test_a_hostile_file_beside_the_model_is_refused_or_of_no_use(model: Path, name: str, content: bytes) -> None:
    pytest.importorskip("tokenizers")
    words = {"type": "WordLevel", "vocab": {"hello": 1}, "unk_token": "hello"}
    (model.parent / "tokenizer.json").write_text(json.dumps({"model": words}))
    (model.parent / name).write_bytes(content)
    with pytest.raises(OptionError) as caught:
        compress(model, evaluation=Evaluation(data=model.with_name("texts.csv")))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="FIFOs as POSIX has them")
def test_a_fifo_beside_the_model_is_not_waited_for(model: Path) -> None:
    os.mkfifo(model.with_name("tokenizer.json"))
    with pytest.raises(OptionError, match="tokenizer"):
        compress(model, evaluation=Evaluation(data=model.with_name("texts.csv")))


def test_a_glob_of_many_stars_takes_no_time_on_a_long_name(model: Path) -> None:
    drawn = onnx.load(model)
    drawn.graph.initializer[0].name = drawn.graph.node[0].input[0] = "a" * 5_000
    model.write_bytes(drawn.SerializeToString())
    started = time.process_time()
    compress(model, recipe=Recipe.from_names(["quantize"]).excluding(["*a" * 30 + "b"]), verify=False)
    assert time.process_time() - started < 10
