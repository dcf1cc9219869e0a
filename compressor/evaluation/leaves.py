"""Take the outputs of a run apart into arrays: tensors, sequences, maps, empty optionals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from compressor.evaluation.contract import Array

KEYS = "{keys}"
"""How the places of a map's keys end."""


def flatten(value: object) -> dict[str, Array]:
    """Name every array in `value` by its place: ``""`` for a tensor, ``"[0]"``, ``"[0]{keys}"`` and so on below."""
    return dict(_leaves(value, ""))


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Array]]:
    if value is None:
        yield place + "(absent)", np.zeros(0)
    elif isinstance(value, Mapping):
        keys = sorted(value)
        yield place + KEYS, np.asarray(keys)
        yield place + "{values}", np.asarray([value[key] for key in keys])
    elif isinstance(value, (list, tuple)):
        yield place + f"[{len(value)} parts]", np.zeros(0)
        for position, part in enumerate(value):
            yield from _leaves(part, f"{place}[{position}]")
    else:
        yield place, np.asarray(value)
