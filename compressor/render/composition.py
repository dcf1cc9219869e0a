"""Name every byte of a model by what it is: weights by width, graph, metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from compressor.report import Size

SMALLEST_SHARE = 0.025
"""Share of the largest model in a report below which a kind of bytes is not drawn: a character of a bar of 40."""


class Kind(Enum):
    """What bytes are; the value is how a legend calls them."""

    FLOAT = "float weights"
    HALF = "16-bit float weights"
    INT8 = "int8 weights"
    INT4 = "int4 weights"
    OTHER = "other weights"
    GRAPH = "graph"
    METADATA = "metadata"


_KIND_OF_TYPE = {
    **dict.fromkeys(("FLOAT", "DOUBLE"), Kind.FLOAT),
    **dict.fromkeys(("FLOAT16", "BFLOAT16"), Kind.HALF),
    **dict.fromkeys(("INT8", "UINT8"), Kind.INT8),
    **dict.fromkeys(("INT4", "UINT4"), Kind.INT4),
}


def composition(size: Size) -> dict[Kind, int]:
    """Sort the bytes of `size` into kinds, in the order that bars are drawn in."""
    found = by_kind(size.weight_bytes)
    # Negative where weights share bytes of the file: then there is no telling what the graph takes.
    return found | {Kind.GRAPH: max(0, size.graph_bytes), Kind.METADATA: size.metadata_bytes}


def by_kind(weight_bytes: Mapping[str, int]) -> dict[Kind, int]:
    """Sort bytes of weights by ONNX data type into kinds."""
    found = dict.fromkeys((Kind.FLOAT, Kind.HALF, Kind.INT8, Kind.INT4, Kind.OTHER), 0)
    for name, count in weight_bytes.items():
        found[_KIND_OF_TYPE.get(name, Kind.OTHER)] += count
    return found


def seen_of(size: Size, whole: int) -> dict[Kind, int]:
    """What is large enough to be seen of `size` in a bar that stands for `whole` bytes; its largest kind always is."""
    parts = {kind: count for kind, count in composition(size).items() if count}
    most = max(parts.values(), default=0)
    return {kind: count for kind, count in parts.items() if count >= SMALLEST_SHARE * whole or count == most}


def largest(sizes: Iterable[Size]) -> int:
    """The bytes that a full bar stands for."""
    return max((size.total_bytes for size in sizes), default=0)
