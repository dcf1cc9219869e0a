"""Run rows alone and together: where scales are found at run time, a row's outputs depend on those beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from compressor.evaluation.comparison import Comparison, compare_arrays, is_floating, merge
from compressor.evaluation.contract import Feeds, Refusal, Samples, Session, count_rows
from compressor.evaluation.running import run_batch
from compressor.evaluation.visibility import find_undefined
from compressor.model.tensors import all_graphs
from compressor.report import Batching

ROWS_ALONE = 4
"""Rows that are run alone: each is one more run of both models."""

_INDEPENDENT = 1e-2
"""Difference above which the original itself mixes rows, so that a batch is not a set of rows; rounding makes 1e-6."""

_SCALED_AT_RUN_TIME = {("", "DynamicQuantizeLinear"), ("com.microsoft", "DynamicQuantizeLSTM")}


def scales_at_run_time(model: ir.Model) -> bool:
    """Tell whether `model` finds scales of activations when it runs, over whatever it is given at once."""
    nodes = (node for graph in all_graphs(model) for node in graph)
    return any((node.domain, node.op_type) in _SCALED_AT_RUN_TIME for node in nodes)


def measure_batching(original: Session, candidate: Session, samples: Samples) -> Batching | None:
    """Compare rows run alone with the same rows of a batch; None where rows cannot be run alone.

    Rows are told by the graph: the open size that the first axis of the first input with one has. Inputs with another
    first axis are given whole. Outputs without that axis, and those that are not floating point, are not looked at.
    """
    by_row = _row_inputs(original)
    feeds = next((batch for batch in samples.batches if by_row and _rows(batch, by_row) > 1), None)
    if feeds is None:
        return None
    expected, found = _differences(original, feeds, by_row), _differences(candidate, feeds, by_row)
    if not expected or not found or _max_rel(expected) > _INDEPENDENT:
        return None
    return Batching(
        rows=_rows_alone(feeds, by_row),
        max_rel=_max_rel(found),
        cosine_min=min((c.cosine_min for c in found if c.cosine_min is not None), default=None),
        original_max_rel=_max_rel(expected),
    )


def _max_rel(outputs: Sequence[Comparison]) -> float:
    return max(output.max_rel or 0.0 for output in outputs)


def _row_inputs(session: Session) -> list[str]:
    """Names of the inputs with one row an entry; none where the size of a batch is the size of something else, too."""
    shapes = {value.name: list(value.shape) for value in session.get_inputs()}
    symbol = next((shape[0] for shape in shapes.values() if shape and isinstance(shape[0], str)), None)
    if symbol is None or any(symbol in shape[1:] for shape in shapes.values()):
        return []
    return [name for name, shape in shapes.items() if shape and shape[0] == symbol]


def _rows(feeds: Feeds, by_row: Sequence[str]) -> int:
    return count_rows({name: feeds[name] for name in by_row if name in feeds})


def _rows_alone(feeds: Feeds, by_row: Sequence[str]) -> int:
    return min(ROWS_ALONE, _rows(feeds, by_row))


def _differences(session: Session, feeds: Feeds, by_row: Sequence[str]) -> list[Comparison]:
    """What each output showed; nothing where a row alone does not run."""
    together = run_batch(session, feeds)
    if isinstance(together, Refusal):
        return []
    names = [value.name for value in session.get_outputs()]
    rows = _rows(feeds, by_row)
    compared: dict[str, list[Comparison]] = defaultdict(list)
    for row in range(_rows_alone(feeds, by_row)):
        own = {name: array[row : row + 1] if name in by_row else array for name, array in feeds.items()}
        alone = run_batch(session, own)
        if isinstance(alone, Refusal):
            return []
        for name, found in _compare_row(names, [_row_of(output, row, rows) for output in together], alone, own):
            compared[name].append(found)
    return [merge(found) for found in compared.values()]


def _row_of(output: object, row: int, rows: int) -> object:
    if isinstance(output, np.ndarray) and output.ndim and output.shape[0] == rows:
        return output[row : row + 1]
    return None


def _compare_row(
    names: Sequence[str], together: Sequence[object], alone: Sequence[object], feeds: Feeds
) -> Iterator[tuple[str, Comparison]]:
    for name, first, second in zip(names, together, alone, strict=True):
        if not isinstance(first, np.ndarray) or not isinstance(second, np.ndarray):
            continue
        if first.shape == second.shape and is_floating(first.dtype):
            yield name, compare_arrays(first, second, undefined=find_undefined(feeds, name, first.shape))
