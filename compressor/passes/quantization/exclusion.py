"""Match weights with what the user wants left in float: names, layers, operators."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import onnx_ir as ir

from compressor.passes.quantization.weights import FloatWeight

_SCOPES = "pkg.torch.onnx.name_scopes"
"""Where PyTorch's exporter keeps the modules that a node comes from; its node names are only numbers."""

_LONGEST_SCOPES = 10_000
"""Characters of it that are read; a real one has some hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Which weights stay float.

    Attributes:
        globs: of the names of the weight, of operators using it, and of the modules those come from. A name that is
            spelled out matches itself even if it holds ``[`` or ``*``.
        operators: types of operators using it, such as ``Conv``; with its domain before it or without.
    """

    globs: Sequence[str]
    operators: Sequence[str]

    def matches(self, weight: FloatWeight) -> Iterator[str]:
        """Yield every glob and every operator type that takes `weight` in."""
        names = set(_names(weight)) if self.globs else set()
        yield from (glob for glob in self.globs if any(name == glob or fnmatchcase(name, glob) for name in names))
        used_by = {spelled for use in weight.uses for spelled in _types(use.node)} if self.operators else set()
        yield from (operator for operator in self.operators if operator in used_by)

    def unmatched(self, weights: Sequence[FloatWeight]) -> list[str]:
        """Find what matches none of `weights`: a misspelling, most likely."""
        matched = {entry for weight in weights for entry in self.matches(weight)}
        return [entry for entry in (*self.globs, *self.operators) if entry not in matched]


def _names(weight: FloatWeight) -> Iterator[str]:
    yield weight.name
    for use in weight.uses:
        node = use.node
        yield node.name or next((output.name or "" for output in node.outputs), "")
        yield from _modules(node)


def _modules(node: ir.Node) -> Iterator[str]:
    """The modules around a node, outermost first, such as ``encoder.layer.0.attention``."""
    written = node.metadata_props.get(_SCOPES, "")
    if not written.startswith("[") or len(written) > _LONGEST_SCOPES:
        return
    try:
        scopes = ast.literal_eval(written)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # whoever wrote the file may have written anything
        return
    yield from (scope for scope in scopes if isinstance(scope, str) and scope)


def _types(node: ir.Node) -> tuple[str, str]:
    return node.op_type, f"{node.domain or 'ai.onnx'}.{node.op_type}"
