"""Find tensors that are another's bytes under a different shape, or with its axes in a different order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, Generic, TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.model.equality import equal_groups
from compressor.model.weights import StoredWeight

_SAMPLES_PER_AXIS = {2: 8, 3: 4, 4: 3, 5: 2}
"""Grid points looked at along each axis, by rank; tensors that differ nearly always differ in one of these."""

_IN_MEMORY = 1 << 26
"""Bytes up to which a tensor is held whole to compare it: a computed one, or a stored one of three or more axes."""

_READ_AT_ONCE = 1 << 15
"""Bytes up to which one read of a whole stored tensor costs less than one for each sample."""

_BAND_BYTES = 1 << 24
"""Bytes of a matrix held while it is compared with a transpose: as many of its rows as there are elements in one read
of the other, of which a few thousand are to be had at a time."""

_SQUARE = 64
"""Rows and columns compared at once: a square and its transpose stay in the processor's cache (1 GB of float32 takes
1.6 s of processor time so, and 2.2 s in bands of whole rows)."""

_WIDTHS = (8, 16, 32, 64)
"""Bits of elements that are compared, as unsigned integers: numpy has none for a complex128."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Permuted(Generic[_Item]):
    """`item` holds ``transpose(base, permutation)``."""

    item: _Item
    base: _Item
    permutation: tuple[int, ...]


def same_bytes(items: Sequence[_Item], tensor_of: Callable[[_Item], ir.TensorProtocol]) -> list[list[_Item]]:
    """Group items whose tensors have the same data type and bytes, whatever their shapes."""
    return equal_groups(items, tensor_of, signature=lambda tensor: (tensor.dtype, tensor.nbytes))


def permuted_pairs(
    items: Sequence[_Item],
    tensor_of: Callable[[_Item], ir.TensorProtocol],
    preference: Callable[[_Item], tuple[Any, ...]],
) -> Iterator[Permuted[_Item]]:
    """Yield items that are another one with its axes in a different order, bit for bit.

    Each tensor gives a few samples on a grid that is the same however its axes are ordered, so all but real pairs are
    told apart by reading some dozens of elements; those are then compared whole, tile by tile. Items that `preference`
    ranks lower become bases of the others.
    """
    grids: dict[Hashable, list[_Item]] = {}
    for item in sorted(items, key=preference):
        tensor = tensor_of(item)
        if not is_comparable(tensor):
            continue
        shape = tuple(tensor.shape.numpy())
        grid = sample(tensor)
        found = _match(tensor, grid, grids, tensor_of)
        if found is None:
            grids.setdefault((tensor.dtype, shape, grid.tobytes()), []).append(item)
        else:
            yield Permuted(item, *found)


def is_comparable(tensor: ir.TensorProtocol) -> bool:
    """Its elements can be read one by one, and there is more than one order of its axes that matters."""
    if tensor.dtype is ir.DataType.STRING or tensor.dtype.bitwidth not in _WIDTHS:
        return False
    if not isinstance(tensor, StoredWeight) and tensor.nbytes > _IN_MEMORY:
        return False
    longer = [size for size in tensor.shape.numpy() if size != 1]
    return len(longer) > 1 and len(tensor.shape) in _SAMPLES_PER_AXIS


def sample(tensor: ir.TensorProtocol) -> NDArray[Any]:
    """Elements at evenly spread points of every axis, as plain bytes; of a stored tensor only these are read."""
    shape = tuple(tensor.shape.numpy())
    points = [_points(size, _SAMPLES_PER_AXIS[len(shape)]) for size in shape]
    width = tensor.dtype.bitwidth // 8
    if not isinstance(tensor, StoredWeight) or tensor.nbytes <= _READ_AT_ONCE:
        return _plain(tensor, f"V{width}")[np.ix_(*points)]
    strides = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]
    raw = b"".join(
        tensor.read(at * width, (at + 1) * width)
        for place in product(*points)
        for at in [sum(index * stride for index, stride in zip(place, strides, strict=True))]
    )
    return np.frombuffer(raw, dtype=f"V{width}").reshape([len(axis) for axis in points])


def _points(size: int, count: int) -> list[int]:
    """At most `count` different indices from first to last; they depend on `size` alone."""
    return sorted({round(step * (size - 1) / (count - 1)) for step in range(count)})


def _match(
    tensor: ir.TensorProtocol,
    grid: NDArray[Any],
    grids: dict[Hashable, list[_Item]],
    tensor_of: Callable[[_Item], ir.TensorProtocol],
) -> tuple[_Item, tuple[int, ...]] | None:
    """The item, and the order of its axes, that `tensor` is."""
    shape = tuple(tensor.shape.numpy())
    for order in permutations(range(len(shape))):
        # tensor = transpose(base, order) means base = transpose(tensor, inverse of order)
        inverse = tuple(int(axis) for axis in np.argsort(order))
        base_shape = tuple(shape[axis] for axis in inverse)
        key = (tensor.dtype, base_shape, np.ascontiguousarray(grid.transpose(inverse)).tobytes())
        for item in grids.get(key, ()):
            if order != tuple(range(len(shape))) and _is_permuted(tensor, tensor_of(item), order):
                return item, order
    return None


def _is_permuted(tensor: ir.TensorProtocol, base: ir.TensorProtocol, order: tuple[int, ...]) -> bool:
    if len(order) == 2 and isinstance(tensor, StoredWeight) and isinstance(base, StoredWeight):
        return _is_transposed(tensor, base)
    if tensor.nbytes > _IN_MEMORY:
        return False
    kind = f"u{tensor.dtype.bitwidth // 8}"
    return bool(np.array_equal(_plain(tensor, kind), _plain(base, kind).transpose(order)))


def _plain(tensor: ir.TensorProtocol, kind: str) -> NDArray[Any]:
    """The bytes of a whole tensor as elements of `kind`."""
    return np.frombuffer(tensor.tobytes(), dtype=kind).reshape(tensor.shape.numpy())


def _is_transposed(tensor: StoredWeight, base: StoredWeight) -> bool:
    return all(np.array_equal(part.T, other) for part, other in _squares(tensor, base))


def _squares(tensor: StoredWeight, base: StoredWeight) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the squares of `base`, some of its rows after the others, and what lies in their places in a transpose."""
    rows, columns = (int(size) for size in base.shape.numpy())
    band = max(1, _BAND_BYTES // max(1, columns * base.dtype.bitwidth // 8))
    for top in range(0, rows, band):
        bottom = min(rows, top + band)
        block = _cut(base, range(top, bottom), 0, columns)
        for left in range(0, columns, _SQUARE):
            right = min(columns, left + _SQUARE)
            strip = _cut(tensor, range(left, right), top, bottom)
            for at in range(0, bottom - top, _SQUARE):
                yield block[at : at + _SQUARE, left:right], strip[:, at : at + _SQUARE]


def _cut(tensor: StoredWeight, rows: range, first: int, last: int) -> NDArray[Any]:
    """Columns `first` to `last` of some rows of a matrix, its elements as unsigned integers."""
    columns, width = int(tensor.shape.numpy()[1]), tensor.dtype.bitwidth // 8
    if last - first == columns:
        raw = tensor.read(rows.start * columns * width, rows.stop * columns * width)
    else:
        raw = b"".join(tensor.read((row * columns + first) * width, (row * columns + last) * width) for row in rows)
    return np.frombuffer(raw, dtype=f"u{width}").reshape(len(rows), last - first)
