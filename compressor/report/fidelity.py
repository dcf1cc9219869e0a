"""Say how near a model stays to the original, without labels and with them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFidelity:
    """How near one output stays to the original's, over all samples.

    Attributes:
        name: the graph output.
        bit_identical: every sample gave the same bytes.
        cosine_mean, cosine_min: cosine similarity per sample (rows along the first axis); None for non-numeric outputs.
        sqnr_db: signal to quantization noise ratio, 10 log10(sum(x^2) / sum((x - y)^2)); infinity where equal.
        max_abs: largest absolute difference.
        max_rel: largest absolute difference divided by the largest absolute value of the original output.
        top1_agreement: share of rows with the same largest entry along the last axis; of integers, booleans and
            strings, the share of equal entries; None where neither has a meaning.
        top5_agreement: share of rows whose largest entry is among this model's five largest; None for rows of five
            entries or fewer.
        kl_mean: mean Kullback-Leibler divergence of the distribution along the last axis from the original's, in nats:
            of the softmax where the output is named logits, else of rows that add up to 1; None without such rows.
    """

    name: str
    bit_identical: bool
    cosine_mean: float | None
    cosine_min: float | None
    sqnr_db: float | None
    max_abs: float | None
    max_rel: float | None
    top1_agreement: float | None
    top5_agreement: float | None = None
    kl_mean: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstSample:
    """A sample on which an output is far from the original's.

    Attributes:
        output: the graph output.
        row: which sample, counted from 1: of given data its row there, else in the order they were made.
        cosine: cosine similarity of the output's row to the original's.
        excerpt: the beginning of its text, or its file; empty where it is numbers, or made up.
    """

    output: str
    row: int
    cosine: float
    excerpt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """How near a model stays to the original on the same inputs, without labels.

    Attributes:
        samples: rows of input that stand behind the figures.
        batches: runs they were fed in.
        generated: the inputs were made up from the graph's signature, so the figures are indicative only.
        outputs: one entry per graph output, in graph order.
        worst_samples: the samples with the smallest cosine, the worst first, at most twenty, each with its worst
            output; none where every output has the same bytes, or no rows that could be told apart.
    """

    samples: int
    batches: int
    generated: bool
    outputs: tuple[OutputFidelity, ...]
    worst_samples: tuple[WorstSample, ...] = ()

    @property
    def is_bit_identical(self) -> bool:
        """Every output of every sample has the same bytes."""
        return all(output.bit_identical for output in self.outputs)

    @property
    def worst_max_rel(self) -> float:
        """The largest relative difference of any output."""
        return max((output.max_rel for output in self.outputs if output.max_rel is not None), default=0.0)

    @property
    def worst_cosine(self) -> float | None:
        """The smallest cosine similarity of any output."""
        return min((o.cosine_min for o in self.outputs if o.cosine_min is not None), default=None)

    @property
    def worst_top1_agreement(self) -> float | None:
        """The smallest top-1 agreement of any output."""
        return min((o.top1_agreement for o in self.outputs if o.top1_agreement is not None), default=None)


SIGNIFICANT = 0.05
"""Chance below which a difference of scores is called more than chance: the level that the 95 % intervals have too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScore:
    """How well a model does its task on labelled samples.

    Attributes:
        task: such as ``"classification"``.
        metric: such as ``"accuracy"`` or ``"Spearman correlation"``.
        value: the metric; where more is better, at most 1 for a perfect model.
        low, high: ends of its 95 % confidence interval.
        samples: labelled samples behind it.
        is_less_better: perplexity and errors: the smaller, the better.
        wins, losses: samples on which this model does better, or worse, than the original did; None for the original.
        p_value: how likely a difference at least as large is by chance, by a paired test; None for the original.
    """

    task: str
    metric: str
    value: float
    low: float
    high: float
    samples: int
    is_less_better: bool = False
    wins: int | None = None
    losses: int | None = None
    p_value: float | None = None

    def loss_from(self, original: TaskScore) -> tuple[float, str]:
        """How much worse than `original`, and the unit: points (hundredths), or percent of it where less is better."""
        if self.is_less_better:
            return 100 * (self.value / original.value - 1) if original.value else 100 * self.value, "percent"
        return 100 * (original.value - self.value), "points"

    def is_plainly_worse_than(self, original: TaskScore) -> bool:
        """The loss is more than chance gives."""
        return self.p_value is not None and self.p_value < SIGNIFICANT and self.loss_from(original)[0] > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How far a row's outputs move with the rows it is run together with: dynamic scales are those of a whole batch.

    Attributes:
        rows: rows that were run alone and together.
        max_rel: largest difference between the two, divided by the output's largest absolute value; of all outputs.
        cosine_min: smallest cosine similarity of a row with itself; None where no output is a row of several numbers.
        original_max_rel: what `max_rel` is for the original, whose own rounding may depend on the batch.
    """

    rows: int
    max_rel: float
    cosine_min: float | None
    original_max_rel: float
