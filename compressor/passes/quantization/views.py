"""Follow the axes of a stored weight through operators that only rearrange it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.passes.quantization.constants import constant_integers


@dataclass(frozen=True, slots=True)
class View:
    """A stored weight as one of its consumers sees it.

    Attributes:
        stored: the sizes it is stored with.
        shape: the sizes the consumer sees.
        sources: for each axis seen, the stored axes it is made of, outermost first (none for an axis of size 1); None
            where it is only a part of one, or of several mixed up.
    """

    stored: tuple[int, ...]
    shape: tuple[int, ...]
    sources: tuple[tuple[int, ...] | None, ...]

    @staticmethod
    def whole(shape: tuple[int, ...]) -> View:
        """See the weight as it is stored."""
        return View(shape, shape, tuple((axis,) for axis in range(len(shape))))

    def stored_axes(self, *axes: int) -> frozenset[int]:
        """Stored axes that the seen `axes` are made of; an axis that cannot be traced back adds none."""
        return frozenset(source for axis in axes for source in self.sources[axis] or ())

    def innermost_source(self, axis: int) -> int | None:
        """The stored axis on which every two neighbours 2k and 2k + 1 along the seen `axis` are neighbours too."""
        part = self.sources[axis]
        if not part or (len(part) > 1 and self.stored[part[-1]] % 2):
            return None
        return part[-1]

    def transposed(self, permutation: tuple[int, ...]) -> View:
        """See the axes in another order."""
        shape = tuple(self.shape[p] for p in permutation)
        return View(self.stored, shape, tuple(self.sources[p] for p in permutation))

    def reshaped(self, shape: tuple[int, ...]) -> View:
        """See the same elements, in the same order, under another shape."""
        sources: list[tuple[int, ...] | None] = [()] * len(shape)
        for old, new in _equal_runs(self.shape, shape):
            parts = [self.sources[axis] for axis in old]
            if len(new) == 1 and None not in parts:
                sources[new[0]] = tuple(source for part in parts for source in part or ())
                continue
            for axis in new:
                sources[axis] = None
        return View(self.stored, shape, tuple(sources))

    def spread(self, scales: NDArray[Any]) -> NDArray[Any]:
        """See `scales` (of the stored rank, size 1 along axes they do not vary on) the way the weight is seen.

        The result has the seen rank, again with size 1 where nothing varies.
        """
        order = [source for part in self.sources for source in part or ()]
        rest = [axis for axis in range(scales.ndim) if axis not in order]
        wide: list[int] = []
        kept: list[int] = []
        for size, part in zip(self.shape, self.sources, strict=True):
            varies = any(scales.shape[axis] > 1 for axis in part or ())
            wide.extend(self.stored[axis] if varies else 1 for axis in part or ())
            kept.append(size if varies else 1)
        return np.broadcast_to(scales.transpose(order + rest), (*wide, *(1 for _ in rest))).reshape(kept)


def look_through(node: ir.Node, index: int, view: View) -> View | None:
    """Say how `node` passes on a weight it gets as input `index`; None where it does more than rearrange it."""
    if node.domain != "" or index != 0 or len(node.outputs) != 1:
        return None
    match node.op_type:
        case "Identity":
            return view
        case "Transpose":
            given = node.attributes.get("perm")
            if given is not None and given.is_ref():
                return None
            reverse = tuple(reversed(range(len(view.shape))))
            return view.transposed(tuple(given.as_ints()) if given is not None else reverse)
        case "Reshape":
            return _look_through_reshape(node, view)
    return None


def _look_through_reshape(node: ir.Node, view: View) -> View | None:
    asked = constant_integers(node.inputs[1]) if len(node.inputs) > 1 else None
    allow_zero = node.attributes.get("allowzero")
    if asked is None or (allow_zero is not None and (allow_zero.is_ref() or allow_zero.as_int())):
        return None
    if any(size == 0 and axis >= len(view.shape) for axis, size in enumerate(asked)) or asked.count(-1) > 1:
        return None
    shape = [view.shape[axis] if size == 0 else size for axis, size in enumerate(asked)]
    total, known = math.prod(view.shape), math.prod(size for size in shape if size != -1)
    shape = [total // max(known, 1) if size == -1 else size for size in shape]
    return view.reshaped(tuple(shape)) if math.prod(shape) == total else None


def _equal_runs(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Pair the shortest runs of axes of equal element count, leaving out axes of size 1."""
    left = [axis for axis, size in enumerate(old) if size != 1]
    right = [axis for axis, size in enumerate(new) if size != 1]
    runs = []
    while left and right:
        a, b = [left.pop(0)], [right.pop(0)]
        while (x := math.prod(old[i] for i in a)) != (y := math.prod(new[i] for i in b)):
            if x < y:
                a.append(left.pop(0))
            else:
                b.append(right.pop(0))
        runs.append((a, b))
    return runs
