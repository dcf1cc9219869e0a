"""Hold the facts of a run, frozen: sizes, fidelities, steps, skips; deltas are computed, never stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

SCHEMA_VERSION = 1
"""Version of the JSON form of these facts; it grows when a field changes its meaning or disappears."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A weight or pattern that was a candidate and was left alone.

    Attributes:
        candidate: what was left alone, by the name a user finds in the model.
        reason: why, in words that stand alone.
        weight_bytes: bytes of weights that stay as they were because of it; 0 where no weight is concerned.
    """

    candidate: str
    reason: str
    weight_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Where the bytes of a model are, as they are (or would be) on disk.

    Attributes:
        total_bytes: all files of the model together.
        weight_bytes: bytes of weights by ONNX data type name, for example ``{"FLOAT": 4096, "INT8": 512}``.
        metadata_bytes: documentation strings, metadata properties and recorded shapes, which no computation needs.
        duplicate_bytes: weight bytes that repeat another weight of the same type and shape, which any node could read.
    """

    total_bytes: int
    weight_bytes: Mapping[str, int]
    metadata_bytes: int = 0
    duplicate_bytes: int = 0

    @property
    def all_weight_bytes(self) -> int:
        """Bytes of all weights."""
        return sum(self.weight_bytes.values())

    @property
    def graph_bytes(self) -> int:
        """What is left: nodes, names, interface."""
        return self.total_bytes - self.all_weight_bytes - self.metadata_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A part of a model by the hierarchy of its names, such as ``encoder.layer.0``, and what is inside it.

    Attributes:
        name: the last part of its path, such as ``0``; empty for the whole model.
        weight_bytes: bytes of all weights in it by ONNX data type; a weight that several layers use counts once.
        weights: how many there are.
        parts: the layers inside it, the largest first; weights of its own are what they leave of its bytes.
    """

    name: str
    weight_bytes: Mapping[str, int]
    weights: int
    parts: tuple[Layer, ...] = ()

    @property
    def all_weight_bytes(self) -> int:
        """Bytes of all weights in it."""
        return sum(self.weight_bytes.values())


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
    """

    output: str
    row: int
    cosine: float


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Time of one run on this host.

    Attributes:
        median_ms: median of the timed runs, in milliseconds.
        runs: how many were timed.
        shape: the input sizes timed, for example ``"batch 1 x sequence 64"``.
    """

    median_ms: float
    runs: int
    shape: str


def speedup(original: Latency | None, latency: Latency | None) -> float | None:
    """How many times faster `latency` is; None where either was not timed."""
    if original is None or latency is None or not latency.median_ms:
        return None
    return original.median_ms / latency.median_ms


class Outcome(Enum):
    """What became of a pass."""

    KEPT = "kept"
    UNCHANGED = "unchanged"
    ROLLED_BACK = "rolled back"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisFinding:
    """What became of an axis that a model's inputs declare dynamic when it was run at several sizes.

    Attributes:
        axis: its name; where the model gives none, the input and the axis's place.
        inputs: the inputs that have it.
        sizes: sizes that ran, the first one that was found first.
        reason: why no other size ran, in the runtime's words, which name the node; empty where one did.
    """

    axis: str
    inputs: tuple[str, ...]
    sizes: tuple[int, ...]
    reason: str = ""

    @property
    def is_fixed(self) -> bool:
        """The size is baked into the graph."""
        return bool(self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A choice of schemes that a search tried.

    Attributes:
        weights: how many weights have each scheme, or are ``float``.
        total_bytes: the model's size.
        fidelity: how near it stays to the original; None where it does not run.
        score: how well it does its task; None without labels.
        speedup: times as fast as the original; None where it was not timed.
        broken_limits: a sentence for each limit of the budget that it breaks, or why it does not run.
        is_chosen: it is the one that was kept.
    """

    weights: Mapping[str, int]
    total_bytes: int
    fidelity: Fidelity | None
    score: TaskScore | None
    speedup: float | None
    broken_limits: tuple[str, ...]
    is_chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the figures were measured on.

    Attributes:
        cpu: the processor's name.
        int8_path: the widest int8 dot product the processor has (``"vnni"``, ``"avx2"``, ...); without VNNI, x86
            processors saturate 16-bit sums of uint8 x int8 products.
        threads: threads given to the runtime.
        versions: of onnx, onnxruntime, onnx-ir, onnxscript and this package.
    """

    cpu: str
    int8_path: str
    threads: int
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything one run found out.

    Attributes:
        source: the model that was read.
        output: the main file written, or None where nothing was.
        original: the source's size.
        steps: the passes, in order.
        host: what it was measured on.
        warnings: what a reader must know before believing the figures.
        broken_limits: a sentence for each limit of the user's budget that the result breaks.
        recipe: the passes that ran, with all their options, as a recipe file holds them: with it, the same source gives
            the same result.
        attempts: what a search tried, in order; empty where none was asked for.
        samples: what the models were run on; empty where nothing was.
        original_score: how well the source does its task; None without labels.
        original_layers, final_layers: where the weights are in the source, and after the last step, by layer.
        seconds: wall time of the whole run.
    """

    source: Path
    output: Path | None
    original: Size
    steps: tuple[Step, ...]
    host: Host
    warnings: tuple[str, ...] = ()
    broken_limits: tuple[str, ...] = ()
    recipe: str = ""
    attempts: tuple[Attempt, ...] = ()
    samples: str = ""
    original_score: TaskScore | None = None
    original_layers: Layer | None = None
    final_layers: Layer | None = None
    seconds: float = 0.0

    @property
    def final(self) -> Size:
        """Size after the last step."""
        return self.steps[-1].size if self.steps else self.original

    @property
    def ratio(self) -> float:
        """How many times smaller the result is."""
        return self.original.total_bytes / max(1, self.final.total_bytes)

    @property
    def original_latency(self) -> Latency | None:
        """The source's time per run, as first timed."""
        return next((step.original_latency for step in self.steps if step.original_latency is not None), None)

    @property
    def is_verified(self) -> bool:
        """Every step was run and none broke its claim."""
        return all(s.fidelity is not None and s.outcome is not Outcome.ROLLED_BACK for s in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReport:
    """What one run found out about models that belong together.

    Attributes:
        reports: one a model, in the order given; sizes in it are those of the model written alone.
        files: the models written, then the data file they share, if any weight is large enough for it; empty where
            nothing was written because a limit is broken.
        original_bytes: all source files together, a data file that several read counted once.
        total_bytes: all result files together.
        shared_bytes: weight bytes that more than one model reads, counted once for each model after the first.
        broken_limits: a sentence for each limit of the user's budget that the set as a whole breaks; those that one
            model breaks are in its report.
        sidecars: files written beside the models of an export folder, most of them copies: configuration, tokenizer.
        sidecars_refused: files of that kind that were not copied, each with the reason.
    """

    reports: tuple[Report, ...]
    files: tuple[Path, ...]
    original_bytes: int
    total_bytes: int
    shared_bytes: int
    broken_limits: tuple[str, ...] = ()
    sidecars: tuple[Path, ...] = ()
    sidecars_refused: tuple[Skip, ...] = ()

    @property
    def ratio(self) -> float:
        """How many times smaller the whole set is."""
        return self.original_bytes / max(1, self.total_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one of several models that have nothing to do with each other came out.

    Attributes:
        source: the model.
        report: what was found out about it; None where it was refused.
        refusal: why it was; empty otherwise.
    """

    source: Path
    report: Report | None
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EachReport:
    """What one run found out about models that have nothing to do with each other.

    Attributes:
        endings: one a model, in the order given.
        jobs: models that were worked on at a time; with more than one, times of runs are those of a busy machine.
    """

    endings: tuple[Ending, ...]
    jobs: int

    @property
    def reports(self) -> tuple[Report, ...]:
        """Those of the models that were not refused."""
        return tuple(ending.report for ending in self.endings if ending.report is not None)

    @property
    def original_bytes(self) -> int:
        """Sources that were not refused, together."""
        return sum(report.original.total_bytes for report in self.reports)

    @property
    def total_bytes(self) -> int:
        """Their results together."""
        return sum(report.final.total_bytes for report in self.reports)
