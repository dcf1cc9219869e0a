"""Choose a factor for each feature, by how large it gets in the activation and in the weights.

That activations have few large features and weights have none, and that one can be traded for the other, is from
SmoothQuant (Xiao et al. 2022, arXiv 2211.10438); so is the form of the factors. There they are rounded to no grid, and
serve static scales.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compressor.passes.contract import FeatureStatistics
from compressor.passes.smoothing.matrix import Floats, channel_reach, measure_features
from compressor.passes.smoothing.products import Group

QUIET = 1 / 8
"""Share of the median feature's size that every feature is taken to have at least: one that is quiet in the samples
may be loud elsewhere, and would then coarsen all others."""

LARGEST_EXPONENT = 24
"""Factors are within 2^-24 and 2^24, or none is taken: beyond, products could leave the range of float32."""

_ACTIVATION_STEPS = 255
_WEIGHT_LEVELS = 127
_TINY = float(np.finfo(np.float32).tiny)


def choose_factors(group: Group, seen: Mapping[str, FeatureStatistics], strength: float) -> tuple[Floats, float] | None:
    """Find by how much each feature of the activations is divided, and how much of the rounding error that leaves.

    Factors are powers of two, so that neither the division nor the multiplication of the weights rounds anything, and
    the products are the same to the last bit. None where there is no such factor, or nothing to tell it from.

    Args:
        group: the products.
        seen: what the group's activations showed, by name.
        strength: 1 gives all features of an activation the same size, 0 all features of the weights.
    """
    activations = [seen[value.name or ""] for value in group.activations]
    measured = [measure_features(weight.tensor, axis) for weight, axis in group.weights.items()]
    loudest = np.max([activation.peak for activation in activations], axis=0)
    heaviest = np.max([peak for peak, _ in measured], axis=0)
    if not 0 < loudest.max() < np.inf or not 0 < heaviest.max() < np.inf:
        return None
    loudest = np.maximum(loudest, max(QUIET * float(np.median(loudest)), _TINY))
    heaviest = np.maximum(heaviest, 2.0**-LARGEST_EXPONENT * float(heaviest.max()))
    exponents = np.rint(strength * np.log2(loudest) - (1 - strength) * np.log2(heaviest))
    if np.abs(exponents).max() > LARGEST_EXPONENT:
        return None
    factors = np.exp2(exponents).astype(np.float32)
    return factors, _error_left(group, activations, [energy for _, energy in measured], factors)


def _error_left(
    group: Group, activations: Sequence[FeatureStatistics], energies: Sequence[NDArray[np.float64]], factors: Floats
) -> float:
    """Rounding error of int8 products with the factors, as a share of that without."""
    plain = np.ones_like(factors)
    before = after = 0.0
    for (weight, axis), energy in zip(group.weights.items(), energies, strict=True):
        reach_before, reach_after = channel_reach(weight.tensor, axis, (plain, factors))
        for activation in activations:
            signal = float((energy * activation.mean_square).sum()) or 1.0
            before += _noise(activation, energy, reach_before, plain) / signal
            after += _noise(activation, energy, reach_after, factors) / signal
    return after / before if before else 1.0


def _noise(activation: FeatureStatistics, energy: NDArray[np.float64], reach: Floats, factors: Floats) -> float:
    """Variance of a product's rounding errors, if each is even within its step (the twelfth of its square).

    A step of the activation is the same for all its features, one of the weights the same for a channel.
    """
    wide = factors.astype(np.float64)
    highest, lowest = max((activation.highest / wide).max(), 0.0), min((activation.lowest / wide).min(), 0.0)
    activation_step = (highest - lowest) / _ACTIVATION_STEPS
    weight_steps = reach.astype(np.float64) / _WEIGHT_LEVELS
    of_activation = activation_step**2 * (energy * wide**2).sum()
    of_weights = np.square(weight_steps).sum() * (activation.mean_square / wide**2).sum()
    return float(of_activation + of_weights) / 12
