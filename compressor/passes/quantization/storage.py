"""Define what a plan for a weight is, whatever it will be stored as."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.quantization.edit import Edit
from compressor.passes.quantization.weights import FloatWeight


@dataclass(frozen=True, slots=True, eq=False)
class Rewriting:
    """What is to become of one use of a weight that has been stored.

    Attributes:
        node: the operator that uses it.
        counted_as: name of the count of such uses in a pass result.
        comes_last: it takes whatever uses are left, so the others go first.
        apply: does it. Nodes must be taken in graph order: see :class:`Edit`.
    """

    node: ir.Node
    counted_as: str
    comes_last: bool
    apply: Callable[[], None]


class WeightPlan(ABC):
    """A weight that will be stored smaller."""

    @property
    @abstractmethod
    def weight(self) -> FloatWeight:
        """The weight as it is."""

    @property
    @abstractmethod
    def edited_nodes(self) -> frozenset[ir.Node]:
        """Operators that will be replaced."""

    @abstractmethod
    def store(self, edit: Edit) -> Sequence[Rewriting]:
        """Put the smaller form into the model and say what is to become of each use."""
