"""Read inputs from a table: texts, images and numbers, side by side where a model takes several kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.data.arrays import ArrayRows, bind_arrays
from compressor.evaluation.data.excerpt import excerpt
from compressor.evaluation.data.from_arrays import read_label_file
from compressor.evaluation.data.given import Given, Labels, Subject, name_task
from compressor.evaluation.data.images import IMAGE_COLUMNS, ImageRows, find_images, folder_of
from compressor.evaluation.data.numbers import read_numbers
from compressor.evaluation.data.preprocessing import read_preprocessing
from compressor.evaluation.data.rows import JoinedRows, Rows
from compressor.evaluation.data.table import Table
from compressor.evaluation.data.text import TextRows, TokenInputs, align, encode, find_token_inputs
from compressor.evaluation.data.texts import find_text_columns, holds_text, read_texts
from compressor.evaluation.data.tokenizer import open_tokenizer
from compressor.evaluation.settings import Evaluation
from compressor.evaluation.signature import InputSpec, Kind
from compressor.evaluation.tasks.choice import ALIGNED, EMBEDDING, has_head
from compressor.evaluation.tasks.contract import Alignment
from compressor.evaluation.wording import listed


def read_table_rows(table: Table, subject: Subject, evaluation: Evaluation) -> Given:
    """Find the columns that are inputs, and those that are labels.

    Raises:
        OptionError: no column is an input, or one holds what cannot be one.
    """
    labels = _read_labels(table, evaluation.labels)
    task, notes = name_task(evaluation, labels, subject)
    taken = [evaluation.labels] if evaluation.labels else []
    parts: list[Rows] = []
    images = _read_images(table, subject, taken)
    if images is not None:
        parts.append(images)
        taken += IMAGE_COLUMNS
    tokens = _token_inputs(table, subject, evaluation, taken)
    texts = None
    if tokens is not None:
        texts = _read_tokens(table, tokens, subject, evaluation, task, taken)
        parts.append(texts.rows)
        taken += texts.columns
    strings = _read_strings(table, subject, evaluation, taken)
    parts += [strings] if strings is not None else []
    filled = [name for part in parts for name in part.inputs]
    left = [spec for spec in subject.specs if spec.name not in filled]
    numbers = read_numbers(table, left, taken)
    # Rows of two texts each are twice as many, and numbers beside them have no meaning there.
    parts += [numbers] if numbers is not None and (not parts or numbers.count == parts[0].count) else []
    _refuse_nothing(parts, table, subject)
    is_paired = texts is not None and texts.is_paired
    return Given(
        rows=JoinedRows(parts),
        numbers=np.repeat(table.numbers, 2).tolist() if is_paired else table.numbers,
        total=table.total,
        labels=labels,
        task=task,
        alignment=texts.alignment if texts is not None else (),
        is_paired=is_paired,
        ids=tokens.ids.name if tokens is not None else "",
        excerpts=_excerpts(texts, strings, images, table),
        notes=notes,
    )


def _excerpts(texts: _Texts | None, strings: ArrayRows | None, images: ImageRows | None, table: Table) -> Sequence[str]:
    """Take what a reader knows a sample by: its text, else the name of its picture."""
    if texts is not None:
        return texts.excerpts
    if strings is not None:
        arrays = strings.arrays.values()
        return [excerpt([str(array[row].flat[0]) for array in arrays]) for row in range(strings.count)]
    return [] if images is None else [str(path.relative_to(folder_of(table))) for path in images.paths]


def _refuse_nothing(parts: Sequence[Rows], table: Table, subject: Subject) -> None:
    if not parts:
        raise OptionError(
            f"{table.path}: none of its columns ({listed(table.columns)}) is an input of the model "
            f"({listed([spec.name for spec in subject.specs])}); name columns as inputs, or text with --text-column"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts:
    """Texts read from a table."""

    rows: TextRows
    columns: tuple[str, ...]
    is_paired: bool
    excerpts: Sequence[str]
    alignment: Sequence[Alignment] = ()


def _read_labels(table: Table, labels: str | None) -> Labels:
    if labels is None:
        return Labels()
    if labels.endswith(".npy") and labels not in table.columns:
        return read_label_file(Path(labels), table.total, [number - 1 for number in table.numbers])
    values = table.column(labels)
    return Labels(values=values, places=[table.place(row, labels) for row in range(len(values))])


def _read_images(table: Table, subject: Subject, taken: Sequence[str]) -> ImageRows | None:
    specs = [spec for spec in subject.specs if spec.kind is Kind.IMAGE and spec.name not in table.columns]
    columns = [name for name in IMAGE_COLUMNS if name in table.columns and name not in taken]
    if not specs or not columns:
        return None
    steps, notes = read_preprocessing(subject.companions.read("preprocessor_config.json"), specs[0])
    return ImageRows(spec=specs[0], paths=find_images(table, columns[0]), steps=steps, notes=notes)


def _token_inputs(table: Table, subject: Subject, evaluation: Evaluation, taken: Sequence[str]) -> TokenInputs | None:
    """Take tokens for wanted where the model has such an input, and the table a text rather than numbers for it."""
    tokens = find_token_inputs(subject.specs)
    if tokens is None or tokens.ids.name in table.columns:
        return None
    return tokens if evaluation.text_columns or holds_text(table, taken) else None


def _read_tokens(
    table: Table, tokens: TokenInputs, subject: Subject, evaluation: Evaluation, task: str, taken: Sequence[str]
) -> _Texts:
    columns = find_text_columns(table, evaluation.text_columns, taken)
    is_apart = task in EMBEDDING and not has_head(subject.companions.read("config.json"))
    if task == "retrieval" and len(columns) > 1:
        raise OptionError(
            f"{table.path}: task retrieval takes one text a row, columns {', '.join(columns)} hold two; "
            "name one with --text-column"
        )
    are_words = task == "token-classification"
    texts = read_texts(table, columns, are_words=are_words)
    is_paired = is_apart and len(columns) == 2
    per_row = 2 if is_paired else 1
    if is_paired:
        texts = [(text,) for pair in texts for text in pair]
    settings = open_tokenizer(evaluation.tokenizer, subject.companions, tokens.fixed_length)
    cut = "only_second" if task == "question-answering" and len(columns) == 2 else "longest_first"
    rows, encoded = encode(
        texts, tokens, settings, cut=cut, are_words=are_words, place=lambda row: table.place_of_row(row // per_row)
    )
    alignment = align(encoded, texts, settings) if task in ALIGNED else ()
    return _Texts(
        rows=rows, columns=columns, is_paired=is_paired, excerpts=list(map(excerpt, texts)), alignment=alignment
    )


def _read_strings(table: Table, subject: Subject, evaluation: Evaluation, taken: Sequence[str]) -> ArrayRows | None:
    """Hand texts to a model that has its tokenizer in its graph."""
    specs: list[InputSpec] = [spec for spec in subject.specs if spec.kind is Kind.TEXT]
    if not specs:
        return None
    named = {spec.name: spec.name for spec in specs if spec.name in table.columns}
    if not named and len(specs) == 1:
        (column,) = find_text_columns(table, evaluation.text_columns, taken)[:1]
        named = {specs[0].name: column}
    arrays = {}
    for name, column in named.items():
        (spec,) = (spec for spec in specs if spec.name == name)
        array = np.array([str(value) for value in table.column(column)], dtype=object)
        arrays[name] = array.reshape(-1, *(1,) * (len(spec.axes) - 1))
    return bind_arrays(arrays, specs, table.path) if arrays else None
