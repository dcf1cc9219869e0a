"""Say which numbers to add to scores that a graph replaces by a low number.

Softmax gives them the probability 0 either way, but in a row in which every score is masked it shows how they compare:
replaced scores are equal to each other, whatever they were before. So what is added must be so low that it swallows
the score, and must keep the order of all numbers that masked scores have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir

from compressor.passes.fusions.attention_scores import Bias, NotFusable
from compressor.passes.fusions.match import made_by, number_of, numbers_of

SURELY_MASKED = -1e4
"""A fill this low gives a probability of exactly 0 beside any score above -9,900: float32 exp underflows at -104."""

SWALLOWS = -1e32
"""A float32 this low is the same after any score is added to it, and can be added as it is."""

STANDS_IN = -1e30
"""What stands for fills above `SWALLOWS`: it swallows scores as well, and is swallowed by the lowest float32."""


MAX_VALUES = 32
"""Values looked at behind a tensor; the longest way to the number of a mask seen in an export is 6."""


def added_for(fill: float, dtype: ir.DataType) -> float:
    """The number to add where the graph puts `fill`."""
    if math.isinf(fill):
        return fill
    if dtype == ir.DataType.FLOAT:
        return fill if fill <= SWALLOWS else STANDS_IN
    return float(np.finfo(dtype.numpy()).min)  # float16 has no room for two numbers that swallow scores


def check_fills(terms: Sequence[Bias], dtype: ir.DataType) -> None:
    """Make sure that adding `terms` gives the same probabilities as replacing scores, rows masked completely included.

    Raises:
        NotFusable: it does not.
    """
    stood_in: set[float] = set()
    added: dict[float, float] = {}
    lowered = 0.0
    for term in terms:
        if term.fill is None:
            if not _is_zero_or_lowest(term, dtype):
                lowered += abs(term.factor) * _largest_number(term.value)
            if stood_in and not _is_zero_or_lowest(term, dtype):
                raise NotFusable(f"'{term.value.name}' is added to scores that were replaced by {max(stood_in):g}")
            continue
        check_masks([term])
        number = added_for(term.fill, dtype)
        if added.setdefault(number, term.fill) != term.fill:
            raise NotFusable(f"scores are replaced by both {added[number]:g} and {term.fill:g}")
        if number != term.fill:
            if 2 * lowered > -term.fill:
                raise NotFusable(f"scores that are masked by up to {lowered:g} already are replaced by {term.fill:g}")
            stood_in.add(term.fill)


def check_masks(fills: Iterable[Bias]) -> None:
    """Make sure that replaced scores get no share of the probabilities where others are left.

    Raises:
        NotFusable: they may get one.
    """
    for term in fills:
        if term.fill is not None and not term.fill <= SURELY_MASKED:
            raise NotFusable(f"masked scores are replaced by {term.fill:g}, which an added mask cannot express")


def _is_zero_or_lowest(term: Bias, dtype: ir.DataType) -> bool:
    """A mask that leaves a stand-in as it is, or swallows it as it would swallow the fill."""
    node = made_by(term.value, "Where")
    lowest = float(np.finfo(dtype.numpy()).min)
    numbers = [number_of(value) for value in node.inputs[1:]] if node is not None else [None]
    return all(number is not None and number * term.factor in (0.0, lowest, -math.inf) for number in numbers)


def _largest_number(value: ir.Value) -> float:
    """The largest magnitude among the numbers that a mask is made with; 0 for a tensor made with none."""
    largest, pending = 0.0, [value]
    for _ in range(MAX_VALUES):
        if not pending:
            break
        numbers = numbers_of(value := pending.pop())
        if numbers is not None:
            largest = max(largest, *map(abs, numbers), 0.0)
        elif node := made_by(value, *_MASKING):
            read = {"Where": node.inputs[1:], **dict.fromkeys(_ARITHMETIC, node.inputs)}
            pending += [given for given in read.get(node.op_type, node.inputs[:1]) if given is not None]
    return largest


_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Neg")
_MASKING = (*_ARITHMETIC, "Where", "Cast", "Unsqueeze", "Squeeze", "Expand", "Reshape", "Slice", "Identity")
"""Operators that exporters make masks of scores with."""
