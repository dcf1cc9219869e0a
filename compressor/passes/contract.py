"""Define what a pass is: options in, one edited model, counts and reasons out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.report import Quantization, Skip


class Claim(Enum):
    """What a pass promises about the outputs; the pipeline holds it to that."""

    EXACT = "bit-identical"
    EQUIVALENT = "equal up to float rounding"
    LOSSY = "changed, within the user's budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """What a pass did.

    Attributes:
        model: the edited model.
        counts: facts, such as ``{"initializers_merged": 77}``; a count of things done, never 0.
        skipped: candidates left alone, each with its reason.
        note: what a reader must know of this result, for example which engine made it; empty otherwise.
        quantization: what became of the float weights, where some were quantized.
    """

    model: ir.Model
    counts: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[Skip, ...] = ()
    note: str = ""
    quantization: Quantization | None = None

    @property
    def is_changed(self) -> bool:
        """The pass did something."""
        return bool(self.counts)


class FeatureStatistics(Protocol):
    """What an activation showed along its last axis, over every position of every sample."""

    @property
    def peak(self) -> NDArray[np.float32]:
        """Largest magnitude of each feature."""

    @property
    def lowest(self) -> NDArray[np.float32]:
        """Smallest value of each feature."""

    @property
    def highest(self) -> NDArray[np.float32]:
        """Largest value of each feature."""

    @property
    def mean_square(self) -> NDArray[np.float64]:
        """Mean of squares of each feature."""


class Calibration(Protocol):
    """Lets a pass watch a model run, on the inputs that the chain measures with."""

    @property
    def is_generated(self) -> bool:
        """The inputs were made up from the graph's signature."""

    def observe(self, model: ir.Model, names: Sequence[str]) -> Mapping[str, FeatureStatistics] | str:
        """Run `model` and watch values of its main graph; those that cannot be watched are left out.

        A text says why the model does not run.
        """


@dataclass(frozen=True)
class Pass(ABC):
    """One step of the chain, a frozen dataclass whose fields are its options.

    A pass edits the model it is given and returns it. It measures nothing, prints nothing, keeps nothing, reads a
    weight's bytes only where it must, leaves graph inputs and outputs as they are, and leaves no orphan initializer
    and no duplicate of its own making. Running it twice changes nothing the second time.
    """

    name: ClassVar[str]
    claim: ClassVar[Claim]

    @abstractmethod
    def run(self, model: ir.Model) -> PassResult:
        """Edit `model` in place (or make another) and say what was done."""

    def alternatives(self, model: ir.Model) -> Iterator[PassResult]:
        """Yield results to choose from, the most promising first; the pipeline keeps the first that holds its claim.

        `model` itself is used up by the first alternative unless the pass clones it.
        """
        yield self.run(model)

    def attempts(self, model: ir.Model, calibration: Calibration | None) -> Iterator[PassResult]:
        """Yield what `alternatives` does; a pass that decides by watching `model` run overrides this instead.

        Args:
            model: as for `alternatives`.
            calibration: runs models; None where nothing is to be run (``--no-verify``), or nothing can be.
        """
        return self.alternatives(model)


def defect_in_words(error: Exception) -> str:
    """What a reader of the report is told where a pass failed in a way that no input should cause."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    return f"it failed with {type(error).__name__}: {error}; this is a defect, please report it"
