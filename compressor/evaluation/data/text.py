"""Turn texts into the token inputs of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.data.fill import is_token_type
from compressor.evaluation.data.tokenizer import TextSettings, failures_in_words
from compressor.evaluation.signature import InputSpec, Kind
from compressor.evaluation.tasks.contract import Alignment

Text = str | Sequence[str]
"""A text, or its words where labels belong to words."""

_TOO_SHORT_TO_CUT = "Sequence to truncate too short"
"""What the package says where the text that may be cut has fewer tokens than are too many."""

_MASKED = -10000.0
"""As made-up inputs have it: see ``values.py``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInputs:
    """The inputs that tokens fill; None where the model has no such input.

    Attributes:
        ids: the tokens.
        mask: 1 for tokens, 0 for padding.
        types: 0 for tokens of the first text, 1 for those of the second.
        positions: the place of each token among those that are not padding.
    """

    ids: InputSpec
    mask: InputSpec | None
    types: InputSpec | None
    positions: InputSpec | None

    @property
    def names(self) -> Sequence[str]:
        """Name them."""
        return [spec.name for spec in (self.ids, self.mask, self.types, self.positions) if spec is not None]

    @property
    def fixed_length(self) -> int | None:
        """Tokens of a row where the graph fixes them."""
        length = self.ids.axes[1] if len(self.ids.axes) == 2 else None
        return length if isinstance(length, int) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRows:
    """Encoded texts, padded when a batch is made.

    Attributes:
        tokens: what they fill.
        settings: how they are padded.
        ids, types: tokens and token types of each row.
        notes: what was cut off.
    """

    tokens: TokenInputs
    settings: TextSettings
    ids: Sequence[Array]
    types: Sequence[Array]
    notes: Sequence[str] = ()

    @property
    def count(self) -> int:
        """Tell how many there are."""
        return len(self.ids)

    @property
    def lengths(self) -> Sequence[int]:
        """Tell how many tokens each has."""
        return [] if self.tokens.fixed_length else [len(ids) for ids in self.ids]

    @property
    def inputs(self) -> Sequence[str]:
        """Name the inputs."""
        return self.tokens.names

    def batch(self, places: Sequence[int]) -> Mapping[str, Array]:
        """Pad some rows to the longest of them, or to the length that the graph fixes."""
        width = self.tokens.fixed_length or max(1, *(len(self.ids[place]) for place in places))
        ids = np.full((len(places), width), self.settings.padding, np.int64)
        types = np.full((len(places), width), self.settings.padding_type, np.int64)
        mask = np.zeros((len(places), width), np.int64)
        for row, place in enumerate(places):
            length = len(self.ids[place])
            span = slice(width - length, width) if self.settings.is_left_padded else slice(0, length)
            ids[row, span], types[row, span], mask[row, span] = self.ids[place], self.types[place], 1
        positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
        made = (
            (self.tokens.ids, ids),
            (self.tokens.mask, mask),
            (self.tokens.types, types),
            (self.tokens.positions, positions),
        )
        return {spec.name: _to_input(array, spec) for spec, array in made if spec is not None}


def find_token_inputs(specs: Sequence[InputSpec]) -> TokenInputs | None:
    """Recognise the inputs by name and use; None where the model takes no tokens."""
    own = [spec for spec in specs if "decoder" not in spec.name and "past" not in spec.name]
    masks = [spec for spec in own if spec.kind in {Kind.MASK, Kind.SCORE_MASK}]
    types = [spec for spec in own if is_token_type(spec.name)]
    positions = [spec for spec in own if spec.kind is Kind.POSITION]
    others = [spec for spec in own if spec not in masks and spec not in types and spec not in positions]
    tables = [spec for spec in others if spec.dtype.is_integer() and len(spec.axes) == 2]
    # Sorted by name first: a model that gathers something else by index may list that before its tokens.
    tables.sort(key=lambda spec: ("input_id" not in spec.name, "id" not in spec.name, spec.kind is not Kind.INDEX))
    if not tables:
        return None
    return TokenInputs(
        ids=tables[0],
        mask=masks[0] if masks else None,
        types=types[0] if types else None,
        positions=positions[0] if positions else None,
    )


def encode(
    texts: Sequence[tuple[Text, ...]],
    inputs: TokenInputs,
    settings: TextSettings,
    *,
    cut: str,
    are_words: bool,
    place: Callable[[int], str],
) -> tuple[TextRows, Sequence[Any]]:
    """Encode single texts and pairs.

    Args:
        texts: one text or two for each row.
        inputs: what they fill.
        settings: the tokenizer, and how long rows may be.
        cut: ``"longest_first"``, or ``"only_second"`` to leave the first text of a pair whole.
        are_words: texts are lists of words.
        place: says where a row is, for messages.

    Returns:
        The rows, and for each what the tokenizer knows about it.

    Raises:
        OptionError: a text cannot be encoded.
    """
    given = [row[0] if len(row) == 1 else row for row in texts]
    settings.tokenizer.enable_truncation(settings.longest, strategy=cut)
    try:
        with failures_in_words("the tokenizer cannot encode the texts"):
            encoded = settings.tokenizer.encode_batch(given, is_pretokenized=are_words)
    except OptionError:
        _name_the_row(texts, settings, place, are_words=are_words)
        raise
    cuts = sum(1 for one in encoded if one.overflowing)
    are, end = ("is", "its end is") if cuts == 1 else ("are", "their ends are")
    note = f"{cuts} of {len(encoded)} texts {are} longer than {settings.longest} tokens, and {end} cut off"
    rows = TextRows(
        tokens=inputs,
        settings=settings,
        ids=[np.array(one.ids, np.int64) for one in encoded],
        types=[np.array(one.type_ids, np.int64) for one in encoded],
        notes=(note,) if cuts else (),
    )
    return rows, encoded


def _name_the_row(
    texts: Sequence[tuple[Text, ...]], settings: TextSettings, place: Callable[[int], str], *, are_words: bool
) -> None:
    """Raise what the first row fails with that cannot be encoded by itself; return where there is none."""
    for at, row in enumerate(texts):
        try:
            with failures_in_words(f"{place(at)}: the tokenizer cannot encode the texts"):
                settings.tokenizer.encode(*row, is_pretokenized=are_words)
        except OptionError as error:
            if _TOO_SHORT_TO_CUT not in str(error):
                raise
            raise OptionError(
                f"{place(at)}: the first text alone fills the {settings.longest} tokens that the model takes, and only "
                "the second is cut; shorten the first, or leave the row out"
            ) from error


def align(encoded: Sequence[Any], texts: Sequence[tuple[Text, ...]], settings: TextSettings) -> list[Alignment]:
    """Keep where tokens come from."""
    found = []
    for one, row in zip(encoded, texts, strict=True):
        starts, ends = np.array(one.offsets, np.int64).reshape(-1, 2).T
        parts = np.array([-1 if part is None else part for part in one.sequence_ids], np.int64)
        words = np.array([-1 if word is None else word for word in one.word_ids], np.int64)
        last = row[-1]
        found.append(
            Alignment(
                words=np.where(parts == 0, words, -1), starts=starts, ends=ends, parts=parts,
                text=last if isinstance(last, str) else " ".join(last), is_left_padded=settings.is_left_padded,
                word_count=None if isinstance(row[0], str) else len(row[0]),
            )
        )  # fmt: skip
    return found


def _to_input(array: Array, spec: InputSpec) -> Array:
    if spec.kind is Kind.SCORE_MASK:
        array = (1 - array) * _MASKED
    # Masks of four axes, (rows, 1, 1, length), are laid out by whoever calls such a model.
    middle = (1,) * (len(spec.axes) - 2)
    shaped: Array = array.reshape(array.shape[0], *middle, array.shape[1]).astype(spec.dtype.numpy())
    return shaped
