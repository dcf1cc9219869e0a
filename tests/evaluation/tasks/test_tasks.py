"""Each task computes its metric from outputs whose metric is known by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from compressor import OptionError
from compressor.evaluation.tasks.classification import Classification
from compressor.evaluation.tasks.contract import Alignment
from compressor.evaluation.tasks.multi_label import MultiLabel
from compressor.evaluation.tasks.perplexity import Perplexity
from compressor.evaluation.tasks.question_answering import QuestionAnswering, best_span, word_f1
from compressor.evaluation.tasks.regression import Regression
from compressor.evaluation.tasks.retrieval import Retrieval
from compressor.evaluation.tasks.similarity import Similarity, spearman
from compressor.evaluation.tasks.token_classification import TokenClassification
from tests.evaluation.tasks.asked import batch, labelling, metric_of, port, scores_of


def test_classification_counts_the_largest_output() -> None:
    task = Classification.of(labelling("0", 1, "2"))
    logits = [[3, 1, 2], [3, 1, 2], [0, 1, 2]]
    assert scores_of(task, {"logits": logits}).tolist() == [1, 0, 1]
    assert metric_of(task, {"logits": logits}) == pytest.approx(2 / 3)


def test_an_output_that_is_no_number_is_no_class() -> None:
    task = Classification.of(labelling(0, 0))
    assert scores_of(task, {"logits": [[np.nan, 1], [2.0, 1]]}).tolist() == [0, 1]


def test_labels_by_name_are_numbered_by_the_configuration() -> None:
    names = {"negative": 0, "Positive": 1}
    assert Classification.of(labelling("Positive", "positive", "negative", 1, names=names)).labels.tolist() == [
        1,
        1,
        0,
        1,
    ]


def test_names_go_before_numbers() -> None:
    """Stars from 1 to 5 are classes 0 to 4."""
    assert Classification.of(
        labelling("1", 5, names={str(star): star - 1 for star in range(1, 6)})
    ).labels.tolist() == [0, 4]


@pytest.mark.parametrize(
    ("value", "names", "message"),
    [
        ("neutral", {"yes": 0, "no": 1}, "label 'neutral' is none of the 2 labels in config.json (yes, no)"),
        ("2", {"yes": 0, "no": 1}, "label '2' is none of the 2 labels"),
        ("yes", {}, "label 'yes' is a name, and no config.json beside the model says which number it has"),
        (-1, {}, "label -1 is no class; classes count from 0 in whole numbers"),
        (0.5, {}, "label 0.5 is no class; classes count from 0 in whole numbers"),
    ],
)
def test_labels_that_are_no_class_are_named_with_their_place(
    value: object, names: dict[str, int], message: str
) -> None:
    with pytest.raises(OptionError) as refused:
        Classification.of(labelling(0, value, names=names))
    assert str(refused.value).startswith("d.csv: row 2, column 'label': ")
    assert message in str(refused.value)


def test_a_class_that_the_output_does_not_have_is_named() -> None:
    with pytest.raises(
        OptionError, match="row 2, column 'label': label 7 is not one of the 2 classes of output 'logits'"
    ):
        Classification.of(labelling(0, 7)).read(batch({"logits": [[1, 0], [0, 1]]}))


def test_one_value_a_row_chooses_no_class() -> None:
    with pytest.raises(OptionError, match="has one value a row, which chooses no class; name --task regression"):
        Classification.of(labelling(0)).read(batch({"logits": [[1.0]]}))


def test_an_output_of_another_shape_is_named() -> None:
    with pytest.raises(OptionError, match="output 'logits' has shape 1x2x2; an output of 2 axes with 1 rows is wanted"):
        Classification.of(labelling(0)).read(batch({"logits": np.zeros((1, 2, 2))}))


def test_multi_label_sums_counts_over_all_samples() -> None:
    task = MultiLabel.of(labelling([0, 1], "2|0", "", np.array([0, 0, 1])))
    logits = [[1, -1, -1], [1, 1, 1], [-1, -1, -1], [-1, -1, 2]]
    # right 1 + 2 + 0 + 1, too many 0 + 1, missing 1
    assert metric_of(task, {"logits": logits}) == pytest.approx(2 * 4 / (2 * 4 + 1 + 1))
    assert task.each(scores_of(task, {"logits": logits})).tolist() == pytest.approx([2 / 3, 4 / 5, 1, 1])


def test_rows_of_0_and_1_are_as_wide_as_there_are_classes() -> None:
    task = MultiLabel.of(labelling(np.array([0, 1])))
    with pytest.raises(OptionError, match="row 1, column 'label': is 2 wide, output 'logits' has 3 classes"):
        task.read(batch({"logits": [[1.0, 2, 3]]}))


def test_a_label_may_stand_in_an_axis_of_its_own() -> None:
    assert Classification.of(labelling(np.array([2]), np.array([0]))).labels.tolist() == [2, 0]
    assert Regression.of(labelling(np.array([0.5]))).labels.tolist() == [0.5]


def test_multi_label_decides_at_a_half_where_the_graph_ends_in_a_sigmoid() -> None:
    outputs = [port("probabilities", 2, is_probability=True)]
    task = MultiLabel.of(labelling([0], outputs=outputs))
    assert scores_of(task, {"probabilities": [[0.6, 0.4]]}).tolist() == [[1, 0, 0]]


def test_regression_averages_distances() -> None:
    task = Regression.of(labelling("1.5", 2, -1))
    assert metric_of(task, {"logits": [[1.0], [4.0], [-1.0]]}) == pytest.approx(2.5 / 3)
    assert task.each(np.array([0.5, 2])).tolist() == [-0.5, -2]
    flat = Regression.of(labelling(1, 2, outputs=[port("steps", 3), port("price", 1)]))
    assert metric_of(flat, {"price": [1.5, 2]}) == pytest.approx(0.25)
    with pytest.raises(OptionError, match="row 1, column 'label': label 'many' is not a number"):
        Regression.of(labelling("many"))
    with pytest.raises(OptionError, match="label 'nan' is not a number"):
        Regression.of(labelling("nan"))


def test_spearman_is_that_of_the_literature_with_ties_sharing_ranks() -> None:
    # 1 - 6 sum(d^2) / (n (n^2 - 1)) without ties: d = 0, 1, 1, 0
    assert spearman(np.array([1, 2, 3, 4]), np.array([10, 30, 20, 40])) == pytest.approx(1 - 6 * 2 / 60)
    assert spearman(np.array([1, 2, 2, 3]), np.array([1, 2, 3, 4])) == pytest.approx(0.9486833)
    assert spearman(np.array([1.0, 2]), -np.array([1.0, 2])) == -1
    assert math.isnan(spearman(np.zeros(3), np.arange(3)))


def test_similarity_pairs_neighbouring_rows() -> None:
    outputs = [port("last_hidden_state", 3)]
    task = Similarity.of(labelling(5, 1, 3, outputs=outputs, is_paired=True))
    angles = np.deg2rad([0, 5, 0, 90, 0, 45])
    hidden = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None, :]
    assert metric_of(task, {"last_hidden_state": hidden}) == pytest.approx(1)
    assert metric_of(task, {"last_hidden_state": hidden[[0, 3, 0, 1, 4, 5]]}) == pytest.approx(-1)


def test_vectors_are_means_over_what_the_mask_shows() -> None:
    task = Similarity.of(labelling(1, 2, outputs=[port("token_embeddings", 3)], is_paired=True))
    assert task.embedding is not None
    hidden = np.array([[[1.0, 0], [9, 9]], [[1, 1], [1, -1]]])
    mask = [[1, 0], [1, 1]]
    for given in (mask, [[0.0, -10000.0], [0.0, 0.0]]):
        read = batch({"token_embeddings": hidden}, {"attention_mask": given})
        assert task.embedding.read(read, "similarity").tolist() == [[1, 0], [1, 0]]


def test_similarity_may_come_out_of_the_model_itself() -> None:
    task = Similarity.of(labelling(1, 2, 3, outputs=[port("logits", 2, 1)]))
    assert metric_of(task, {"logits": [[0.1], [0.5], [0.3]]}) == pytest.approx(0.5)
    with pytest.raises(OptionError, match="has 7 values a pair, one is wanted"):
        Similarity.of(labelling(1, outputs=[port("logits", 2, 7)]))


def test_retrieval_holds_neighbours_against_the_labels_or_the_original() -> None:
    vectors = np.array([[1, 0.0], [1, 0.1], [0, 1.0], [0.1, 1]])
    labelled = Retrieval.of(labelling("a", "a", "b", "b", outputs=[port("sentence_embedding", 2)]))
    assert labelled.metric == "top-10 precision"
    # Each has one of its kind among its three neighbours.
    assert metric_of(labelled, {"sentence_embedding": vectors}) == pytest.approx(1 / 3)
    free = Retrieval.of(labelling(outputs=[port("sentence_embedding", 2)]))
    many = np.random.default_rng(0).standard_normal((60, 8))
    facts = free.read(batch({"sentence_embedding": many}))
    assert free.metric == "top-10 agreement"
    assert free.summarize(free.score(facts, facts)) == 1
    other = free.read(batch({"sentence_embedding": many + np.random.default_rng(1).standard_normal((60, 8))}))
    assert 10 / 59 < free.summarize(free.score(other, facts)) < 0.9


def test_perplexity_is_the_exponential_of_the_mean_over_visible_tokens() -> None:
    task = Perplexity.of(labelling(outputs=[port("logits", 3)]), "ids")
    logits = np.log(
        np.array([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [1, 1, 1]], [[0.1, 0.8, 0.1], [1, 1, 1], [1, 1, 1]]])
    )
    feeds = {"ids": [[0, 1, 2], [0, 1, 0]], "attention_mask": [[1, 1, 1], [1, 1, 0]]}
    # Tokens 1 and 2 after 0 and 1 in the first row, token 1 after 0 in the second; the last is padding.
    wanted = math.exp(-(math.log(0.25) + math.log(0.6) + math.log(0.8)) / 3)
    assert metric_of(task, {"logits": logits}, feeds) == pytest.approx(wanted)
    assert scores_of(task, {"logits": logits}, feeds)[:, 1].tolist() == [2, 1]
    assert metric_of(task, {"logits": logits + 1000}, feeds) == pytest.approx(wanted)


@pytest.mark.parametrize("token", [2, -1])
def test_a_token_that_the_output_has_no_number_for_is_named(token: int) -> None:
    task = Perplexity.of(labelling(outputs=[port("logits", 3)]), "ids")
    with pytest.raises(OptionError, match=f"input 'ids' holds token {token}, output 'logits' has numbers for tokens 0"):
        task.read(batch({"logits": np.zeros((1, 2, 2))}, {"ids": [[0, token]]}))


def test_masks_may_have_axes_between_rows_and_tokens() -> None:
    task = Perplexity.of(labelling(outputs=[port("logits", 3)]), "ids")
    mask = np.array([[[[0.0, 0.0, -10000.0]]]])
    counts = scores_of(task, {"logits": np.zeros((1, 3, 2))}, {"ids": [[0, 1, 1]], "attention_mask": mask})
    assert counts[:, 1].tolist() == [1]


def test_perplexity_of_padding_on_the_left_leaves_it_out() -> None:
    task = Perplexity.of(labelling(outputs=[port("logits", 3)]), "ids")
    logits = np.log(np.array([[[0.9, 0.1], [0.5, 0.5], [0.5, 0.5]]]))
    feeds = {"ids": [[1, 1, 0]], "attention_mask": [[0, 1, 1]]}
    assert scores_of(task, {"logits": logits}, feeds)[:, 1].tolist() == [1]
    assert metric_of(task, {"logits": logits}, feeds) == pytest.approx(2)


def aligned(words: list[int], *, is_left_padded: bool = False) -> Alignment:
    empty = np.zeros(len(words), np.int64)
    return Alignment(
        words=np.array(words), starts=empty, ends=empty, parts=empty, text="", is_left_padded=is_left_padded
    )


@pytest.mark.parametrize("is_left_padded", [False, True])
def test_a_word_is_judged_at_its_first_token(is_left_padded: bool) -> None:
    alignment = [aligned([-1, 0, 0, 1, -1], is_left_padded=is_left_padded)]
    outputs = [port("logits", 3)]
    task = TokenClassification.of(labelling("O B", outputs=outputs, names={"O": 0, "B": 1}, alignment=alignment))
    chosen = np.array([[0, 0, 1, 1, 0]])
    logits = np.eye(2)[np.pad(chosen, ((0, 0), (2, 0) if is_left_padded else (0, 2)))]
    assert scores_of(task, {"logits": logits}).tolist() == [[2, 2]]
    assert task.metric == "word accuracy"


def test_words_that_were_cut_off_and_ignored_ones_do_not_count() -> None:
    alignment = [aligned([-1, 0, 1])]
    outputs = [port("logits", 3)]
    task = TokenClassification.of(labelling([1, -100, 1], outputs=outputs, alignment=alignment))
    assert scores_of(task, {"logits": np.eye(2)[[[0, 1, 1]]]}).tolist() == [[1, 1]]


def test_labels_are_as_many_as_words_or_positions() -> None:
    outputs = [port("logits", 3)]
    words = [replace(aligned([-1, 0, 1]), word_count=4)]
    with pytest.raises(OptionError, match="row 1, column 'label': has 3 labels for 4 words; give one for each"):
        TokenClassification.of(labelling([1, 0, 1], outputs=outputs, alignment=words))
    task = TokenClassification.of(labelling([1, 0, 1], outputs=outputs))
    with pytest.raises(OptionError, match="row 1, column 'label': has 3 labels, output 'logits' has 2 positions"):
        task.read(batch({"logits": np.zeros((1, 2, 2))}))


def test_labels_of_tokens_need_no_words() -> None:
    task = TokenClassification.of(labelling(np.array([-100, 1, 0]), outputs=[port("logits", 3)]))
    assert scores_of(task, {"logits": np.eye(2)[[[1, 1, 1]]]}).tolist() == [[1, 2]]
    assert task.metric == "token accuracy"


def context(text: str, question_tokens: int) -> Alignment:
    """Tokens of a question, then one for each word of the context."""
    words = text.split(" ")
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    starts = ends - [len(word) for word in words]
    parts = np.array([-1] + [0] * question_tokens + [-1] + [1] * len(words) + [-1])
    pad = np.zeros(question_tokens + 2, np.int64)
    return Alignment(
        words=parts,
        starts=np.concatenate([pad, starts, [0]]),
        ends=np.concatenate([pad, ends, [0]]),
        parts=parts,
        text=text,
    )


def test_the_best_span_of_the_context_is_compared_by_its_words() -> None:
    outputs = [port("start_logits", 2), port("end_logits", 2)]
    known = context("The red car is fast", 1)
    task = QuestionAnswering.of(labelling("a car", outputs=outputs, alignment=[known]))
    start, end = np.zeros((1, 9)), np.zeros((1, 9))
    start[0, [1, 4]], end[0, [1, 5]] = (9, 5), (9, 5)  # the question itself scores highest and may not be chosen
    facts = task.read(batch({"start_logits": start, "end_logits": end}))
    assert facts.tolist() == [[4, 5]]
    assert task.score(facts, facts).tolist() == pytest.approx([2 / 3])  # "red car" for "car"


def test_a_row_without_tokens_has_no_span() -> None:
    none = np.zeros(0, np.int64)
    nothing = Alignment(words=none, starts=none, ends=none, parts=none, text="")
    outputs = [port("start_logits", 2), port("end_logits", 2)]
    task = QuestionAnswering.of(labelling("", outputs=outputs, alignment=[nothing]))
    facts = task.read(batch({"start_logits": [[1.0]], "end_logits": [[1.0]]}))
    assert task.score(facts, facts).tolist() == [1]


@pytest.mark.parametrize(("answers", "span"), [(("car", ""), [-1, -1]), (("car", "car"), [5, 5])])
def test_no_answer_is_one_where_the_data_has_such_questions(answers: tuple[str, ...], span: list[int]) -> None:
    outputs = [port("start_logits", 2), port("end_logits", 2)]
    task = QuestionAnswering.of(labelling(*answers, outputs=outputs, alignment=[context("The red car is fast", 1)] * 2))
    logits = np.zeros((2, 9))
    logits[:, 0], logits[:, 5] = 3, 2  # [CLS] scores more than "car"
    facts = task.read(batch({"start_logits": logits, "end_logits": logits}))
    assert facts.tolist() == [span, span]
    assert task.score(facts, facts).tolist() == ([0, 1] if "" in answers else [1, 1])


def test_answers_come_as_squad_has_them() -> None:
    outputs = [port("start", 2), port("end", 2)]
    given: tuple[object, ...] = ({"text": ["x y", "z"], "answer_start": [0, 4]}, ["z"], "z", '["z"]', {"text": []})
    task = QuestionAnswering.of(labelling(*given, outputs=outputs, alignment=[context("x y z", 1)] * 5))
    assert [list(answers) for answers in task.answers] == [["x y", "z"], ["z"], ["z"], ["z"], [""]]


def test_spans_are_ordered_and_short() -> None:
    start, end = np.arange(50.0)[::-1].copy(), np.arange(50.0)
    assert best_span(start, end, np.ones(50, bool)) == (0, 29)
    assert best_span(np.array([0.0, 9]), np.array([9.0, 0]), np.ones(2, bool)) in {(0, 0), (1, 1)}
    assert best_span(start, end, np.zeros(50, bool)) == (-1, -1)


def test_words_are_compared_as_squad_does() -> None:
    assert word_f1("The Cat!", "cat") == 1
    assert word_f1("a cat and dog", "cat") == pytest.approx(2 / 4)
    assert (word_f1("", ""), word_f1("x", "")) == (1, 0)
