"""Say how far a figure from a sample can be trusted: intervals, and paired tests of two models on the same samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from compressor.evaluation.contract import Array

RESAMPLES = 1000
"""Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), ask for 1,000 or more for 95 % percentiles."""

_Z95 = 1.959963984540054
"""97.5 % quantile of the normal distribution."""

Metric = Callable[[Array], float]


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, JASA 22, 1927, 209-212); unlike the normal one it holds near 0 and 1."""
    share, z2 = successes / trials, _Z95 * _Z95
    middle = share + z2 / (2 * trials)
    half = _Z95 * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    scale = 1 + z2 / trials
    # At the ends the formula gives 0 and 1, but for rounding.
    low = (middle - half) / scale if successes > 0 else 0.0
    return low, (middle + half) / scale if successes < trials else 1.0


def bootstrap_interval(scores: Array, metric: Metric) -> tuple[float, float]:
    """95 % interval of a metric of rows: percentiles over samples drawn again (Efron, Ann. Statist. 7, 1979, 1-26)."""
    found = np.array([metric(scores[drawn]) for drawn in _drawn(len(scores))])
    found = found[np.isfinite(found)]
    if not found.size:
        return math.nan, math.nan
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def mcnemar_p(wins: int, losses: int) -> float:
    """Exact two-sided test whether wins and losses are a fair coin (McNemar, Psychometrika 12, 1947, 153-157)."""
    turned = wins + losses
    if turned == 0:
        return 1.0
    # In logarithms: one outcome of 3,000 coins is less than the smallest float64.
    fewer = min(wins, losses)
    logs = [_log_choose(turned, heads) - turned * math.log(2) for heads in range(fewer + 1)]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def paired_bootstrap_p(candidate: Array, original: Array, metric: Metric) -> float:
    """Two-sided share of resamples in which the difference of the metrics is not on the side where it was found.

    Both models are drawn on the same samples (Efron and Tibshirani, chapter 16; for language models Koehn, EMNLP 2004).
    """
    if np.array_equal(candidate, original):
        return 1.0
    differences = np.array([metric(candidate[drawn]) - metric(original[drawn]) for drawn in _drawn(len(original))])
    differences = differences[np.isfinite(differences)]
    # One is added to both, so that no finite number of draws says "never".
    beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0)) + 1
    return min(1.0, float(2 * beyond / (len(differences) + 1)))


def _drawn(rows: int) -> Iterator[Array]:
    """Yield the rows of each resample; the same ones every time, so that a report repeats."""
    random = np.random.default_rng(0)
    return (random.integers(rows, size=rows) for _ in range(RESAMPLES))


def _log_choose(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)
