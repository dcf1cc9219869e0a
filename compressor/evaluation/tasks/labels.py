"""Read labels as data files spell them: numbers, names, lists of either."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.tasks.contract import Labelling
from compressor.evaluation.wording import shown

_SHOWN = 5


def classes_of(labelling: Labelling) -> Array:
    """Read one class a sample.

    Raises:
        OptionError: a label is no class.
    """
    values = zip(labelling.values, labelling.places, strict=True)
    return np.array([class_of(value, place, labelling) for value, place in values], dtype=np.int64)


def class_of(value: object, place: str, labelling: Labelling) -> int:
    """Number a class given by name or number; the names of ``config.json`` go first."""
    value = _single(value)
    text = str(value).strip()
    if text in labelling.names:
        return labelling.names[text]
    folded = [number for name, number in labelling.names.items() if name.casefold() == text.casefold()]
    if len(folded) == 1:
        return folded[0]
    number = _number(value)
    is_whole = number is not None and number.is_integer() and number >= 0
    if number is not None and is_whole and (not labelling.names or number < len(labelling.names)):
        return int(number)
    raise OptionError(f"{place}: label {shown(value)} is {_not_known(labelling, is_number=number is not None)}")


def numbers_of(labelling: Labelling) -> Array:
    """Read one finite number a sample.

    Raises:
        OptionError: a label is no number.
    """
    found = []
    for value, place in zip(labelling.values, labelling.places, strict=True):
        try:
            number = float(_single(value))  # type: ignore[arg-type]  # what is no number is caught
        except (TypeError, ValueError, OverflowError):
            number = float("nan")
        if not np.isfinite(number):
            raise OptionError(f"{place}: label {shown(value)} is not a number")
        found.append(number)
    return np.array(found)


def list_of(value: object) -> Sequence[object]:
    """Take a list as it is; read JSON, or cut a text at the first of ``|``, ``;`` and ``,`` that it has."""
    if isinstance(value, np.ndarray):
        return list(value.tolist())
    if isinstance(value, list):
        return value
    text = "" if value is None else str(value).strip()
    if text.startswith("["):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, list):
            return parsed
    separator = next((sign for sign in "|;," if sign in text), None)
    parts = text.split(separator) if separator else [text]
    return [part.strip() for part in parts if part.strip()]


def words_of(value: object) -> Sequence[object]:
    """Take a list as it is; cut a text at blanks."""
    if isinstance(value, str) and not value.strip().startswith("["):
        return re.split(r"\s+", value.strip()) if value.strip() else []
    return list_of(value)


def _single(value: object) -> object:
    """Unpack the one label of a row of an array of shape (rows, 1)."""
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]  # what is no number is caught
    except (TypeError, ValueError, OverflowError):
        return None


def _not_known(labelling: Labelling, *, is_number: bool) -> str:
    if not labelling.names and is_number:
        return "no class; classes count from 0 in whole numbers"
    if not labelling.names:
        return "a name, and no config.json beside the model says which number it has; give numbers, or add config.json"
    first = ", ".join(list(labelling.names)[:_SHOWN]) + (", ..." if len(labelling.names) > _SHOWN else "")
    return f"none of the {len(labelling.names)} labels in {labelling.names_source} ({first})"
