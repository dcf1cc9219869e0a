"""Put what quantization did to the weights, and to rows of a batch, into words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from compressor.render import figures
from compressor.report import Step, WeightNoise


def quantization_lines(step: Step, *, verbose: bool) -> Iterator[str]:
    """Yield what there is to say of weights and of batches; `verbose` lists the weights with the most noise."""
    found = step.quantization
    if found is not None:
        line = f"weights: {figures.size(found.quantized_bytes)} quantized, {figures.size(found.float_bytes)} stay float"
        yield f"{line}; the most noise is in" if verbose and found.worst else line
        if verbose:
            yield from (f"  {_described(noise)}" for noise in found.worst)
    if step.batching is not None:
        yield _batching(step)


def _described(noise: WeightNoise) -> str:
    return f"{figures.printable(noise.name)} ({_ratio(noise.sqnr_db)}, {figures.size(noise.weight_bytes)})"


def _ratio(sqnr_db: float) -> str:
    if math.isfinite(sqnr_db):
        return f"{sqnr_db:.1f} dB"
    return "no noise" if sqnr_db > 0 else "noise not known"


def _batching(step: Step) -> str:
    found = step.batching
    assert found is not None
    cosine = "" if found.cosine_min is None else f", cosine {figures.cosine(found.cosine_min)}"
    return (
        f"a row in a batch against the same row alone: max rel {figures.difference(found.max_rel)}{cosine} "
        f"(original: max rel {figures.difference(found.original_max_rel)}; {figures.plural(found.rows, 'row')})"
    )
