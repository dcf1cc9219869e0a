"""Hand arrays to the inputs of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.signature import InputSpec, Kind
from compressor.evaluation.wording import listed


@dataclass(frozen=True, slots=True)
class ArrayRows:
    """Arrays with an entry for each row.

    Attributes:
        count: how many rows there are.
        arrays: by input.
        settings: arrays that every batch gets whole.
        specs: the inputs.
        source: the file they come from.
        chosen: the entry that each row is; empty where all are taken as they stand.
    """

    count: int
    arrays: Mapping[str, Array]
    settings: Mapping[str, Array]
    specs: Mapping[str, InputSpec]
    source: str
    chosen: Sequence[int] = ()
    lengths: Sequence[int] = ()
    notes: Sequence[str] = ()

    @property
    def inputs(self) -> Sequence[str]:
        """Name the inputs that are filled."""
        return (*self.arrays, *self.settings)

    def batch(self, places: Sequence[int]) -> Mapping[str, Array]:
        """Take some rows, in the type of the input."""
        rows = [self.chosen[place] for place in places] if self.chosen else list(places)
        cut = {name: array[rows] for name, array in self.arrays.items()}
        return {
            name: to_input(array, self.specs[name], self.source) for name, array in {**cut, **self.settings}.items()
        }


def bind_arrays(arrays: Mapping[str, Array], specs: Sequence[InputSpec], path: Path) -> ArrayRows:
    """Give each array to the input of its name; the only array there is goes to the only input there is.

    Raises:
        OptionError: an array fits no input, or arrays have different numbers of rows.
    """
    by_name = {spec.name: spec for spec in specs}
    if len(arrays) == 1 and len(specs) == 1 and not arrays.keys() & by_name.keys():
        arrays = {specs[0].name: next(iter(arrays.values()))}
    unknown = [name for name in arrays if name not in by_name]
    if unknown:
        raise OptionError(
            f"{path}: array {unknown[0]!r} is no input of the model ({listed(list(by_name))}); leave it out, or "
            "name it with --labels"
        )
    for name, array in arrays.items():
        _check_shape(name, array, by_name[name], path)
    settings = {name: array for name, array in arrays.items() if _is_setting(by_name[name])}
    rows = {name: array for name, array in arrays.items() if name not in settings}
    counts = {name: len(array) for name, array in rows.items()}
    if not counts:
        raise OptionError(f"{path}: holds no array with an entry for each row")
    first = next(iter(counts))
    for name, count in counts.items():
        if count != counts[first]:
            raise OptionError(f"{path}: array {name!r} has {count} rows, array {first!r} has {counts[first]}")
    if counts[first] == 0:
        raise OptionError(f"{path}: holds no rows")
    return ArrayRows(counts[first], rows, settings, by_name, str(path))


def to_input(array: Array, spec: InputSpec, source: str) -> Array:
    """Convert to the type of the input.

    Raises:
        OptionError: values would be lost by it.
    """
    if spec.kind is Kind.TEXT:
        return array.astype(object)
    target = np.dtype(spec.dtype.numpy())
    if array.dtype == target:
        return np.ascontiguousarray(array)
    where = f"{source}: array {spec.name!r}"
    if array.dtype.kind not in "biuf":
        raise OptionError(f"{where} has type {array.dtype}, the input takes {target}")
    converted, fits = convert(array, target)
    if not fits:
        raise OptionError(
            f"{where} has type {array.dtype} and values that {target}, which the input takes, cannot hold"
        )
    return converted


def convert(array: Array, target: np.dtype[Any]) -> tuple[Array, bool]:
    """Convert numbers to another type, and say whether it can hold them: whole numbers exactly, others in its range."""
    with np.errstate(all="ignore"):
        converted: Array = array.astype(target)
        if target.kind in "biu":
            return converted, bool((converted == array).all())
        return converted, target.kind != "f" or bool((np.isfinite(converted) == np.isfinite(array)).all())


def _is_setting(spec: InputSpec) -> bool:
    """Inputs that hold for a whole run rather than for a row of it."""
    return not spec.axes or spec.kind in {Kind.SETTING, Kind.SWITCH}


def _check_shape(name: str, array: Array, spec: InputSpec, path: Path) -> None:
    wanted = "x".join(map(str, spec.axes)) or "scalar"
    shape = "x".join(map(str, array.shape)) or "scalar"
    sizes = zip(array.shape[1:], spec.axes[1:], strict=False)
    if array.ndim != len(spec.axes) or any(isinstance(axis, int) and axis != size for size, axis in sizes):
        raise OptionError(f"{path}: array {name!r} has shape {shape}, the input takes {wanted}; the first axis is rows")
