"""Texts become tokens: padded, masked, paired, cut, and in the order that was asked for."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compressor import OptionError
from compressor.evaluation.contract import Refusal
from compressor.evaluation.running import run_samples
from compressor.model.load import load
from compressor.model.session import open_session
from tests.evaluation.data.drawn import CLASSIFIER, WORDS, read, write_config, write_model, write_tokenizer

PAD, CLS, SEP = (WORDS.index(word) for word in ("[PAD]", "[CLS]", "[SEP]"))
GOOD, BAD, FILM = (WORDS.index(word) for word in ("good", "bad", "film"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path)
    return write_model(tmp_path)


def write(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content, encoding="utf-8")
    return folder / name


def test_a_batch_is_padded_to_its_longest_row_and_masked(model: Path) -> None:
    samples = read(model, write(model.parent, "d.csv", "text\nbad film\ngood\n"), batch_size=2).samples
    (batch,) = samples.batches
    assert batch["input_ids"].tolist() == [[CLS, GOOD, SEP, PAD], [CLS, BAD, FILM, SEP]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["token_type_ids"].tolist() == [[0] * 4] * 2
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}
    assert not samples.generated
    assert samples.notes == ()


def test_batches_hold_rows_of_similar_length_and_say_which_rows_they_are(model: Path) -> None:
    data = write(model.parent, "d.csv", "text\na a a a\ngood\na a a\nbad\n")
    samples = read(model, data, batch_size=2).samples
    assert samples.places == ((1, 3), (2, 0))
    assert samples.row_numbers == [1, 2, 3, 4]
    assert [batch["input_ids"].shape for batch in samples.batches] == [(2, 3), (2, 6)]
    assert "the shortest first" in samples.description


def test_the_mask_hides_padding_from_the_model(model: Path) -> None:
    """Alone or beside a longer row, a text gets the same answer; the table gives padding 100 points."""
    data = write(model.parent, "d.csv", "text\ngood\nbad bad bad\n")
    for size in (1, 2):
        samples = read(model, data, batch_size=size).samples
        outputs = run_samples(open_session(load(model), threads=1), samples)
        assert not isinstance(outputs, Refusal)
        assert np.concatenate([batch[0] for batch in outputs]).tolist() == [[0, 1], [3, 0]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.csv", 'sentence1,sentence2\n"good, a",bad\n'),
        ("d.tsv", "premise\thypothesis\ngood a\tbad\n"),
        ("d.jsonl", '{"question": "good a", "context": "bad"}\n\n'),
    ],
)
def test_pairs_are_recognised_and_read_together(model: Path, name: str, content: str) -> None:
    (batch,) = read(model, write(model.parent, name, content)).samples.batches
    assert batch["token_type_ids"].tolist()[0][-2:] == [1, 1]
    assert batch["input_ids"].tolist()[0][-2:] == [BAD, SEP]


def test_the_column_that_is_named_is_the_text(model: Path) -> None:
    data = write(model.parent, "d.csv", "text,other\ngood,bad\n")
    (batch,) = read(model, data, text_columns=("other",)).samples.batches
    assert batch["input_ids"].tolist() == [[CLS, BAD, SEP]]


def test_the_only_column_of_words_is_the_text_whatever_its_name(model: Path) -> None:
    (batch,) = read(model, write(model.parent, "d.csv", "id,Satz\n7,bad\n")).samples.batches
    assert batch["input_ids"].tolist() == [[CLS, BAD, SEP]]


def test_two_columns_of_words_and_no_name_known_are_a_question_to_the_user(model: Path) -> None:
    with pytest.raises(OptionError, match=r"which column holds the text is not clear .x, y.; name it with --text-col"):
        read(model, write(model.parent, "d.csv", "x,y\ngood,bad\n"))


def test_long_texts_are_cut_and_the_report_says_how_many(model: Path) -> None:
    write_config(model.parent, max_position_embeddings=4)
    samples = read(model, write(model.parent, "d.csv", "text\ngood bad film a\ngood\n"), batch_size=1).samples
    assert [batch["input_ids"].shape[1] for batch in samples.batches] == [3, 4]
    assert samples.notes == ("1 of 2 texts is longer than 4 tokens, and its end is cut off",)


def test_positions_of_roberta_start_after_the_padding_token(model: Path) -> None:
    write_config(model.parent, max_position_embeddings=6, model_type="xlm-roberta", pad_token_id=1)
    (batch,) = read(model, write(model.parent, "d.csv", "text\ngood bad film a\n")).samples.batches
    assert batch["input_ids"].shape == (1, 4)


@pytest.mark.parametrize("token", ["x", [0], None, -1, 10**20])
def test_a_padding_token_that_is_none_is_not_taken_for_one(model: Path, token: object) -> None:
    write_config(model.parent, max_position_embeddings=6, model_type="roberta", pad_token_id=token)
    (batch,) = read(model, write(model.parent, "d.csv", "text\ngood\na\n")).samples.batches
    assert batch["input_ids"].shape == (2, 3)


def test_a_length_that_the_graph_fixes_is_padded_to(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    model = write_model(tmp_path, CLASSIFIER.replace("[batch, sequence]", "[batch, 5]"))
    (batch,) = read(model, write(tmp_path, "d.csv", "text\ngood\na a a a a a a\n"), batch_size=2).samples.batches
    assert batch["input_ids"].shape == (2, 5)


def test_rows_that_the_graph_fixes_are_filled_up_and_counted_once(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    model = write_model(tmp_path, CLASSIFIER.replace("[batch, sequence]", "[2, sequence]"))
    samples = read(model, write(tmp_path, "d.csv", "text\ngood\nbad\nfilm\n"), batch_size=7).samples
    assert [batch["input_ids"].shape[0] for batch in samples.batches] == [2, 2]
    assert samples.places == ((0, 1), (2, 2))
    assert samples.rows == 3
    assert "the last batch is filled up with 1" in samples.notes[-1]


def test_padding_goes_to_the_side_that_the_tokenizer_is_configured_for(model: Path) -> None:
    (model.parent / "tokenizer_config.json").write_text(json.dumps({"padding_side": "left"}))
    (batch,) = read(model, write(model.parent, "d.csv", "text\ngood\nbad film\n"), batch_size=2).samples.batches
    assert batch["attention_mask"].tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]
    assert batch["input_ids"][0].tolist() == [PAD, CLS, GOOD, SEP]


def test_the_padding_token_is_the_one_the_configuration_names(model: Path) -> None:
    (model.parent / "tokenizer_config.json").write_text(json.dumps({"pad_token": {"content": "film"}}))
    (batch,) = read(model, write(model.parent, "d.csv", "text\ngood\nbad a\n"), batch_size=2).samples.batches
    assert batch["input_ids"][0, -1] == FILM


def test_rows_are_drawn_by_chance_without_replacement_and_the_same_every_time(model: Path) -> None:
    data = write(model.parent, "d.csv", "text\n" + "good\n" * 50)
    first, again, other = (read(model, data, samples=20, seed=seed).samples for seed in (0, 0, 1))
    assert len(set(first.row_numbers)) == 20
    assert list(first.row_numbers) == sorted(first.row_numbers) == again.row_numbers
    assert first.row_numbers != other.row_numbers
    assert first.row_numbers != list(range(1, 21))
    assert first.description == "20 of 50 rows, drawn with seed 0, of d.csv in batches of 16, the shortest first"


def test_inputs_by_other_names_are_recognised_by_their_use(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    text = (
        CLASSIFIER.replace("input_ids", "x1")
        .replace("attention_mask", "seen_words")
        .replace("token_type_ids", "segment")
    )
    model = write_model(tmp_path, text)
    data = write(tmp_path, "d.csv", "text\ngood\n")
    load(model)
    (batch,) = read(model, data).samples.batches
    assert batch["x1"].tolist() == [[CLS, GOOD, SEP]]
    assert batch["segment"].tolist() == [[0, 0, 0]]


def test_a_decoder_gets_positions_and_an_empty_cache(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"padding_side": "left"}))
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (int64[batch, sequence] input_ids, int64[batch, total] attention_mask, int64[batch, sequence] position_ids,
       float[batch, 2, past, 4] past_key) => (float[batch, sequence, 2] y, float[batch, 2, past, 4] present) {
        words = Gather(table, input_ids)
        places = Gather(places_table, position_ids)
        y = Add(words, places)
        present = Identity(past_key)
    }"""
    model = write_model(tmp_path, text, places_table=np.zeros((8, 2), np.float32))
    samples = read(model, write(tmp_path, "d.csv", "text\ngood\nbad film\n"), batch_size=2).samples
    (batch,) = samples.batches
    assert batch["past_key"].shape == (2, 2, 0, 4)
    assert batch["position_ids"].tolist() == [[0, 0, 1, 2], [0, 1, 2, 3]]
    assert samples.notes == ("not in the data: past_key (empty)",)


def test_a_model_with_its_tokenizer_inside_gets_the_texts(tmp_path: Path) -> None:
    model = write_model(
        tmp_path,
        """<ir_version: 8, opset_import: ["" : 17]>
        g (string[batch, 1] inputs) => (string[batch, 1] y) { y = Identity(inputs) }""",
    )
    (batch,) = read(model, write(tmp_path, "d.csv", "text\ngood film\n")).samples.batches
    assert batch["inputs"].tolist() == [["good film"]]


def test_a_tokenizer_of_the_parent_folder_serves_exports_in_a_folder_called_onnx(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / "onnx").mkdir()
    model = write_model(tmp_path / "onnx")
    assert read(model, write(tmp_path, "d.csv", "text\ngood\n")).samples.rows == 1


def test_without_a_tokenizer_the_user_is_told_where_one_is_looked_for(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    with pytest.raises(OptionError, match=r"has no tokenizer.json, which texts need; name one with --tokenizer FILE$"):
        read(model, write(tmp_path, "d.csv", "text\ngood\n"))


def test_a_tokenizer_that_is_none_is_named(model: Path) -> None:
    broken = write(model.parent, "other.json", '{"model": 7}')
    with pytest.raises(OptionError, match=r"other.json: is not a tokenizer"):
        read(model, write(model.parent, "d.csv", "text\ngood\n"), tokenizer=broken)


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "tokenizer.json: is not a tokenizer: "),
        (
            "post_processor",
            {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "X", "type_id": 0}}],
                "pair": [],
                "special_tokens": {},
            },
            "the tokenizer cannot encode the texts: ",
        ),
    ],
)
def test_a_tokenizer_that_panics_ends_in_a_sentence(
    model: Path, part: str, content: dict[str, object], message: str
) -> None:
    written = json.loads((model.parent / "tokenizer.json").read_text())
    (model.parent / "tokenizer.json").write_text(json.dumps({**written, part: content}))
    with pytest.raises(OptionError, match=message):
        read(model, write(model.parent, "d.csv", "text\ngood\n"))


SPANS = """
<ir_version: 8, opset_import: ["" : 17]>
spans (int64[batch, sequence] input_ids) => (float[batch, sequence] start_logits, float[batch, sequence] end_logits)
{
    rows = Gather(table, input_ids)
    start_logits = ReduceMax<axes = [2], keepdims = 0>(rows)
    end_logits = Identity(start_logits)
}
"""


def test_a_question_that_leaves_no_room_for_its_context_is_named_with_its_row(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    write_config(tmp_path, max_position_embeddings=6)
    rows = "question,context,answer\ngood,bad film,bad\ngood bad film a,it is,it\n"
    with pytest.raises(OptionError) as caught:
        read(write_model(tmp_path, SPANS), write(tmp_path, "d.csv", rows), labels="answer", task="question-answering")
    assert str(caught.value).partition(": ")[2] == (
        "row 2: the first text alone fills the 6 tokens that the model takes, and only the second is cut; shorten the "
        "first, or leave the row out"
    )


def test_a_report_can_show_the_beginning_of_each_text(model: Path) -> None:
    data = write(model.parent, "d.csv", "sentence1,sentence2\ngood film,bad\nit,is\n")
    assert read(model, data).samples.excerpts == ["good film | bad", "it | is"]
    assert read(model, data, samples=1).samples.excerpts in (["good film | bad"], ["it | is"])


def test_without_the_package_the_user_is_told_what_to_install(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "tokenizers":
            raise ImportError(name)
        return usual(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(OptionError, match=r"pip install 'onnx-compressor\[text\]'"):
        read(model, write(model.parent, "d.csv", "text\ngood\n"))


def test_a_value_that_is_no_text_is_named_with_its_place(model: Path) -> None:
    data = write(model.parent, "d.jsonl", '{"text": "good"}\n{"text": 17}\n')
    with pytest.raises(OptionError, match=r"d.jsonl: row 2, column 'text': holds 17, a text is wanted"):
        read(model, data)
