"""Fold layers that differ only in their number into one, so that a tree of them stays readable."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from compressor.report import Layer

_NUMBERED = re.compile(r"(?:(.*)_)?(\d{1,9})", re.DOTALL)
"""``11``, or ``ffn_3``, which exporters make of the third call of ``ffn``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedLayer:
    """Layers with the same parts, taken together.

    Attributes:
        name: as in the model, with every number in it: ``encoder.layer.0..11``. A layer that is all that is in another
            is named together with it.
        layers: how many are taken together.
        weight_bytes: bytes of all their weights by ONNX data type.
        weights: how many weights there are.
        parts: what is in all of them, the largest first.
    """

    name: str
    layers: int
    weight_bytes: Counter[str]
    weights: int
    parts: tuple[FoldedLayer, ...]

    @property
    def all_weight_bytes(self) -> int:
        """Bytes of all weights in it."""
        return sum(self.weight_bytes.values())


def fold(layer: Layer) -> FoldedLayer:
    """Fold `layer` and everything in it."""
    return _together(layer.name, [layer])


def _together(name: str, layers: Sequence[Layer]) -> FoldedLayer:
    alike: dict[object, list[Layer]] = defaultdict(list)
    for part in (part for layer in layers for part in layer.parts):
        alike[_likeness(part)].append(part)
    parts = [_together(_common_name([part.name for part in group]), group) for group in alike.values()]
    folded = FoldedLayer(
        name=name,
        layers=len({layer.name for layer in layers}),
        weight_bytes=sum((Counter(layer.weight_bytes) for layer in layers), Counter()),
        weights=sum(layer.weights for layer in layers),
        parts=tuple(sorted(parts, key=lambda part: -part.all_weight_bytes)),
    )
    return _joined(folded)


def _likeness(layer: Layer) -> object:
    """What layers must share to be taken together: the name but for its number, and the names of their parts."""
    stem, _ = _split(layer.name)
    return stem, frozenset(part.name for part in layer.parts)


def _split(name: str) -> tuple[str, int]:
    """Stem and number; a name without one comes before those with one, as ``ffn`` before ``ffn_1``."""
    found = _NUMBERED.fullmatch(name)
    return (found[1] or "", int(found[2])) if found else (name, -1)


def _common_name(names: Sequence[str]) -> str:
    distinct = sorted(set(names), key=lambda name: (_split(name)[1], name))
    if len(distinct) == 1:
        return distinct[0]
    plain = [name for name in distinct if _split(name)[1] < 0]
    numbered = distinct[len(plain) :]
    if not numbered:
        return ", ".join(plain)
    first, last = numbered[0], str(_split(numbered[-1])[1])
    span = first if len(numbered) == 1 else f"{first}..{last}"
    is_whole = int(last) - _split(first)[1] + 1 == len(numbered)
    return ", ".join([*plain, span if is_whole else f"{span} ({len(numbered)} of them)"])


def _joined(layer: FoldedLayer) -> FoldedLayer:
    """Name a layer together with the only part in it: a level with one entry tells nothing."""
    if len(layer.parts) != 1 or layer.parts[0].weight_bytes != layer.weight_bytes:
        return layer
    (only,) = layer.parts
    return FoldedLayer(
        name=f"{layer.name}.{only.name}" if layer.name else only.name,
        layers=max(layer.layers, only.layers),
        weight_bytes=only.weight_bytes,
        weights=only.weights,
        parts=only.parts,
    )
