"""An ordered chain of configured passes: the default one, one by names, or one from a TOML file."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from compressor.errors import OptionError
from compressor.passes.contract import Pass
from compressor.passes.deduplicate import DeduplicateInitializers
from compressor.passes.fuse import FuseTransformer
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantize import QuantizeDynamic
from compressor.passes.smooth import SmoothActivations
from compressor.passes.target import Target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # the same module under the name it had before Python 3.11

PASSES: dict[str, type[Pass]] = {
    "deduplicate": DeduplicateInitializers,
    "fuse": FuseTransformer,
    "smooth": SmoothActivations,
    "quantize": QuantizeDynamic,
}
"""Every pass, by the name users give it."""

MARK = "[[pass]]"
"""What every recipe file that is written begins with; it tells our files from others."""

_MOST_BYTES = 1 << 20
"""Of a recipe; a device has no end."""

DEFAULT_PASSES = ("deduplicate", "fuse", "smooth", "quantize")


@dataclass(frozen=True)
class Recipe:
    """Passes in the order in which they run.

    A recipe file is TOML with one ``[[pass]]`` table a pass: its ``name``, and any of its options by name.
    """

    passes: tuple[Pass, ...]

    @classmethod
    def default(cls) -> Recipe:
        """Deduplicate, fuse, smooth, quantize, each with its default options."""
        return cls.from_names(DEFAULT_PASSES)

    @classmethod
    def from_names(cls, names: Sequence[str]) -> Recipe:
        """Take passes by name, each with its default options.

        Raises:
            OptionError: there is no pass of that name, or no name at all.
        """
        if not names:
            raise OptionError(f"no pass is named; choose from {', '.join(PASSES)}")
        return cls(tuple(_make(name, {}, "") for name in names))

    @classmethod
    def from_toml(cls, path: Path) -> Recipe:
        """Read a recipe file.

        Raises:
            OptionError: the file is missing or not TOML, or names a pass or an option that does not exist or fit.
        """
        try:
            with path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                raise OptionError(f"{path}: is larger than {_MOST_BYTES >> 20} MiB, which no recipe is")
            tables = tomllib.loads(content.decode())
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not UTF-8 text"
            raise OptionError(f"{path}: the recipe cannot be read: {reason}") from error
        except ValueError as error:  # TOMLDecodeError is one, and a number of 5,000 digits raises no other
            raise OptionError(f"{path}: is not TOML: {error}") from error
        except RecursionError as error:
            raise OptionError(f"{path}: is nested too deeply for a recipe; it holds [[pass]] tables only") from error
        unknown = set(tables) - {"pass"}
        if unknown:
            raise OptionError(f"{path}: has {', '.join(sorted(unknown))}; a recipe holds [[pass]] tables only")
        entries = tables.get("pass")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries) or not entries:
            raise OptionError(f"{path}: holds no [[pass]] table; give one for each pass")
        return cls(tuple(_from_table(entry, f"{path}: ") for entry in entries))

    def for_target(self, target: Target) -> Recipe:
        """The same passes, whose results may hold the operators of `target`.

        Raises:
            OptionError: none of them puts operators in.
        """
        if not any(hasattr(step, "target") for step in self.passes):
            raise OptionError(f"target {target.value!r} is of no use here: none of the passes puts operators in")
        option: dict[str, Any] = {"target": target}  # a field of some passes, which mypy cannot know of a Pass
        return Recipe(
            tuple(dataclasses.replace(step, **option) if hasattr(step, "target") else step for step in self.passes)
        )

    def with_scheme(self, scheme: Scheme) -> Recipe:
        """The same passes, with weights quantized under `scheme`.

        Raises:
            OptionError: none of the passes quantizes.
        """
        if not any(isinstance(step, QuantizeDynamic) for step in self.passes):
            raise OptionError(f"scheme {scheme.value!r} is of no use here: none of the passes is 'quantize'")
        return Recipe(
            tuple(dataclasses.replace(p, scheme=scheme) if isinstance(p, QuantizeDynamic) else p for p in self.passes)
        )

    def excluding(self, globs: Sequence[str]) -> Recipe:
        """The same passes, with more weights left in float; see :class:`QuantizeDynamic`.

        Raises:
            OptionError: none of the passes quantizes.
        """
        if not any(isinstance(step, QuantizeDynamic) for step in self.passes):
            raise OptionError(f"nothing to exclude {globs[0]!r} from: none of the passes is 'quantize'")
        return Recipe(
            tuple(
                dataclasses.replace(step, exclude=(*step.exclude, *globs))
                if isinstance(step, QuantizeDynamic)
                else step
                for step in self.passes
            )
        )

    def to_toml(self) -> str:
        """Write the recipe so that :meth:`from_toml` gives it back; every option is named."""
        lines: list[str] = []
        for step in self.passes:
            lines += ["[[pass]]", f'name = "{step.name}"']
            lines += [f"{field.name} = {_literal(getattr(step, field.name))}" for field in dataclasses.fields(step)]
            lines.append("")
        return "\n".join(lines)


def _from_table(table: Mapping[str, Any], where: str) -> Pass:
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise OptionError(f"{where}a [[pass]] table has no name; choose from {', '.join(PASSES)}")
    return _make(name, options, where)


def _make(name: str, options: Mapping[str, Any], where: str) -> Pass:
    if name not in PASSES:
        raise OptionError(f"{where}there is no pass {name!r}; choose from {', '.join(PASSES)}")
    kind = PASSES[name]
    default = kind()
    known = [field.name for field in dataclasses.fields(kind)]
    values = {}
    for option, value in options.items():
        if option not in known:
            offered = ", ".join(known) or "it has none"
            raise OptionError(f"{where}pass {name!r} has no option {option!r}; its options: {offered}")
        values[option] = _fit(value, getattr(default, option), f"{where}option {option!r} of pass {name!r}")
    try:
        return dataclasses.replace(default, **values)
    except OptionError as error:
        raise OptionError(f"{where}{error}") from error


def _fit(value: Any, example: Any, where: str) -> Any:
    """Turn a TOML value into the kind of value that the option's default is."""
    if isinstance(example, Enum):
        chosen = [member for member in type(example) if member.value == value]
        if not chosen:
            choices = ", ".join(str(member.value) for member in type(example))
            raise OptionError(f"{where} is {value!r}; choose from {choices}")
        return chosen[0]
    if isinstance(example, tuple | frozenset):
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise OptionError(f"{where} is {value!r}; it takes a list of texts")
        return type(example)(value)
    is_number = isinstance(example, float) and isinstance(value, int) and not isinstance(value, bool)
    if type(value) is not type(example) and not is_number:
        raise OptionError(f"{where} is {value!r}; it takes a value like {example!r}")
    return type(example)(value)


def _literal(value: Any) -> str:
    if isinstance(value, Enum):
        return _literal(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset):
        return _literal(tuple(sorted(value)))
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, str):
        # A JSON string is a TOML string but for one character, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
