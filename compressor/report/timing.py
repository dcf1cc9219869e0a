"""Say how long a run takes, and on what machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Time of one run on this host.

    Attributes:
        median_ms: median of the timed runs, in milliseconds.
        runs: how many were timed.
        shape: the input sizes timed, for example ``"batch 1 x sequence 64"``.
    """

    median_ms: float
    runs: int
    shape: str


def speedup(original: Latency | None, latency: Latency | None) -> float | None:
    """How many times faster `latency` is; None where either was not timed."""
    if original is None or latency is None or not latency.median_ms:
        return None
    return original.median_ms / latency.median_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the figures were measured on.

    Attributes:
        cpu: the processor's name.
        int8_path: the widest int8 dot product the processor has (``"vnni"``, ``"avx2"``, ...); without VNNI, x86
            processors saturate 16-bit sums of uint8 x int8 products.
        threads: threads given to the runtime.
        versions: of onnx, onnxruntime, onnx-ir, onnxscript and this package.
    """

    cpu: str
    int8_path: str
    threads: int
    versions: Mapping[str, str]
