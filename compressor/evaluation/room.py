"""Find out how many models the memory has room for, before the system kills what takes too much."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING

import onnx_ir as ir

from compressor.errors import RuntimeRefusal
from compressor.model.footprint import copied_bytes, unmapped_bytes
from compressor.model.memory import available_bytes
from compressor.model.session import open_mapped_session, open_session

if TYPE_CHECKING:
    import onnxruntime

_SPARE = 256 << 20
"""Bytes left for activations, outputs and the program itself."""

_CANDIDATE = 2.2
"""How many times the memory of the original a candidate may take: where integers are stored for float products, the
runtime holds their floats twice (measured on ALBERT and BERT-base)."""


class Room(Enum):
    """How models are opened."""

    AMPLE = "original and result at the same time, as fast as they run"
    TIGHT = "one after the other, their weights mapped from the file"

    def open(
        self, model: ir.Model, *, threads: int = 0, config: Mapping[str, str] | None = None
    ) -> onnxruntime.InferenceSession:
        """Open a session.

        Raises:
            RuntimeRefusal: ONNX Runtime cannot load the model, or there is too little memory for it.
        """
        if self is Room.AMPLE:
            return open_session(model, threads=threads, config=config)
        _refuse_too_large(model)
        return open_mapped_session(model, threads=threads, config=config)


def find_room(original: ir.Model) -> Room:
    """Say how `original` and what is made of it can be opened.

    Raises:
        RuntimeRefusal: they cannot; the text says what is needed and what there is.
    """
    free = available_bytes()
    if free is None or _needed_at_once(original) <= free:
        return Room.AMPLE
    _refuse_too_large(original)
    return Room.TIGHT


def why_tight(original: ir.Model) -> str:
    """Tell a reader of the report what :attr:`Room.TIGHT` means for the figures."""
    return (
        f"original and results were run one after the other, and not timed: at the same time they may take "
        f"{_shown(_needed_at_once(original))} of memory, and {_shown(available_bytes() or 0)} are free"
    )


def _needed_at_once(original: ir.Model) -> int:
    return int(copied_bytes(original) * (1 + _CANDIDATE)) + _SPARE


def _refuse_too_large(model: ir.Model) -> None:
    free = available_bytes()
    if free is None:
        return
    needed = unmapped_bytes(model) + _SPARE
    if needed > free:
        raise RuntimeRefusal(f"it takes {_shown(needed)} of memory to run it, and {_shown(free)} are free")


def _shown(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
