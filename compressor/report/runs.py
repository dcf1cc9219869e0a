"""Say what became of a whole run: of one model, of several that belong together, of several that do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compressor.report.fidelity import Fidelity, TaskScore
from compressor.report.sizes import Layer, Size, Skip
from compressor.report.steps import Outcome, Step
from compressor.report.timing import Host, Latency


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
