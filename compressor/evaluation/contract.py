"""Define what a measurement is fed and what may come back instead of figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Element types differ from input to input and are only known at run time.
Array: TypeAlias = NDArray[Any]
Feeds: TypeAlias = Mapping[str, Array]
# A run gives arrays, lists of arrays (sequences), lists of dictionaries (maps) or None (empty optionals).
Outputs: TypeAlias = Sequence[Any]


class Session(Protocol):
    """The part of :class:`onnxruntime.InferenceSession` that measuring needs."""

    def run(self, output_names: Any, input_feed: Any, run_options: Any = None) -> Any: ...

    def run_with_ort_values(self, output_names: Any, input_dict_ort_values: Any, run_options: Any = None) -> Any: ...

    def get_inputs(self) -> Any: ...

    def get_outputs(self) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Inputs to run a model on, in batches.

    Attributes:
        batches: one mapping from input name to array for each run; it may be made when it is asked for.
        generated: made up from the graph's signature, so figures gained from them are indicative only.
        description: where they come from and how large they are, for the report.
        notes: what a reader must know of them, for example input sizes that the model cannot run.
        places: of given samples, which one each row of each batch is, counted in the order of the data; a batch may
            be filled up with repeated ones.
        row_numbers: of given samples, the row of the data that each is, counted from 1.
        excerpts: of given samples, the beginning of each one's text, or its file; empty where they are numbers.
    """

    batches: Sequence[Feeds]
    generated: bool
    description: str
    notes: tuple[str, ...] = ()
    places: tuple[tuple[int, ...], ...] = ()
    row_numbers: Sequence[int] = ()
    excerpts: Sequence[str] = ()

    @property
    def rows(self) -> int:
        """Rows of all batches together."""
        if self.places:
            return len({place for batch in self.places for place in batch})
        return sum(map(count_rows, self.batches))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there are no figures: a run failed, or its outputs cannot be held against the original's.

    Attributes:
        reason: a clause that reads on after "refused: " or "not verified: ", with names and values.
    """

    reason: str


def count_rows(feeds: Feeds) -> int:
    """Count the rows of one batch: the length of the first axis of the first input that has one, else 1."""
    return next((array.shape[0] for array in feeds.values() if array.ndim > 0), 1)


def describe_sizes(feeds: Feeds) -> str:
    """Write the sizes of a batch for people, such as ``input_ids 4x16, attention_mask 4x16``."""
    sizes = [f"{name} {'x'.join(map(str, np.shape(array))) or 'scalar'}" for name, array in feeds.items()]
    return ", ".join(sizes[:3]) + (f" and {len(sizes) - 3} more" if len(sizes) > 3 else "")
