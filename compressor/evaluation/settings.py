"""Say what models are judged on: made-up inputs, or the user's own with or without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compressor.errors import OptionError

DEFAULT_BATCH_SIZE = 16
"""Large enough to keep two cores busy, small enough that a batch of texts sorted by length needs little padding."""

TASKS = (
    "classification",
    "multi-label",
    "token-classification",
    "regression",
    "similarity",
    "retrieval",
    "question-answering",
    "perplexity",
)
"""Every task that can be scored, by the name users give it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What models are judged on. With nothing given, inputs are made from the original's signature.

    Attributes:
        data: the user's inputs: ``.npz``, a folder of ``.npy`` files, ``.csv``, ``.tsv``, ``.jsonl``, or a folder of
            images.
        text_columns: the column with the text, or two for pairs; empty recognises them by their names.
        tokenizer: a ``tokenizer.json``; None takes the one beside the model.
        labels: a column of `data`, an array of the ``.npz``, or a ``.npy`` file with a row for each row of `data`.
        task: one of `TASKS`; None guesses it where labels are given.
        samples: rows drawn from `data`; None takes all.
        batch_size: rows of one run, where the model leaves that open.
        seed: of made-up inputs and of the rows drawn.
        threads: threads given to ONNX Runtime; 0 lets it choose.
    """

    data: Path | None = None
    text_columns: tuple[str, ...] = ()
    tokenizer: Path | None = None
    labels: str | None = None
    task: str | None = None
    samples: int | None = None
    batch_size: int = DEFAULT_BATCH_SIZE
    seed: int = 0
    threads: int = 0

    @property
    def has_task(self) -> bool:
        """Models are scored: there are labels, or a task that needs none."""
        return self.labels is not None or self.task is not None

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            OptionError: a number is out of its range, a task does not exist, or something is said of data not given.
        """
        for name, least in (("samples", 1), ("batch_size", 1), ("seed", 0), ("threads", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} is {value}; it takes a number of at least {least}")
        if self.task is not None and self.task not in TASKS:
            raise OptionError(f"there is no task {self.task!r}; choose from {', '.join(TASKS)}")
        if len(self.text_columns) > 2:
            raise OptionError(f"{len(self.text_columns)} text columns are named; a model takes one text, or a pair")
        if self.data is None:
            for name in ("text_columns", "tokenizer", "labels", "task", "samples"):
                if getattr(self, name):
                    raise OptionError(f"{name} says something of data, and no data is given; add --data FILE")
