"""Labels find their samples, and the task they are for is guessed or named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compressor import OptionError
from compressor.evaluation.judge import Judge, appoint_judge
from compressor.evaluation.tasks.choice import guess_task
from compressor.model.load import load
from tests.evaluation.data.drawn import WORDS, read, write_config, write_model, write_tokenizer
from tests.evaluation.tasks.asked import port

N = len(WORDS)
GOOD, BAD, FILM = (WORDS.index(word) for word in ("good", "bad", "film"))

ENCODER = """
<ir_version: 8, opset_import: ["" : 17]>
g (int64[batch, sequence] input_ids, int64[batch, sequence] attention_mask) => (float[batch, sequence, 2] OUTPUT) {
    OUTPUT = Gather(table, input_ids)
}
"""
SPANS = """
<ir_version: 8, opset_import: ["" : 17]>
g (int64[batch, sequence] input_ids) => (float[batch, sequence] start_logits, float[batch, sequence] end_logits) {
    start_logits = Gather(scores, input_ids)
    end_logits = Identity(start_logits)
}
"""


def write(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content)
    return folder / name


def value_of(model: Path, data: Path, **settings: object) -> float:
    """The original's metric."""
    material = read(model, data, **settings)
    judge = appoint_judge(load(model), threads=1, material=material)
    assert isinstance(judge, Judge), judge
    assert judge.original_score is not None
    return judge.original_score.summary.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path)
    return tmp_path


def embeddings(**vectors: tuple[float, float]) -> dict[str, np.ndarray]:
    table = np.zeros((len(WORDS), 2), np.float32)
    for word, vector in vectors.items():
        table[WORDS.index(word)] = vector
    return {"table": table}


def test_texts_of_a_pair_are_embedded_apart_and_brought_together_again(folder: Path) -> None:
    vectors = embeddings(good=(1, 0), bad=(0, 1), film=(1, 0.2), very=(1, 1))
    model = write_model(folder, ENCODER.replace("OUTPUT", "last_hidden_state"), **vectors)
    data = write(
        folder,
        "d.csv",
        "sentence1,sentence2,score\nbad bad bad,good,0\ngood,film film,4\nvery,bad,2\ngood good,good,5\n",
    )
    for size in (1, 3, 16):
        assert value_of(model, data, labels="score", task="similarity", batch_size=size) == pytest.approx(1)
    samples = read(model, data, labels="score", task="similarity").samples
    assert samples.rows == 8
    assert samples.row_numbers == [1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_is_no_token_where_the_model_takes_no_mask(folder: Path, size: int, side: str) -> None:
    """The same figures in every batch size, although the shorter rows are filled up in larger batches."""
    (folder / "tokenizer_config.json").write_text(f'{{"padding_side": "{side}"}}')
    text = ENCODER.replace(", int64[batch, sequence] attention_mask", "").replace("sequence, 2", f"sequence, {N}")
    table = np.random.default_rng(0).standard_normal((N, N)).astype(np.float32)
    data = write(folder, "d.csv", "text,score\ngood,1\nbad film is good,3\nvery good,2\na film,4\n")
    language = write_model(folder, text.replace("OUTPUT", "logits"), table=table)
    alone = value_of(language, data, task="perplexity", batch_size=1)
    assert value_of(language, data, task="perplexity", batch_size=size) == pytest.approx(alone)
    pairs = write(folder, "p.csv", "text1,text2,score\ngood,a film is bad,1\nvery bad,film,2\na,is it good it,3\n")
    encoder = write_model(folder, text.replace("OUTPUT", "last_hidden_state"), table=table)
    judged = [read(encoder, pairs, labels="score", task="similarity", batch_size=rows) for rows in (1, size)]
    judges = [appoint_judge(load(encoder), threads=1, material=material) for material in judged]
    facts = [judge.original_score.facts for judge in judges if isinstance(judge, Judge) and judge.original_score]
    assert np.allclose(facts[0], facts[1], atol=1e-6)


def test_neighbours_are_found_without_labels(folder: Path) -> None:
    vectors = embeddings(good=(1, 0), bad=(0, 1))
    model = write_model(folder, ENCODER.replace("OUTPUT", "last_hidden_state"), **vectors)
    data = write(folder, "d.csv", "text\ngood\nbad\ngood good\n")
    assert value_of(model, data, task="retrieval") == 1
    with pytest.raises(OptionError, match="task retrieval takes one text a row, columns text, text_pair hold two"):
        read(model, write(folder, "e.csv", "text,text_pair\ngood,bad\n"), task="retrieval")


def test_words_and_their_labels_meet_at_the_first_token(folder: Path) -> None:
    write_config(folder, architectures=["RobertaForTokenClassification"], id2label={"0": "O", "1": "B-ADJ"})
    model = write_model(folder, ENCODER.replace("OUTPUT", "logits"), **embeddings(good=(0, 1), bad=(0, 1), film=(1, 0)))
    words = '{"tokens": ["Good", "film", "bad"], "tags": ["B-ADJ", "O", "O"]}\n{"tokens": ["film"], "tags": ["O"]}\n'
    assert value_of(model, write(folder, "d.jsonl", words), labels="tags") == 3 / 4
    spaced = write(folder, "d.csv", "tokens,tags\nGood film bad,B-ADJ O O\nfilm,O\n")
    assert value_of(model, spaced, labels="tags") == 3 / 4


def test_answers_are_looked_for_in_the_context_alone_and_the_question_stays_whole(folder: Path) -> None:
    write_config(folder, max_position_embeddings=7)
    scores = np.zeros(len(WORDS), np.float32)
    scores[[GOOD, FILM]] = 5, 9
    model = write_model(folder, SPANS, scores=scores)
    rows = '{"question": "film film film", "context": "A very good film", "answers": {"text": ["very"]}}\n'
    material = read(model, write(folder, "d.jsonl", rows), labels="answers")
    (batch,) = material.samples.batches
    assert batch["input_ids"][0, 1:4].tolist() == [FILM] * 3
    assert value_of(model, write(folder, "e.jsonl", rows.replace("very", "a", 1)), labels="answers") == 0
    good = rows.replace("A very good", "Good very").replace('["very"]', '["good"]')
    assert value_of(model, write(folder, "f.jsonl", good), labels="answers") == 1


def test_labels_from_a_file_follow_the_rows_that_are_drawn(folder: Path) -> None:
    model = write_model(folder)
    truth = [number % 2 for number in range(40)]
    data = write(folder, "d.csv", "text\n" + "".join("good\n" if label else "bad\n" for label in truth))
    np.save(folder / "labels.npy", np.array(truth))
    assert value_of(model, data, labels=str(folder / "labels.npy"), samples=11, task="classification") == 1
    np.save(folder / "labels.npy", np.array(truth[:-1]))
    with pytest.raises(OptionError, match=r"labels.npy has 39 labels, the data has 40 rows"):
        read(model, data, labels=str(folder / "labels.npy"))


def test_labels_from_an_archive_are_an_array_of_it(folder: Path) -> None:
    model = write_model(folder)
    ids = np.array([[GOOD], [BAD], [GOOD]])
    np.savez(folder / "d.npz", input_ids=ids, answers=np.array([1, 0, 0]))
    assert value_of(model, folder / "d.npz", labels="answers") == pytest.approx(2 / 3)
    assert value_of(model, folder / "d.npz", labels="answers", samples=2, seed=3) in (0.5, 1)
    with pytest.raises(OptionError, match="has no array 'y' for labels; its arrays: input_ids, answers"):
        read(model, folder / "d.npz", labels="y")


def test_many_labels_are_rows_of_zeros_and_ones(folder: Path) -> None:
    model = write_model(folder)
    np.savez(folder / "d.npz", input_ids=np.array([[GOOD], [BAD]]), y=np.array([[0, 1], [1, 1]]))
    assert value_of(model, folder / "d.npz", labels="y", task="multi-label") == pytest.approx(2 * 2 / (2 * 2 + 1))


def test_next_tokens_are_scored_without_labels(folder: Path) -> None:
    model = write_model(folder, ENCODER.replace("OUTPUT", "logits"), **embeddings())
    np.savez(folder / "d.npz", input_ids=np.array([[0, 1, 1], [1, 0, 1]]))
    assert value_of(model, folder / "d.npz", task="perplexity") == pytest.approx(2)


@pytest.mark.parametrize(
    ("config", "ports", "label", "task"),
    [
        ({"architectures": ["XForSequenceClassification"], "id2label": {0: "a", 1: "b"}}, (), "a", "classification"),
        ({"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}, (), "0.5", "regression"),
        ({"architectures": ["XForSequenceClassification"], "problem_type": "regression"}, (), 1, "regression"),
        (
            {"architectures": ["XForSequenceClassification"], "problem_type": "multi_label_classification"},
            (), "a|b", "multi-label",
        ),
        ({"architectures": ["XForSequenceClassification"]}, (), ["a"], "multi-label"),
        ({"architectures": ["ViTForImageClassification"]}, (), 1, "classification"),
        ({"architectures": ["BertForTokenClassification"]}, (), "a b", "token-classification"),
        ({"architectures": ["BertForQuestionAnswering"]}, (), "a", "question-answering"),
        ({}, (port("start_logits", 2), port("end_logits", 2)), "a", "question-answering"),
        ({}, (port("logits", 2, 5),), 1, "classification"),
        ({}, (port("logits", 2, 1),), 1, "regression"),
        ({}, (port("logits", 3),), [1, 2], "token-classification"),
    ],
)  # fmt: skip
def test_the_task_is_guessed(config: dict[str, object], ports: tuple[object, ...], label: object, task: str) -> None:
    assert guess_task(config, ports, label)[0] == task  # type: ignore[arg-type]  # ports are what they are


def test_where_nothing_says_what_labels_are_for_the_user_is_asked() -> None:
    with pytest.raises(OptionError, match="nothing says what for; name one with --task: classification, multi-label"):
        guess_task({}, (port("last_hidden_state", 3),), "1")


def test_a_task_that_takes_no_labels_is_given_none(folder: Path) -> None:
    with pytest.raises(OptionError, match="task perplexity takes the next token for its label; leave out --labels"):
        read(write_model(folder), write(folder, "d.csv", "text,y\ngood,1\n"), task="perplexity", labels="y")


def test_a_task_without_its_labels_is_refused(folder: Path) -> None:
    with pytest.raises(OptionError, match="task classification needs labels; name the column with --labels"):
        read(write_model(folder), write(folder, "d.csv", "text\ngood\n"), task="classification")
