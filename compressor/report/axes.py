"""Say which axes a model really leaves open."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisFinding:
    """What became of an axis that a model's inputs declare dynamic when it was run at several sizes.

    Attributes:
        axis: its name; where the model gives none, the input and the axis's place.
        inputs: the inputs that have it.
        sizes: sizes that ran, the first one that was found first.
        reason: why no other size ran, in the runtime's words, which name the node; empty where one did.
    """

    axis: str
    inputs: tuple[str, ...]
    sizes: tuple[int, ...]
    reason: str = ""

    @property
    def is_fixed(self) -> bool:
        """The size is baked into the graph."""
        return bool(self.reason)
