"""Define what models are judged on: samples, and what their labels are for."""

from __future__ import annotations

from dataclasses import dataclass

from compressor.evaluation.contract import Samples
from compressor.evaluation.tasks.contract import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The user's samples, read.

    Attributes:
        samples: the inputs.
        task: what its labels are for; None without any.
    """

    samples: Samples
    task: Task | None = None
