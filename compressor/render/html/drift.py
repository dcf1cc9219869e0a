"""Show how far the outputs moved: every measure of every output, and the samples that fared worst."""

from __future__ import annotations

import math
from collections.abc import Callable

from compressor.render import figures
from compressor.render.findings import samples_of
from compressor.render.html.markup import Markup, tag
from compressor.render.html.page import section
from compressor.render.html.tables import Cell, table
from compressor.report import Fidelity, OutputFidelity, WorstSample

_SMALLEST, _LARGEST = -8.0, 0.0
"""Powers of ten at the ends of the scale of relative differences: below is float rounding, above nothing is left."""

_MEASURES: tuple[tuple[str, Callable[[OutputFidelity], float | None], Callable[[float], str]], ...] = (
    ("max abs", lambda output: output.max_abs, figures.difference),
    ("max rel", lambda output: output.max_rel, figures.difference),
    ("SQNR, dB", lambda output: output.sqnr_db, lambda value: f"{value:.1f}"),
    ("cosine, mean", lambda output: output.cosine_mean, figures.cosine),
    ("cosine, worst", lambda output: output.cosine_min, figures.cosine),
    ("top-1", lambda output: output.top1_agreement, figures.agreement),
    ("top-5", lambda output: output.top5_agreement, figures.agreement),
    ("KL, nats", lambda output: output.kl_mean, figures.difference),
)


def drift_section(fidelity: Fidelity | None) -> Markup:
    """Lay out the drift of the result; nothing where nothing was compared."""
    if fidelity is None or not fidelity.outputs:
        return Markup()
    basis = f"Against the original, on {samples_of(fidelity)}."
    if fidelity.generated:
        basis += " Generated inputs are indicative only, real ones decide."
    return section("Drift of the outputs", tag("p", basis, class_="note"), _outputs(fidelity), _worst(fidelity))


def _outputs(fidelity: Fidelity) -> Markup:
    shown = [
        (name, measure, spell)
        for name, measure, spell in _MEASURES
        if any(measure(output) is not None for output in fidelity.outputs)
    ]
    rows = []
    for output in fidelity.outputs:
        cells = [_cell(measure(output), spell) for _, measure, spell in shown]
        rows.append([Cell(output.name), Cell(_strip(output), output.max_rel), *cells])
    columns = ("output", f"max rel, 1e{_SMALLEST:.0f} to 1", *(name for name, _, _ in shown))
    return table(columns, rows, caption="Drift by output")


def _cell(value: float | None, spell: Callable[[float], str]) -> Cell:
    return Cell("-") if value is None else Cell(spell(value), value)


def _strip(output: OutputFidelity) -> Markup:
    """The relative difference as a bar on a logarithmic scale; none where the bytes are the same."""
    if output.bit_identical:
        return tag("span", "bit-identical", class_="good")
    if not output.max_rel:
        return Markup()
    power = math.log10(output.max_rel)
    share = min(1.0, max(0.01, (power - _SMALLEST) / (_LARGEST - _SMALLEST)))
    return _gauge(share, f"max rel {figures.difference(output.max_rel)}")


def _worst(fidelity: Fidelity) -> Markup:
    samples = fidelity.worst_samples
    if not samples:
        return Markup()
    farthest = max((1 - sample.cosine for sample in samples if math.isfinite(sample.cosine)), default=0.0)
    columns: list[tuple[str, Callable[[WorstSample], Cell]]] = [
        ("row", lambda sample: Cell(f"{sample.row:,}", sample.row)),
        ("it begins", lambda sample: Cell(sample.excerpt)),
        ("output", lambda sample: Cell(sample.output)),
        ("distance from the original", lambda sample: _distance(sample, farthest)),
        ("1 - cosine", lambda sample: Cell(figures.difference(1 - sample.cosine), 1 - sample.cosine)),
        ("cosine", lambda sample: Cell(figures.cosine(sample.cosine), sample.cosine)),
    ]
    needless = {
        "it begins": not any(sample.excerpt for sample in samples),
        "output": len(fidelity.outputs) == 1,
    }
    shown = [(name, cell) for name, cell in columns if not needless.get(name)]
    rows = [[cell(sample) for _, cell in shown] for sample in samples]
    laid_out = table([name for name, _ in shown], rows, caption="Worst samples")
    return tag("div", tag("h3", f"The {figures.plural(len(samples), 'sample')} farthest off"), laid_out)


def _distance(sample: WorstSample, farthest: float) -> Cell:
    distance = 1 - sample.cosine
    share = distance / farthest if farthest and math.isfinite(distance) else 1.0
    return Cell(_gauge(max(0.0, share), f"1 - cosine: {figures.difference(distance)}"), distance)


def _gauge(share: float, name: str) -> Markup:
    return tag(
        "svg", tag("rect", x=0, y=0, width=100, height=10, class_="gauge"),
        tag("rect", x=0, y=0, width=100 * share, height=10, class_="drift"),
        viewBox="0 0 100 10", preserveAspectRatio="none", class_="bar short", role="img", aria_label=name,
    )  # fmt: skip
