"""Intervals and tests agree with published values, and mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from compressor.evaluation.contract import Array
from compressor.evaluation.statistics import bootstrap_interval, mcnemar_p, paired_bootstrap_p, wilson_interval


def mean(scores: Array) -> float:
    return float(scores.mean())


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0000),
    ],
)
def test_wilson_intervals_are_those_of_the_literature(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("wins", "losses", "p_value"),
    [(0, 0, 1), (5, 5, 1), (1, 0, 1), (0, 5, 2 / 32), (1, 9, 22 / 1024), (2, 8, 112 / 1024), (8, 2, 112 / 1024)],
)
def test_mcnemar_counts_coins(wins: int, losses: int, p_value: float) -> None:
    assert mcnemar_p(wins, losses) == pytest.approx(p_value)


def test_mcnemar_survives_many_samples() -> None:
    assert 0 < mcnemar_p(1400, 1600) < 1e-3
    assert mcnemar_p(0, 5000) >= 0
    assert mcnemar_p(50_000, 50_000) == 1


def test_bootstrap_interval_of_a_mean_is_near_the_normal_one() -> None:
    scores = np.random.default_rng(1).standard_normal(2000)
    low, high = bootstrap_interval(scores, mean)
    half = 1.96 * scores.std() / np.sqrt(2000)
    assert (low, high) == pytest.approx((scores.mean() - half, scores.mean() + half), abs=0.1 * half)


def test_paired_test_sees_a_small_difference_that_every_sample_shows() -> None:
    original = np.random.default_rng(2).standard_normal(500) * 10
    noise = np.random.default_rng(3).standard_normal(500)
    assert paired_bootstrap_p(original - 0.2 + 0.1 * noise, original, mean) < 0.01
    assert paired_bootstrap_p(original + noise - noise.mean(), original, mean) > 0.5
    assert paired_bootstrap_p(original, original.copy(), mean) == 1


def test_the_same_scores_give_the_same_figures() -> None:
    scores = np.random.default_rng(4).random(100)
    assert bootstrap_interval(scores, mean) == bootstrap_interval(scores, mean)
    assert paired_bootstrap_p(scores, scores**2, mean) == paired_bootstrap_p(scores, scores**2, mean)
