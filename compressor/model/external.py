"""Open the data files a model points to, and let none of them lead out of the model's folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import onnx

from compressor.errors import ModelError
from compressor.model.files import DataFile

_KNOWN_KEYS = ("location", "offset", "length")
_LARGEST_OFFSET = 2**63 - 1
_LONGEST_QUOTE = 200


class DataFolder:
    """The data files of one model, each opened once, checked, and read from that descriptor.

    A location may lead to a file below the model's folder, or below the folder that really holds the model file: in the
    Hugging Face cache ``model.onnx`` and its data are links into one folder of blobs.
    """

    def __init__(self, model_file: DataFile) -> None:
        self._file = model_file
        self._model = model_file.path
        folder = Path(os.path.abspath(model_file.path)).parent  # noqa: PTH100 - keeps links, resolve() would not
        self._folder = folder
        self._roots = (folder.resolve(), model_file.path.resolve().parent)
        self._opened: dict[Path, DataFile] = {}
        self._by_location: dict[str, DataFile] = {}  # thousands of weights name the same few

    @property
    def files(self) -> tuple[DataFile, ...]:
        """Every data file opened so far, without the model file."""
        return tuple(self._opened.values())

    def locate(self, tensor: onnx.TensorProto, needed: int) -> tuple[DataFile, int]:
        """Find the `needed` bytes of an external tensor: the open file that holds them, and the first byte.

        Raises:
            ModelError: the entry is malformed, leads outside, or names bytes that are not there.
        """
        name = f"{self._model}: weight {tensor.name!r}"
        entries = _entries(tensor.external_data, name)
        offset = _number(entries.get("offset", "0"), "offset", name)
        length = _number(entries["length"], "length", name) if "length" in entries else needed
        if length != needed:
            raise ModelError(f"{name} needs {needed} bytes, its external data entry says {length}; export it again")
        location = entries["location"]
        if location not in self._by_location:
            self._by_location[location] = self._open(location, name)
        file = self._by_location[location]
        if offset + needed > file.size:
            raise ModelError(
                f"{name} needs bytes {offset} to {offset + needed}, {file.path.name} has {file.size}; "
                "copy the whole data file beside the model"
            )
        return file, offset

    def _open(self, location: str, name: str) -> DataFile:
        path = self._folder / self._checked(location, name)
        try:
            real = path.resolve(strict=True)
        except FileNotFoundError:
            raise ModelError(
                f"{name} is in {_quoted(location)}, which is missing; copy the data file beside the model"
            ) from None
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "its links lead in a circle"
            raise ModelError(f"{name}: {_quoted(location)} cannot be opened: {reason}") from error
        if not any(real.is_relative_to(root) for root in self._roots):
            raise ModelError(f"{name}: {_quoted(location)} leads outside the model's folder; refused")
        if self._file.is_same_file(real):
            return self._file  # the format allows it, and it is one file with one size
        if real not in self._opened:
            file = DataFile(real)
            if file.status.st_nlink > 1:
                raise ModelError(
                    f"{name}: {_quoted(location)} has {file.status.st_nlink} hard links, "
                    "so it may be a file from elsewhere; give it a copy of its own"
                )
            self._opened[real] = file
        return self._opened[real]

    def _checked(self, location: str, name: str) -> str:
        reason = ""
        if not location:
            reason = "is empty"
        elif "\0" in location:
            reason = "holds a NUL byte"
        elif location.startswith("*/_ORT_MEM_ADDR_"):
            reason = "is a memory address of a running program, not a file"
        elif location.startswith("/") or "\\" in location or location[1:2] == ":":
            reason = "is not a relative path with forward slashes"
        elif ".." in location.split("/"):
            reason = "leads outside the model's folder"
        elif location.rsplit("/", 1)[-1] in ("", "."):
            reason = "names a folder"
        if reason:
            raise ModelError(f"{name}: external data location {_quoted(location)} {reason}; refused")
        return location


def _entries(pairs: Iterable[onnx.StringStringEntryProto], name: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    for pair in pairs:
        if pair.key not in _KNOWN_KEYS:
            continue  # the format allows further keys, such as a checksum
        if pair.key in entries:
            raise ModelError(
                f"{name} has two external data entries called {pair.key!r}; refused, readers disagree on which counts"
            )
        entries[pair.key] = pair.value
    if "location" not in entries:
        raise ModelError(f"{name} is external but names no location; export it again")
    return entries


def _quoted(text: str) -> str:
    """`text` as a message shows it: what a file says can be a million characters long."""
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}...")


def _number(text: str, key: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or int(text) > _LARGEST_OFFSET:
        raise ModelError(f"{name}: external data {key} {_quoted(text)} is not a number of bytes")
    return int(text)
