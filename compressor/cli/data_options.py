"""Name the options that say what models are judged on, and read them."""

# No `from __future__ import annotations`: Typer reads the annotations when the program runs.
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from compressor.evaluation.settings import Evaluation

DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Your own inputs: .csv, .tsv, .jsonl, .npz, or a folder of .npy or images "
        "[default: made up from the model's signature].",
    ),
]
TextColumnOption = Annotated[
    str | None,
    typer.Option(metavar="NAME[,NAME]", help="Column with the text, or two for pairs [default: by their names]."),
]
TokenizerOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Tokenizer of the texts [default: tokenizer.json beside the model].")
]
LabelsOption = Annotated[
    str | None, typer.Option(metavar="COLUMN|FILE", help="Labels: a column or array of the data, or a .npy file.")
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What labels are for: classification, multi-label, token-classification, regression, similarity, "
        "retrieval, question-answering, perplexity [default: guessed from the labels].",
    ),
]
SamplesOption = Annotated[
    int | None, typer.Option(metavar="N", help="Draw N rows of the data by chance [default: all rows].")
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(metavar="N", help="Rows of the data in one run, where the model leaves it open [default: 16]."),
]


def read_evaluation(
    *,
    data: Path | None,
    text_column: str | None,
    tokenizer: Path | None,
    labels: str | None,
    task: str | None,
    samples: int | None,
    batch_size: int | None,
    seed: int,
) -> "Evaluation":
    """Gather what the options say.

    Raises:
        OptionError: they contradict each other.
    """
    from compressor.errors import OptionError
    from compressor.evaluation.settings import DEFAULT_BATCH_SIZE, Evaluation

    if batch_size is not None and data is None:
        raise OptionError("batch_size says something of data, and no data is given; add --data FILE")
    if text_column is not None and not text_column.replace(",", "").strip():
        raise OptionError("--text-column names no column; leave it out, or name one")
    columns = (text_column or "").split(",")
    return Evaluation(
        data=data,
        text_columns=tuple(name.strip() for name in columns if name.strip()),
        tokenizer=tokenizer,
        labels=labels,
        task=task,
        samples=samples,
        batch_size=DEFAULT_BATCH_SIZE if batch_size is None else batch_size,
        seed=seed,
    )
