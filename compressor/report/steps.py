"""Say what became of one pass, and of the model after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from compressor.report.fidelity import Batching, Fidelity, TaskScore
from compressor.report.sizes import Size, Skip
from compressor.report.timing import Latency, speedup


class Outcome(Enum):
    """What became of a pass."""

    KEPT = "kept"
    UNCHANGED = "unchanged"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightNoise:
    """How near the integers of one weight stay to its floats.

    Attributes:
        name: the weight, as it was called.
        weight_bytes: its bytes in float.
        sqnr_db: 10 log10(sum(w^2) / sum((w - w')^2)); infinity where nothing was lost.
    """

    name: str
    weight_bytes: int
    sqnr_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """What became of the float weights of a model.

    Attributes:
        quantized_bytes: bytes that weights had which are stored smaller now.
        float_bytes: bytes of weights that stay float, each with a reason among the candidates left alone.
        worst: of the weights that are integers now, those with the most noise, the worst first, at most ten.
    """

    quantized_bytes: int
    float_bytes: int
    worst: tuple[WeightNoise, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One pass of the chain, and the model after it.

    Attributes:
        name: the pass.
        outcome: what became of it; after a roll-back the figures are those of the model that stayed.
        reason: why it was rolled back, or what a reader must know; empty otherwise.
        counts: what the pass did, for example ``{"initializers_merged": 77}``.
        skipped: candidates left alone, each with its reason.
        size: the model after the step.
        fidelity: the model after the step against the original; None where nothing was run.
        latency: the model after the step; None where nothing was timed.
        original_latency: the original, timed in turns with it.
        score: how well the model after the step does its task; None without labels.
        quantization: what became of the float weights; None where the pass quantized nothing.
        batching: how far rows of the model after the step depend on the rows beside them; None where not measured.
        seconds: time of the pass itself, without measuring.
    """

    name: str
    outcome: Outcome
    size: Size
    counts: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[Skip, ...] = ()
    reason: str = ""
    fidelity: Fidelity | None = None
    latency: Latency | None = None
    original_latency: Latency | None = None
    score: TaskScore | None = None
    quantization: Quantization | None = None
    batching: Batching | None = None
    seconds: float = 0.0

    @property
    def speedup(self) -> float | None:
        """How many times faster than the original; both were timed in turns, so noise falls on both."""
        return speedup(self.original_latency, self.latency)
