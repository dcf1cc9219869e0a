"""Lay out how near the outputs stay: a line an output, and the samples that fared worst."""

from __future__ import annotations

import math

from rich import box
from rich.table import Table
from rich.text import Text

from compressor.render import figures
from compressor.report import Fidelity, OutputFidelity


def outputs_as_table(fidelity: Fidelity) -> Table:
    """Lay out every measure of every output; a measure that none has gets no column."""
    shown = [
        ("max abs", [_difference(output.max_abs) for output in fidelity.outputs]),
        ("max rel", [_difference(output.max_rel) for output in fidelity.outputs]),
        ("SQNR", [_decibels(output.sqnr_db) for output in fidelity.outputs]),
        ("cosine mean", [_cosine(output.cosine_mean) for output in fidelity.outputs]),
        ("cosine min", [_cosine(output.cosine_min) for output in fidelity.outputs]),
        ("top-1", [_share(output.top1_agreement) for output in fidelity.outputs]),
        ("top-5", [_share(output.top5_agreement) for output in fidelity.outputs]),
        ("KL, nats", [_difference(output.kl_mean) for output in fidelity.outputs]),
    ]
    columns = [(name, cells) for name, cells in shown if any(cells)]
    table = _table("output", *(name for name, _ in columns))
    for row, output in enumerate(fidelity.outputs):
        table.add_row(_name(output), *(cells[row] or "-" for _, cells in columns))
    return table


def worst_as_table(fidelity: Fidelity, count: int) -> Table | Text:
    """Name the `count` samples on which an output is farthest off."""
    worst = fidelity.worst_samples[:count]
    if not worst:
        return Text("worst samples: no sample's row differs")
    has_several, has_texts = len(fidelity.outputs) > 1, any(sample.excerpt for sample in worst)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("worst", no_wrap=True)
    table.add_column("cosine", no_wrap=True)
    for name in (*(["of output"] if has_several else []), *(["it begins"] if has_texts else [])):
        table.add_column(name, overflow="fold")
    for sample in worst:
        output = [Text(figures.printable(sample.output))] if has_several else []
        # What does not fit is cut, so that a sample has one line.
        text = [Text(figures.printable(sample.excerpt), no_wrap=True, overflow="ellipsis")] if has_texts else []
        table.add_row(f"row {sample.row:,}", figures.cosine(sample.cosine), *output, *text)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right")
    return table


def _name(output: OutputFidelity) -> Text:
    return Text(figures.printable(output.name))


def _difference(value: float | None) -> str:
    return "" if value is None else figures.difference(value)


def _decibels(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f} dB" if math.isfinite(value) else "inf" if value > 0 else "-inf"


def _cosine(value: float | None) -> str:
    return "" if value is None else figures.cosine(value)


def _share(value: float | None) -> str:
    return "" if value is None else figures.agreement(value)
