"""Say which shape comes out of operators that multiply and sum up."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from compressor.passes.fusions.dimensions import Size, broadcast, broadcast_shapes
from compressor.passes.fusions.match import int_attribute
from compressor.passes.fusions.shape_facts import NOTHING, Fact, Facts


def matmul(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    left, right = facts[node.inputs[0]], facts[node.inputs[1]]
    if left.shape is None or right.shape is None or min(len(left.shape), len(right.shape)) < 2:
        return [Fact(None, left.dtype)]
    batch = broadcast_shapes([left.shape[:-2], right.shape[:-2]])
    return [Fact(None if batch is None else (*batch, left.shape[-2], right.shape[-1]), left.dtype)]


def gemm(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    left, right = facts[node.inputs[0]], facts[node.inputs[1]]
    if left.rank != 2 or right.rank != 2 or left.shape is None or right.shape is None:
        return [Fact(None, left.dtype)]
    rows = left.shape[1 if int_attribute(node, "transA", 0) else 0]
    return [Fact((rows, right.shape[0 if int_attribute(node, "transB", 0) else 1]), left.dtype)]


def einsum(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    equation = node.attributes["equation"].as_string().replace(" ", "")
    left, _arrow, right = equation.partition("->")
    sizes: dict[str, Size] = {}
    for letters, value in zip(left.split(","), node.inputs, strict=True):
        shape = facts.shape(value)
        if shape is None or len(letters) != len(shape) or "." in equation or not right:
            return [Fact(None, facts.dtype(node.inputs[0]))]
        for letter, size in zip(letters, shape, strict=True):
            sizes[letter] = broadcast(sizes[letter], size) if letter in sizes else size
    return [Fact(tuple(sizes[letter] for letter in right), facts.dtype(node.inputs[0]))]


def attention(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    query, value = facts[node.inputs[0]], facts[node.inputs[2]]
    if query.rank != 3 or query.shape is None or value.shape is None or value.rank not in (3, 4):
        return [Fact(None, query.dtype)]
    if value.rank == 4:  # heads first, of the query's size
        return [Fact(query.shape, query.dtype)]
    return [Fact((*query.shape[:2], value.shape[2]), query.dtype)]


def skip_normalization(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    fact = Fact(facts.shape(node.inputs[0]), facts.dtype(node.inputs[0]))
    return [fact, NOTHING, NOTHING, fact]
