"""Ask the ONNX package how an operator of the standard changed from opset to opset."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import onnx.defs


@lru_cache(maxsize=4096)
def schema(op_type: str, opset: int) -> onnx.defs.OpSchema | None:
    """The operator as `opset` defines it; None where it has none of that name."""
    try:
        return onnx.defs.get_schema(op_type, opset, "")
    except onnx.defs.SchemaError:
        return None


def changes(op_type: str, source: int, wanted: int) -> list[int]:
    """Opsets after `source`, up to `wanted`, that define the operator anew."""
    found = (schema(op_type, opset) for opset in range(source + 1, wanted + 1))
    versions = sorted({known.since_version for known in found if known is not None})
    return [version for version in versions if version > source]


@lru_cache(maxsize=4096)
def only_extends(op_type: str, opset: int) -> bool:
    """Whether every node the opset before could hold means the same in `opset`, going by the operator's signature.

    That is so where all attributes keep their defaults, and all inputs and outputs their places; new ones are optional.
    What a signature does not show is in `conversions`.
    """
    old, new = schema(op_type, opset - 1), schema(op_type, opset)
    if old is None or new is None or new.deprecated:
        return False
    for name, attribute in old.attributes.items():
        kept = new.attributes.get(name)
        if kept is None or kept.type != attribute.type or _default(kept) != _default(attribute):
            return False
    if any(attribute.required for name, attribute in new.attributes.items() if name not in old.attributes):
        return False
    return _has_room(old.inputs, new.inputs) and _has_room(old.outputs, new.outputs)


def _default(attribute: onnx.defs.OpSchema.Attribute) -> bytes:
    return bytes(attribute.default_value.SerializeToString(deterministic=True))


_Parameters = Sequence[onnx.defs.OpSchema.FormalParameter]


def _has_room(old: _Parameters, new: _Parameters) -> bool:
    """Each parameter is still in its place, and may be left out where it might; those behind them may be left out."""
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    if len(new) < len(old) or any(parameter.option != optional for parameter in new[len(old) :]):
        return False
    return all(after.option in (before.option, optional) for before, after in zip(old, new, strict=False))
