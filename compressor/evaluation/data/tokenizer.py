"""Open the tokenizer of a model, and find out how long its texts may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressor.errors import OptionError
from compressor.evaluation.data.companions import Companions, read_text

USUAL_LENGTH = 512
"""Tokens of a text where nothing says how many a model takes: the length most encoders were trained with."""

_ENDLESS = 1_000_000
"""Exporters write 10^30 for a tokenizer without a limit."""

_MOST_TOKENS = 1 << 31
"""What an input of int32 can name."""

_OFFSET_POSITIONS = ("roberta", "camembert", "mpnet", "longformer", "esm", "data2vec-text", "xmod", "ibert")
"""Families whose position table has entries that no token uses: positions start after the padding token's number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """How a model wants its texts.

    Attributes:
        tokenizer: of the package ``tokenizers``, with neither padding nor truncation set.
        longest: most tokens of a row.
        padding: the token that fills rows up.
        padding_type: its token type.
        is_left_padded: padding goes before the text.
    """

    tokenizer: Any
    longest: int
    padding: int
    padding_type: int
    is_left_padded: bool


def open_tokenizer(given: Path | None, companions: Companions, fixed_length: int | None) -> TextSettings:
    """Open the tokenizer that is given, or the one beside the model.

    Args:
        given: a ``tokenizer.json``.
        companions: the files beside the model.
        fixed_length: tokens of a row where the graph fixes them.

    Raises:
        OptionError: there is none, it cannot be read, or the package ``tokenizers`` is not installed.
    """
    path = given or companions.find("tokenizer.json")
    if path is None:
        raise OptionError(
            f"{companions.folders[0]}: has no tokenizer.json, which texts need; name one with --tokenizer FILE"
        )
    tokenizer = _load(path)
    settings, config = companions.read("tokenizer_config.json"), companions.read("config.json")
    padding, truncation = tokenizer.padding or {}, tokenizer.truncation or {}
    limits = [
        fixed_length,
        truncation.get("max_length"),
        _limit(settings.get("model_max_length")),
        *_positions(config),
    ]
    tokenizer.no_padding()
    tokenizer.no_truncation()
    side = str(settings.get("padding_side") or padding.get("direction") or "right").lower()
    return TextSettings(
        tokenizer=tokenizer,
        longest=min([limit for limit in limits if limit], default=USUAL_LENGTH),
        padding=_padding_id(tokenizer, padding, settings, config),
        padding_type=int(padding.get("pad_type_id", 0)),
        is_left_padded=side == "left",
    )


def _load(path: Path) -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise OptionError(
            "reading texts needs the package tokenizers; install it with: pip install 'onnx-compressor[text]'"
        ) from error
    with failures_in_words(f"{path}: is not a tokenizer"):
        return tokenizers.Tokenizer.from_str(read_text(path))


@contextmanager
def failures_in_words(subject: str) -> Iterator[None]:
    """Turn what the package raises into an OptionError: plain exceptions, and panics, which are none."""
    try:
        yield
    except OptionError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise OptionError(f"{subject}: {(str(error) or type(error).__name__).splitlines()[0]}") from error


def _positions(config: Mapping[str, Any]) -> list[int | None]:
    """Read the length of the position table off ``config.json``."""
    longest = _limit(config.get("max_position_embeddings")) or _limit(config.get("n_positions"))
    is_offset = any(family in str(config.get("model_type")) for family in _OFFSET_POSITIONS)
    padding = config.get("pad_token_id")
    reserved = (padding if isinstance(padding, int) and padding > 0 else 1) + 1
    return [longest - reserved if longest and is_offset and longest > reserved else longest]


def _limit(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and 0 < value < _ENDLESS else None


def _padding_id(
    tokenizer: Any, padding: Mapping[str, Any], settings: Mapping[str, Any], config: Mapping[str, Any]
) -> int:
    """Find the padding token; 0 where there is none, as masks hide it."""
    token = settings.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    known = tokenizer.token_to_id(token) if isinstance(token, str) else None
    for found in (padding.get("pad_id"), known, config.get("pad_token_id"), config.get("eos_token_id")):
        if isinstance(found, int) and 0 <= found < _MOST_TOKENS:
            return found
    return 0
