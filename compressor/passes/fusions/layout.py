"""Follow the axes of a tensor through Transpose, Reshape and their kin, without assuming how it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.dimensions import ONE, Size, product
from compressor.passes.fusions.match import ints_attribute, is_operator
from compressor.passes.fusions.shape_facts import Facts, Shape


@dataclass(frozen=True, eq=False)
class Axis:
    """A stretch of elements that moves as one; equal only to itself."""

    size: Size


Group = tuple[Axis, ...]
Layout = tuple[Group, ...]
"""For every axis of a tensor the stretches it is made of, slowest first; none for an axis of size 1."""

_RESHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")


def plain_layout(shape: Shape) -> Layout:
    """A layout in which every axis is one stretch."""
    return tuple(() if size == ONE else (Axis(size),) for size in shape)


@dataclass(frozen=True)
class Walk:
    """Two tensors with the same elements in another order.

    Attributes:
        start: the layout of the tensor the walk began at.
        value: the tensor it has come to.
        layout: that tensor's layout, in the stretches of `start`.
        nodes: the nodes passed, in the order of the walk.
    """

    start: Layout
    value: ir.Value
    layout: Layout
    nodes: tuple[ir.Node, ...] = ()


def back_through(facts: Facts, walk: Walk) -> Walk | None:
    """Go from the result of the layout operator that makes `walk.value` to its input; None where there is none."""
    node = walk.value.producer()
    if node is None or not node.inputs or node.inputs[0] is None or node.outputs[0] is not walk.value:
        return None
    return _moved(facts, walk, node, node.inputs[0], backwards=True)


def forward_through(facts: Facts, walk: Walk, node: ir.Node) -> Walk | None:
    """Go from `walk.value`, the data of the layout operator `node`, to its result."""
    if not node.inputs or node.inputs[0] is not walk.value:
        return None
    return _moved(facts, walk, node, node.outputs[0], backwards=False)


def _moved(facts: Facts, walk: Walk, node: ir.Node, to: ir.Value, *, backwards: bool) -> Walk | None:
    nodes = (*walk.nodes, node)
    if is_operator(node, "Transpose"):
        perm = ints_attribute(node, "perm") or tuple(reversed(range(len(walk.layout))))
        if sorted(perm) != list(range(len(walk.layout))):
            return None
        order = sorted(range(len(perm)), key=perm.__getitem__) if backwards else perm
        return Walk(walk.start, to, tuple(walk.layout[axis] for axis in order), nodes)
    if is_operator(node, "Identity"):
        return Walk(walk.start, to, walk.layout, nodes)
    shape = facts.shape(to)
    if not is_operator(node, *_RESHAPES) or shape is None:
        return None
    regrouped = regroup(walk.layout, shape)
    if regrouped is None:
        return None
    layout, splits = regrouped
    return Walk(_split(walk.start, splits), to, layout, nodes)


def regroup(layout: Layout, shape: Shape) -> tuple[Layout, dict[Axis, Group]] | None:
    """Cut the elements of `layout` into axes of the sizes `shape`, splitting stretches where a cut goes through one."""
    rest = [axis for group in layout for axis in group]
    rest.reverse()
    splits: dict[Axis, Group] = {}
    groups: list[Group] = []
    for size in shape:
        group: list[Axis] = []
        while (missing := size.divided_by(product(axis.size for axis in group))) != ONE:
            if missing is None or not rest:
                return None
            axis = rest.pop()
            if missing.divided_by(axis.size) is None:
                after = axis.size.divided_by(missing)
                if after is None:
                    return None
                parts = (Axis(missing), Axis(after))
                splits[axis] = parts
                rest.append(parts[1])
                axis = parts[0]
            group.append(axis)
        groups.append(tuple(group))
    return None if rest else (tuple(groups), splits)


def _split(layout: Layout, splits: dict[Axis, Group]) -> Layout:
    def parts(axis: Axis) -> Iterator[Axis]:
        if axis not in splits:
            yield axis
            return
        for part in splits[axis]:
            yield from parts(part)

    return tuple(tuple(part for axis in group for part in parts(axis)) for group in layout)
