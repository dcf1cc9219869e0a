"""Write the figures of the architecture matrix as a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from textwrap import shorten
from typing import Any

LARGEST_NOTE = 260
"""Characters; reasons that spell out symbolic shapes are longer."""

OF_SPEED = "on this host the result runs at"
"""How a remark begins that the page leaves out: toys run in less than a millisecond."""

STEPS = 12
"""How far `fusion_matrix.attention_layers` looks."""

SMALL_GAIN = 2.0
"""Below this many times smaller the page says which weights stayed float."""

INTRODUCTION = """# What becomes of each architecture

Made by `benchmarks/architecture_matrix.py`; do not edit. Measured {host}.

Each model is a toy of its architecture (2 layers or stages, hidden size 64, random weights), built by transformers and
exported with open batch and lengths by `benchmarks/make_architectures.py`, with SDPA where the architecture has it and
eager attention otherwise. Each goes through `compressor compress MODEL`, the default chain
(deduplicate, fuse, smooth, quantize), as a user would run it. The architectures are those that transformers names for
export to ONNX, and a few newer ones.

{summary}

What a cell says, from left to right:

- **times smaller**: bytes of the original / bytes of the result. A toy has much graph for its weights, and many weights
  too small to be worth quantizing: real models come nearer to 4 times, or go beyond it where the exporter wrote weights
  twice.
- **attention layers** fused / in the original, both counted by the benchmark, not by the command. The count knows no
  more than "a Softmax between two products", which other things can be, too.
- **drift** of the result (int8) from the original: the largest difference of any output / the largest value of that
  output, over three batches of several sizes and lengths, with padding on the right, on the left, and holes. The
  benchmark measures it, with inputs of its own. Weights are random: this shows what the arithmetic does, not what a
  trained model loses.

A note number leads to what there is to say, but for what the command says of speed: toys run in less than a
millisecond, and the machine did other work. `–`: not exported, for the reason in the note.
"""


class Notes:
    """Sentences by number, each once, in order of first use."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def mark(self, sentences: Iterable[str]) -> str:
        numbers = [str(self.numbers.setdefault(s, len(self.numbers) + 1)) for s in sentences]
        return f"<sup>{', '.join(numbers)}</sup>" if numbers else ""


def as_page(figures: Mapping[str, Any], not_exported: Mapping[str, str], routes: Sequence[str], host: str) -> str:
    """The whole page."""
    notes = Notes()
    names = {name.partition(".")[0] for name in (*figures, *not_exported) if name.rpartition(".")[2] in routes}
    lines = [f"| architecture | {' | '.join(routes)} |", f"|---|{'---|' * len(routes)}"]
    for name in sorted(names):
        cells = [_cell(name, route, figures, not_exported, notes) for route in routes]
        lines.append(f"| {name.replace('-with-past', ', with past')} | {' | '.join(cells)} |")
    numbered = [f"{number}. {sentence}" for sentence, number in notes.numbers.items()]
    start = INTRODUCTION.format(host=host, summary=_summary(figures))
    return "\n".join([start, *lines, "", "## Notes", "", *numbered, ""])


def _summary(figures: Mapping[str, Any]) -> str:
    rows = list(figures.values())
    well = sum(row["exit_code"] == 0 for row in rows)
    wrong = sum("result_fails" in row for row in rows)
    undone = sum(bool(row.get("rolled_back")) for row in rows)
    layers, fused = (sum(row.get(name) or 0 for row in rows) for name in ("layers", "fused"))
    names = {name.partition(".")[0] for name in figures}
    return (
        f"**{len(names)} architectures, {len(rows)} exports: {well} end with exit code 0, {undone} with a pass "
        f"rolled back, {wrong} with a result that does not run. {fused} of {layers} attention layers are fused.**"
    )


def _cell(name: str, route: str, figures: Mapping[str, Any], not_exported: Mapping[str, str], notes: Notes) -> str:
    row = next((row for stem, row in figures.items() if stem.startswith(f"{name}.") and stem.endswith(route)), None)
    if row is None:
        # Of two reasons, that of the eager export says more: the other is often only that there is no SDPA.
        reason = not_exported.get(f"{name}.eager.{route}") or not_exported.get(f"{name}.sdpa.{route}")
        return "–" + notes.mark([_plain(reason)] if reason else [])
    if "bytes" not in row:
        return "**failed**" + notes.mark([_plain(f"exit code {row['exit_code']}: {row['words']}")])
    before, after = row["bytes"]
    attention = "none counted" if row["softmaxes"] else "no attention"
    if row["layers"]:
        attention = f"{row.get('fused', '?')} / {row['layers']}"
    drift = f"{row['difference']:.1e}" if "difference" in row else "?"
    return f"{before / after:.1f}x · {attention} · {drift}{notes.mark(_remarks(row))}"


def _remarks(row: Mapping[str, Any]) -> list[str]:
    """All that a reader must know beside the three figures."""
    remarks = [f"exit code {row['exit_code']}: {row['words']}"] if row["exit_code"] else []
    remarks += [f"{name} was rolled back" for name in row["rolled_back"]]
    remarks += [f"{name}: {reason}" for name, reason in row["notes"].items() if not reason.startswith(OF_SPEED)]
    if row["bytes"][0] < SMALL_GAIN * row["bytes"][1] and row.get("heaviest"):
        remarks.append(f"the largest weight left in float: {row['heaviest']}")
    remarks += [f"ONNX Runtime does not run the original: {row['original_fails']}"] if "original_fails" in row else []
    if row["softmaxes"] and not row["layers"]:
        remarks.append(
            f"{row['softmaxes']} Softmax operators, none within {STEPS} operators of a product on either side: "
            "attention of a form that is not counted, and not fused"
        )
    compared, inputs = row.get("inputs_compared", (1, 1))
    if compared < inputs:
        remarks.append(f"compared over {compared} of {inputs} inputs: the original runs with no other length")
    remarks += [f"the result does not run: {row['result_fails']}"] if "result_fails" in row else []
    remarks += [f"attention left: {reason}" for reason in row["left"]]
    remarks += [str(warning) for warning in row["warnings"]]
    return [_plain(remark) for remark in remarks]


def _plain(sentence: str) -> str:
    """One line that Markdown does not read as anything else."""
    without_colours = re.sub(r"\x1b\[\d*m", "", sentence)
    return shorten(without_colours.replace("|", "\\|").replace("<", "&lt;"), LARGEST_NOTE, placeholder=" […]")
