"""Raise a model to a newer opset, with the meaning of every node, or say what stands in the way.

An operator that the newer opset only extends stays as it is (`schemas`), one that it changes is converted
(`conversions`), and for any other the opset is not raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from compressor.model.standins import DOMAIN as STANDIN
from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import STANDARD_DOMAINS
from compressor.passes.fusions.shape_facts import nodes_of
from compressor.passes.fusions.standard.conversions import CONVERSIONS, Change, NotConvertible
from compressor.passes.fusions.standard.schemas import changes, only_extends, schema
from compressor.passes.target import FIRST_OPSETS

NEWEST = max(FIRST_OPSETS.values())
"""The opset that has them all; a model is raised to where one of them begins, or not at all."""

OLDEST = 7
"""Before opset 7, arithmetic broadcast along an axis given as an attribute."""

_RUNTIME_OPERATORS = frozenset(("LayerNormalization", "SimplifiedLayerNormalization"))
"""What ONNX Runtime's optimizer writes into older opsets as if they had it; it means there what it means now."""


@dataclass(frozen=True, slots=True)
class Raised:
    """How far a model was raised.

    Attributes:
        opset: where it is now.
        obstacle: why no further; empty where it is at the opset asked for.
    """

    opset: int
    obstacle: str = ""


def raise_opset(model: ir.Model, wanted: int = NEWEST) -> Raised:
    """Raise `model` in place to `wanted`, or as near to it as it can be; a newer one stays where it is."""
    edit = GraphEdit(model)
    if edit.opset >= wanted:
        return Raised(edit.opset)
    first_obstacle = ""
    for opset in sorted({wanted, *FIRST_OPSETS.values()}, reverse=True):
        if not edit.opset < opset <= wanted:
            continue
        try:
            edits = _plan(edit, model, opset)
        except NotConvertible as obstacle:
            first_obstacle = first_obstacle or str(obstacle)
            continue
        for change in edits:
            change()
        edit.drop_unread()
        _import(model, opset)
        return Raised(opset, first_obstacle)
    return Raised(edit.opset, first_obstacle)


def _plan(edit: GraphEdit, model: ir.Model, wanted: int) -> list[Change]:
    if edit.opset < OLDEST:
        raise NotConvertible(f"nodes of opset {edit.opset}, before {OLDEST}, are not converted")
    edits = [change for node in nodes_of(model.graph) for change in _changes_to(edit, node, edit.opset, wanted)]
    for function in model.functions.values():
        source = next((v for d, v in function.opset_imports.items() if d in STANDARD_DOMAINS), edit.opset)
        for node in function.all_nodes():
            for op_type, opset in _steps(node, source, wanted):
                if (op_type, opset) in CONVERSIONS:
                    raise NotConvertible(f"opset {opset} changes {op_type}, which function '{function.name}' calls")
    return edits


def _changes_to(edit: GraphEdit, node: ir.Node, source: int, wanted: int) -> list[Change]:
    return [CONVERSIONS[step](edit, node) for step in _steps(node, source, wanted) if step in CONVERSIONS]


def _steps(node: ir.Node, source: int, wanted: int) -> Iterator[tuple[str, int]]:
    """The operator's changes on the way, each with the name it has then.

    Raises:
        NotConvertible: there is one that nothing is known of.
    """
    if node.domain == STANDIN and node.op_type == "Node":
        raise NotConvertible(f"'{node.name}' holds what cannot be looked into")
    if node.domain not in STANDARD_DOMAINS:
        return
    op_type = node.op_type
    if schema(op_type, source) is None:
        if op_type not in _RUNTIME_OPERATORS:
            raise NotConvertible(f"opset {source} has no operator {op_type}")
        return
    for opset in changes(op_type, source, wanted):
        if (op_type, opset) not in CONVERSIONS and not only_extends(op_type, opset):
            raise NotConvertible(f"opset {opset} changes {op_type}, and how to convert it is not known here")
        yield op_type, opset


def _import(model: ir.Model, opset: int) -> None:
    for imports in (model.graph.opset_imports, *(function.opset_imports for function in model.functions.values())):
        for domain in STANDARD_DOMAINS:
            if domain in imports:
                imports[domain] = max(opset, imports[domain])
