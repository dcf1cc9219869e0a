"""Read the small JSON files that exporters leave beside a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressor.errors import OptionError

MOST_BYTES = 256 << 20
"""The largest tokenizers weigh 35 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Companions:
    """The folders in which a model's companions are: its own; its parent's too where that is called ``onnx``."""

    folders: tuple[Path, ...]

    @classmethod
    def beside(cls, model: Path) -> Companions:
        """Look where the exporters of Hugging Face put things."""
        folder = model.parent
        return cls(folders=(folder, folder.parent) if folder.resolve().name == "onnx" else (folder,))

    def find(self, name: str) -> Path | None:
        """Give the first file of that name."""
        return next((folder / name for folder in self.folders if (folder / name).is_file()), None)

    def read(self, name: str) -> Mapping[str, Any]:
        """Read a file of settings; empty where there is none.

        Raises:
            OptionError: it is not a JSON object.
        """
        path = self.find(name)
        return {} if path is None else read_object(path)

    def label_names(self) -> Mapping[str, int]:
        """Number of each label, from ``config.json``; empty where it does not say."""
        config = self.read("config.json")
        named, numbered = config.get("id2label"), config.get("label2id")
        try:
            if isinstance(named, dict):
                return {str(name): int(number) for number, name in named.items()}
            return {str(name): int(number) for name, number in (numbered or {}).items()}
        except (TypeError, ValueError, AttributeError) as error:
            raise OptionError(f"{self.find('config.json')}: id2label or label2id does not number its labels") from error


def read_object(path: Path) -> Mapping[str, Any]:
    """Read a JSON object of bounded size.

    Raises:
        OptionError: it is none, or the file cannot be read.
    """
    try:
        parsed = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{path}: is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise OptionError(f"{path}: holds a JSON {type(parsed).__name__}, an object is wanted")
    return parsed


def read_text(path: Path) -> str:
    """Read a UTF-8 text of bounded size.

    Raises:
        OptionError: it is none, or the file cannot be read.
    """
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MOST_BYTES:
            raise OptionError(f"{path}: is not a file of at most {MOST_BYTES >> 20} MiB; name another")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{path}: is not UTF-8 text (byte {error.start})") from error
