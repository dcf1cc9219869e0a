"""Read inputs from the number columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.data.arrays import ArrayRows, bind_arrays, convert
from compressor.evaluation.data.table import Table, read_json
from compressor.evaluation.signature import InputSpec, Kind
from compressor.evaluation.wording import shown


def read_numbers(table: Table, specs: Sequence[InputSpec], taken: Sequence[str]) -> ArrayRows | None:
    """Read the columns named as inputs; else, for one input of two axes, all columns that are left, in their order.

    Args:
        table: the rows.
        specs: the inputs that nothing else fills.
        taken: columns that are something else, such as labels.

    Returns:
        None where no column is an input.

    Raises:
        OptionError: a value is not a number, or rows differ in their shape.
    """
    named = [spec for spec in specs if spec.name in table.columns and spec.name not in taken]
    if named:
        arrays = {spec.name: _fit(_column(table, spec.name, spec), spec) for spec in named}
        return bind_arrays(arrays, named, table.path)
    left = [name for name in table.columns if name not in taken]
    wide = [spec for spec in specs if len(spec.axes) == 2 and spec.kind in {Kind.NUMBERS, Kind.INDEX}]
    if len(wide) != 1 or wide[0].axes[1] != len(left):
        return None
    features = np.stack([_column(table, name, wide[0]) for name in left], axis=1)
    rows = bind_arrays({wide[0].name: features}, wide, table.path)
    note = f"input {wide[0].name!r} is made of the columns {', '.join(left)}, in this order"
    return ArrayRows(rows.count, rows.arrays, rows.settings, rows.specs, rows.source, notes=(note,))


def _column(table: Table, name: str, spec: InputSpec) -> Array:
    target = np.dtype(spec.dtype.numpy())
    values = [_number(value, table.place(row, name), target) for row, value in enumerate(table.column(name))]
    shapes = [np.shape(value) for value in values]
    for row, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise OptionError(
                f"{table.place(row, name)}: has shape {shape}, row {table.numbers[0]} has {shapes[0]}; "
                "give rows of one shape"
            )
    return np.array(values)


def _number(value: object, place: str, target: np.dtype[Any]) -> Array:
    """Read a number, or a list of numbers, that `target` can hold, from a text or as JSON has it."""
    try:
        parsed = read_json(value) if isinstance(value, str) else value
        array = np.array(parsed)
    except (ValueError, RecursionError):
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise OptionError(f"{place}: holds {shown(value)}, a number is wanted")
    if not convert(array, target)[1]:
        raise OptionError(f"{place}: holds {shown(value)}, which {target}, the type of the input, cannot")
    return array


def _fit(column: Array, spec: InputSpec) -> Array:
    """A column of plain numbers fills an input whose other axes have size 1."""
    missing = len(spec.axes) - column.ndim
    if missing > 0 and all(axis == 1 or isinstance(axis, str) for axis in spec.axes[column.ndim :]):
        return column.reshape(column.shape + (1,) * missing)
    return column
