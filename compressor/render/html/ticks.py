"""Choose round values for the ticks of an axis."""

from __future__ import annotations

import math


def even_ticks(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between `low` and `high`, about five of them."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
    return [at * step for at in range(math.ceil(low / step), math.floor(high / step) + 1)]


def score_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Even ticks, spelled as numbers; what is less the better is drawn upside down, as its negative."""
    return [(value, f"{abs(value):.4g}") for value in even_ticks(low, high)]


def cosine_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Ticks at 0.9, 0.95, 0.98, 0.99 and so on, by their nines."""
    distances = (multiple * 10.0**-power for power in range(9) for multiple in (5, 2, 1))
    found = ((-math.log10(distance), f"{1 - distance:.8g}") for distance in distances)
    return [(height, spelled) for height, spelled in found if low <= height <= high]
