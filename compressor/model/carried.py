"""Carry along what onnx_ir does not model, so that it comes out of a save as it went into the load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir

from compressor.model.files import DataFile
from compressor.model.weights import DetachedWeight

_KEY = "compressor.carried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """Facts of the source file that travel with a model through every pass.

    Attributes:
        source: the file the model was loaded from.
        files: every file its bytes are read from, the source first.
        inputs, outputs: the serialized ValueInfoProto of each graph input and output, word for word.
        listed_inputs: initializers that IR version 3 lists as inputs too, in their order.
        sparse_weights: large weights inside sparse tensors, which stand-in nodes hold by token.
        warnings: what a reader of a report must know about the source.
    """

    source: Path
    files: tuple[DataFile, ...] = ()
    inputs: tuple[bytes, ...] = ()
    outputs: tuple[bytes, ...] = ()
    listed_inputs: tuple[bytes, ...] = ()
    sparse_weights: Mapping[str, DetachedWeight] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def carried(model: ir.Model) -> Carried | None:
    """What `model` carries, or None where it was not loaded from a file."""
    found = model.graph.meta.get(_KEY)
    return found if isinstance(found, Carried) else None


def carry(model: ir.Model, facts: Carried | None) -> ir.Model:
    """Give `model` what another carried; it survives :meth:`onnx_ir.Model.clone`."""
    if facts is not None:
        model.graph.meta[_KEY] = facts
    return model
