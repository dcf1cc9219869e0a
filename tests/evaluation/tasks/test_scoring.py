"""Scores carry an interval, and differences a paired test."""

from __future__ import annotations

import numpy as np
import pytest

from compressor import OptionError
from compressor.evaluation.contract import Samples
from compressor.evaluation.statistics import mcnemar_p, wilson_interval
from compressor.evaluation.tasks.classification import Classification
from compressor.evaluation.tasks.regression import Regression
from compressor.evaluation.tasks.scoring import Scorer
from compressor.evaluation.tasks.similarity import Similarity
from tests.evaluation.tasks.asked import candidate_score, labelling, original_score, port


def logits(*chosen: int) -> np.ndarray:
    return np.eye(2)[list(chosen)]


def test_wins_and_losses_are_single_samples_and_decide_the_test() -> None:
    task = Classification.of(labelling(*[0] * 40))
    original = original_score(task, logits(*[0] * 30, *[1] * 10))
    assert (original.summary.value, original.summary.samples) == (0.75, 40)
    assert (original.summary.low, original.summary.high) == wilson_interval(30, 40)
    assert (original.summary.wins, original.summary.losses, original.summary.p_value) == (None, None, None)
    score = candidate_score(task, logits(*[1] * 9, *[0] * 22, *[1] * 9), original)
    assert (score.wins, score.losses) == (1, 9)
    assert score.value == pytest.approx(22 / 40)
    assert score.p_value == mcnemar_p(1, 9)


def test_the_same_outputs_are_no_difference() -> None:
    task = Classification.of(labelling(0, 1, 1))
    outputs = logits(0, 1, 0)
    score = candidate_score(task, outputs, original_score(task, outputs))
    assert (score.wins, score.losses, score.p_value) == (0, 0, 1)


def test_errors_that_shrink_are_wins() -> None:
    task = Regression.of(labelling(*range(20)))
    truth = np.arange(20.0)[:, None]
    original = original_score(task, truth + 1)
    score = candidate_score(task, truth + 0.5, original)
    assert score.is_less_better
    assert (score.value, score.wins, score.losses) == (0.5, 20, 0)
    assert score.p_value is not None
    assert score.p_value < 0.01
    assert original.summary.low == original.summary.high == 1


def test_a_correlation_has_no_wins_but_a_test() -> None:
    random = np.random.default_rng(0)
    task = Similarity.of(labelling(*range(100), outputs=[port("logits", 2, 1)]))
    original = original_score(task, np.arange(100.0)[:, None] + random.standard_normal((100, 1)))
    worse = candidate_score(task, random.standard_normal((100, 1)), original)
    assert (worse.wins, worse.losses) == (None, None)
    assert worse.p_value is not None
    assert worse.p_value < 0.01
    assert worse.low < worse.value < worse.high


def test_an_original_without_a_score_is_refused() -> None:
    task = Similarity.of(labelling(1, 1, 1, outputs=[port("logits", 2, 1)]))
    with pytest.raises(OptionError, match="the original's Spearman correlation is nan on 3 samples"):
        original_score(task, np.arange(3.0)[:, None])


def test_rows_are_put_back_in_the_order_of_the_labels_and_counted_once() -> None:
    task = Classification.of(labelling(0, 1, 0))
    samples = Samples(batches=({}, {}), generated=False, description="", places=((2, 1), (0, 0)))
    scorer = Scorer(task, samples, ("logits",))
    scorer.add((logits(0, 1),))
    scorer.add((logits(1, 1),))
    assert scorer.facts().tolist() == [1, 1, 0]
