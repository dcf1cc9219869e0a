"""Put the nodes of a graph in an order in which each comes after what it reads, as ONNX asks and tools forget."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from compressor.errors import ModelError


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Sort the nodes of `graph` and of its subgraphs topologically, keeping the given order wherever it is possible.

    Raises:
        ModelError: nodes need each other's outputs.
    """
    for node in graph.node:
        for inner in _subgraphs(node):
            sort_nodes(inner)
    nodes = list(graph.node)
    producers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needs = [{producers[name] for name in _reads(node) if name in producers} for node in nodes]
    if all(max(need, default=-1) < index for index, need in enumerate(needs)):
        return
    order = _order(needs)
    if len(order) < len(nodes):
        sorted_nodes = set(order)
        stuck = next(node for index, node in enumerate(nodes) if index not in sorted_nodes)
        raise ModelError(
            f"node {stuck.name or stuck.op_type!r} needs its own output, by way of others; that is a cycle"
        )
    del graph.node[:]
    graph.node.extend(nodes[index] for index in order)


def _order(needs: list[set[int]]) -> list[int]:
    """Depth-first in the given order, without recursion: each node right after what it still waits for."""
    order: list[int] = []
    done: set[int] = set()
    opened: set[int] = set()
    for first in range(len(needs)):
        waiting = [first]
        while waiting:
            index = waiting[-1]
            missing = sorted(needs[index] - done, reverse=True)
            if index in done or not missing:
                waiting.pop()
                if index not in done:
                    done.add(index)
                    order.append(index)
                continue
            if index in opened:
                return order
            opened.add(index)
            waiting.extend(missing)
    return order


def _reads(node: onnx.NodeProto) -> Iterable[str]:
    """Names a node needs: its inputs, and what its subgraphs take from outside."""
    yield from (name for name in node.input if name)
    for graph in _subgraphs(node):
        own = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
        own |= {sparse.values.name for sparse in graph.sparse_initializer}
        own |= {name for inner in graph.node for name in inner.output}
        for inner in graph.node:
            yield from (name for name in _reads(inner) if name not in own)
        yield from (info.name for info in graph.output if info.name not in own)


def _subgraphs(node: onnx.NodeProto) -> Iterable[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
