"""Give new values and nodes names that nothing else has."""

from __future__ import annotations

import onnx_ir as ir


class FreshNames:
    """Names free in some graphs or functions and everything inside them: an inner name would hide an outer one."""

    def __init__(self, *roots: ir.Graph | ir.Function) -> None:
        self._taken: set[str | None] = set()
        self._next: dict[str, int] = {}
        for graph in (graph for root in roots for graph in (root, *root.subgraphs())):
            self._taken.update(value.name for value in graph.inputs)
            if isinstance(graph, ir.Graph):
                self._taken.update(graph.initializers)
            for node in graph:
                self._taken.add(node.name)
                self._taken.update(value.name for value in node.outputs)

    def make(self, wish: str) -> str:
        """Take `wish`, with a number behind it where that name is taken."""
        name, number = wish, self._next.get(wish, 1)
        while name in self._taken:
            name, number = f"{wish}_{number}", number + 1
        self._next[wish] = number
        self._taken.add(name)
        return name

    def release(self, name: str | None) -> None:
        """Give back a name that nothing has any more."""
        self._taken.discard(name)
