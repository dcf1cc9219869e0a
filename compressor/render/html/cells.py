"""Put the figures of one model into cells of a table, each with the number that it is sorted by."""

from __future__ import annotations

from compressor.render import figures
from compressor.render.html.tables import Cell
from compressor.render.scores import score_of
from compressor.report import Fidelity, Latency, TaskScore

DRIFT_COLUMNS = ("max rel", "cosine", "top-1")
TIME_COLUMNS = ("one run", "speed")

EMPTY = Cell("")
_NONE = Cell("-")


def size_cell(count: int) -> Cell:
    """A number of bytes."""
    return Cell(figures.size(count), count)


def ratio_cell(ratio: float) -> Cell:
    """How many times smaller."""
    return Cell(f"{figures.times(ratio)}x", ratio)


def drift_cells(fidelity: Fidelity | None) -> list[Cell]:
    """The worst of all outputs and samples, by three measures."""
    if fidelity is None or not fidelity.outputs:
        return [Cell(figures.NOT_MEASURED, class_="unknown"), _NONE, _NONE]
    if fidelity.is_bit_identical:
        return [Cell("bit-identical", 0.0, "good"), Cell("1", 1.0), Cell("100 %", 1.0)]
    cosine, agreement = fidelity.worst_cosine, fidelity.worst_top1_agreement
    return [
        Cell(figures.difference(fidelity.worst_max_rel), fidelity.worst_max_rel),
        _NONE if cosine is None else Cell(figures.cosine(cosine), cosine),
        _NONE if agreement is None else Cell(figures.agreement(agreement), agreement),
    ]


def score_cell(score: TaskScore | None) -> Cell:
    """The task's metric, and what became of single samples."""
    if score is None:
        return Cell(figures.NOT_MEASURED, class_="unknown")
    return Cell(" ".join(score_of(score)), score.value, "wrap")


def time_cells(latency: Latency | None, speedup: float | None) -> list[Cell]:
    """What one run takes, and how many times as fast as the original that is; empty for the original itself."""
    if latency is None:
        return [Cell(figures.NOT_MEASURED, class_="unknown"), _NONE]
    taken = Cell(figures.milliseconds(latency.median_ms), latency.median_ms)
    return [taken, EMPTY if speedup is None else Cell(f"{speedup:.2f}x", speedup)]
