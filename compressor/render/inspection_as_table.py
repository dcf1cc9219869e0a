"""Lay an inspection out for a terminal: the interface, where the bytes are, what repeats, what each pass would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compressor.inspection import DuplicateGroup, Inspection, Port, Weight
from compressor.render import figures
from compressor.render.findings import counts_of, steps_with_sizes_before
from compressor.render.layers_as_tree import layers_as_tree
from compressor.render.left_alone import left_alone
from compressor.render.terminal import unwrapped
from compressor.report import AxisFinding

ROWS_SHOWN = 8
"""Rows of each list; the rest is counted."""


def inspection_as_table(inspection: Inspection, *, verbose: bool = False) -> RenderableType:
    """Lay out `inspection`; `verbose` unfolds every list and every candidate that would be left alone."""
    rows = None if verbose else ROWS_SHOWN
    sections: list[RenderableType] = [
        _heading(inspection),
        _section("interface", _interface(inspection)),
        *([_section("dynamic axes, put to the test", _axes(inspection.axes))] if inspection.axes else []),
        _section("where the bytes are", _shares(_parts(inspection), inspection.size.total_bytes)),
        _section(
            "what the weights are for", _shares(inspection.consumer_bytes, inspection.size.all_weight_bytes, rows)
        ),
        _section("which layers they are in", layers_as_tree(inspection.layers, verbose=verbose)),
        _section(f"largest of {figures.plural(inspection.weights, 'weight')}", _largest(inspection.largest, rows)),
        _section(
            figures.plural(sum(inspection.operators.values()), "node"), Text(_operators(inspection.operators, rows))
        ),
        _section("exact copies", _duplicates(inspection.duplicates, rows)),
        _section("what each pass would do", _forecast(inspection, verbose)),
        *(Text(f"warning: {figures.printable(text)}\n", style="yellow") for text in inspection.warnings),
        Text(_closing(inspection), style="bold"),
    ]
    return Group(*sections)


def _heading(inspection: Inspection) -> RenderableType:
    files = [
        unwrapped(f"{figures.printable(str(path))}: {figures.size(length)}")
        for path, length in inspection.file_bytes.items()
    ]
    opsets = ", ".join(f"{figures.printable(name)} {version}" for name, version in inspection.opsets.items())
    producer = f"; made by {figures.printable(inspection.producer)}" if inspection.producer else ""
    return Group(*files, Text(f"IR version {inspection.ir_version}; opset {opsets}{producer}\n"))


def _section(title: str, content: RenderableType) -> RenderableType:
    return Group(Text(title, style="bold"), Padding(content, (0, 0, 1, 2)))


def _interface(inspection: Inspection) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for kind, ports in (("in", inspection.inputs), ("out", inspection.outputs)):
        for port in ports:
            table.add_row(kind, Text(figures.printable(port.name), overflow="fold"), Text(_type_of(port)))
    return table


def _axes(findings: Sequence[AxisFinding]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for finding in findings:
        if finding.is_fixed:
            said = Text(f"FIXED at {finding.sizes[0]}: it {figures.printable(finding.reason)}", style="yellow")
        else:
            said = Text(f"runs at {', '.join(map(str, sorted(finding.sizes)))}")
        table.add_row(Text(figures.printable(finding.axis), overflow="fold"), said)
    return table


def _type_of(port: Port) -> str:
    dims = "of any rank" if port.dims is None else f"[{', '.join('?' if d is None else str(d) for d in port.dims)}]"
    default = " (has a default)" if port.has_default else ""
    return f"{figures.printable(port.type or 'untyped')} {figures.printable(dims)}{default}"


def _parts(inspection: Inspection) -> Mapping[str, int]:
    """Name every byte of the files: weights by type, the metadata, and what remains."""
    size = inspection.size
    parts = {f"{name} weights": count for name, count in size.weight_bytes.items() if count}
    # Negative where weights share bytes of the file: then there is no telling what the graph takes.
    return parts | {"graph": max(0, size.graph_bytes), "metadata": size.metadata_bytes}


def _shares(parts: Mapping[str, int], whole: int, rows: int | None = None) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", max_width=40)
    table.add_column(justify="right")
    table.add_column(justify="right")
    shown = dict(islice(parts.items(), rows))
    for name, count in shown.items():
        table.add_row(
            Text(figures.printable(name)), figures.size(count), f"{count / max(1, whole):.1%}".replace("%", " %")
        )
    if len(parts) > len(shown):
        rest = sum(parts.values()) - sum(shown.values())
        table.add_row(f"{len(parts) - len(shown):,} others", figures.size(rest), "")
    return table


def _largest(weights: Sequence[Weight], rows: int | None) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold", ratio=3)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    for weight in islice(weights, rows):
        shape = "x".join(map(str, weight.shape)) or "scalar"
        table.add_row(
            figures.size(weight.weight_bytes),
            Text(figures.printable(weight.name)),
            f"{weight.type} {shape}",
            Text(figures.printable(", ".join(weight.consumers) or "unused")),
        )
    return table


def _operators(operators: Mapping[str, int], rows: int | None) -> str:
    shown = [f"{count:,} {figures.printable(name)}" for name, count in islice(operators.items(), rows)]
    hidden = len(operators) - len(shown)
    return ", ".join(shown) + (f" and {figures.plural(hidden, 'other operator')}" if hidden else "")


def _duplicates(groups: Sequence[DuplicateGroup], rows: int | None) -> RenderableType:
    if not groups:
        return Text("none")
    copies = sum(len(group.members) - 1 for group in groups)
    saved = figures.size(sum(group.saved_bytes for group in groups))
    lines = [f"{figures.plural(len(groups), 'weight')} stored more than once: {copies:,} copies too many, {saved}"]
    lines += [_group_line(group, rows) for group in islice(groups, rows)]
    if rows is not None and len(groups) > rows:
        lines.append(f"and {len(groups) - rows:,} more (-v shows all)")
    return Text("\n".join(lines), overflow="fold")


def _group_line(group: DuplicateGroup, rows: int | None) -> str:
    if rows is None:
        return f"{figures.size(group.saved_bytes)}: {figures.printable(', '.join(group.members))}"
    others = len(group.members) - 1
    return f"{figures.size(group.saved_bytes)}: {figures.printable(group.members[0])} and {others:,} more like it"


def _forecast(inspection: Inspection, verbose: bool) -> RenderableType:
    lines: list[RenderableType] = []
    for step, before in steps_with_sizes_before(inspection.size, inspection.forecast):
        old, new = before.total_bytes, step.size.total_bytes
        change = f"{figures.size_change(old, new)}, {figures.relative_change(old, new)}"
        lines.append(Text.assemble((f"{figures.printable(step.name)}: ", "bold"), f"{figures.size(new)} ({change})"))
        lines.append(Padding(Text(counts_of(step, before)), (0, 0, 0, 2)))
        lines += left_alone(step, verbose=verbose)
    return Group(*lines)


def _closing(inspection: Inspection) -> str:
    if not inspection.forecast:
        return f"{figures.SIZE_UNITS}."
    before, after = inspection.size.total_bytes, inspection.forecast[-1].size.total_bytes
    ratio = figures.times(before / max(1, after))
    return (
        f"The default chain would bring {figures.size(before)} to {figures.size(after)} ({ratio} times smaller). "
        f"What that costs in accuracy is for 'compressor compress' to measure. {figures.SIZE_UNITS}."
    )
