"""Cut rows of data into batches that fit a model, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

import numpy as np

from compressor.evaluation.contract import Array, Feeds


class Rows(Protocol):
    """Rows for some of a model's inputs."""

    @property
    def count(self) -> int:
        """Tell how many there are."""

    @property
    def lengths(self) -> Sequence[int]:
        """Tell how long each is, for rows that are padded to the longest of their batch; else empty."""

    @property
    def notes(self) -> Sequence[str]:
        """Tell what a reader of figures must know."""

    @property
    def inputs(self) -> Sequence[str]:
        """Name the inputs that they fill."""

    def batch(self, places: Sequence[int]) -> Mapping[str, Array]:
        """Make the inputs for some rows."""


@dataclass(frozen=True, slots=True)
class JoinedRows:
    """Rows of several kinds side by side, such as texts and numbers."""

    parts: Sequence[Rows]

    @property
    def count(self) -> int:
        """Tell how many there are."""
        return self.parts[0].count

    @property
    def lengths(self) -> Sequence[int]:
        """Take those of the part that has any."""
        return next((part.lengths for part in self.parts if part.lengths), ())

    @property
    def notes(self) -> Sequence[str]:
        """Gather those of all parts."""
        return [note for part in self.parts for note in part.notes]

    @property
    def inputs(self) -> Sequence[str]:
        """Gather those of all parts."""
        return [name for part in self.parts for name in part.inputs]

    def batch(self, places: Sequence[int]) -> Mapping[str, Array]:
        """Join the inputs of all parts."""
        return {name: array for part in self.parts for name, array in part.batch(places).items()}


@dataclass(frozen=True, slots=True)
class MadeBatches(Sequence[Feeds]):
    """Batches that are made when they are asked for: pixels of 3,000 images would be 1.8 GB.

    Attributes:
        groups: the rows of each batch.
        make: makes the inputs for some rows.
    """

    groups: Sequence[tuple[int, ...]]
    make: Callable[[tuple[int, ...]], Feeds]

    def __len__(self) -> int:
        return len(self.groups)

    @overload
    def __getitem__(self, index: int) -> Feeds: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Feeds]: ...

    def __getitem__(self, index: int | slice) -> Feeds | Sequence[Feeds]:
        if isinstance(index, slice):
            return MadeBatches(self.groups[index], self.make)
        return self.make(self.groups[index])


def group(count: int, size: int, lengths: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Cut rows into batches of at most `size`, in the order given, or where they have lengths the shortest first."""
    order = np.argsort(lengths, kind="stable").tolist() if lengths else list(range(count))
    return tuple(tuple(order[start : start + size]) for start in range(0, count, size))


def fill_up(groups: Sequence[tuple[int, ...]], size: int) -> tuple[tuple[int, ...], ...]:
    """Repeat the last row of a batch that is too small, for a model that takes `size` rows and no fewer."""
    return tuple(places + places[-1:] * (size - len(places)) for places in groups)


def draw(count: int, samples: int | None, seed: int) -> tuple[int, ...]:
    """Choose rows without replacement, and keep their order; all, where no more are asked for than there are."""
    if samples is None or samples >= count:
        return tuple(range(count))
    chosen = np.random.default_rng(seed).choice(count, samples, replace=False)
    return tuple(np.sort(chosen).tolist())
