"""Load a model without its weights: each large one is a reference into the file that holds it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types

from compressor.errors import ModelError
from compressor.model import wire
from compressor.model.carried import Carried
from compressor.model.check import (
    check_inline_tensor,
    check_structure,
    check_texts,
    needed_bytes,
    proto_tensors,
    shown_dims,
)
from compressor.model.external import DataFolder
from compressor.model.files import DataFile
from compressor.model.garbage import collection_paused
from compressor.model.order import sort_nodes
from compressor.model.skeleton import Skeleton, from_skeleton
from compressor.model.weights import DetachedWeight, StoredWeight, new_token

LARGE = 1024
"""Bytes from which a weight stays in its file; smaller ones cost less inline than a reference does."""

_LONGEST_MESSAGE = 600
"""Characters of a refusal that are shown; names in a file can be a million characters long."""

_NOT_MODELS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the model; run 'git lfs pull'",
    b"PK\x03\x04": "is a zip archive (a PyTorch checkpoint, perhaps), not an ONNX model",
    b"\x1f\x8b": "is a gzip archive; unpack it first",
    b"<": "is a web page or XML, not an ONNX model; download the file itself",
    b"{": "is JSON, not an ONNX model",
    b"\x89HDF": "is an HDF5 file, not an ONNX model; export it to ONNX first",
}


@dataclass(frozen=True, slots=True)
class Examined:
    """A file that was read and holds a sound model, of which no :class:`onnx_ir.Model` has been made.

    Attributes:
        skeleton: the model.
        facts: what is to travel with it.
        slim: the file without its large weights, each of which is a reference to a token.
        found: first byte and length, in the file, of the weight of each of these tokens.
    """

    skeleton: Skeleton
    facts: Carried
    slim: bytes
    found: Mapping[str, tuple[int, int]]


@collection_paused()
def load(path: str | os.PathLike[str]) -> ir.Model:
    """Load the model at `path`; weights of 1 kB or more are left where they are.

    Raises:
        ModelError: the file, or data it points to, is missing, malformed or unsafe; the text says what and where.
    """
    with _said_of(Path(path)):
        examined = _examine(DataFile(Path(path)))
        try:
            return from_skeleton(examined.skeleton, examined.facts)
        except ir.serde.SerdeError as error:  # what the checker lets through, for example an unknown type of a value
            raise ModelError(f"is not a valid ONNX model: {_first_cause(error)}") from error


@collection_paused()
def examine(path: Path) -> Examined:
    """Read and check the file at `path` as :func:`load` does, and stop there.

    Raises:
        ModelError: as for :func:`load`.
    """
    with _said_of(path):
        return _examine(DataFile(path))


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """Let errors name the file, once, at a readable length."""
    try:
        yield
    except ModelError as error:
        text = str(error).removeprefix(f"{path}: ")
        shown = text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}..."
        raise ModelError(f"{path}: {shown}") from error.__cause__


def _examine(file: DataFile) -> Examined:
    _refuse_other_formats(file)
    slim, found = wire.detach(file.window(), new_token, at_least=LARGE)
    try:
        proto = onnx.ModelProto.FromString(slim)
    except DecodeError as error:
        raise ModelError("is not an ONNX model, or is damaged: its protobuf cannot be parsed") from error
    check_texts(proto)
    folder = DataFolder(file)
    weights = _resolve(proto, file, found, folder)
    sort_nodes(proto.graph)
    check_structure(proto)
    facts = Carried(source=file.path, files=(file, *folder.files), warnings=tuple(_warnings(proto)))
    return Examined(Skeleton(proto, weights), _note_interface(proto, facts), slim, found)


def _first_cause(error: BaseException) -> str:
    """What went wrong at first, on one line; the errors around it repeat the whole model."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


def _refuse_other_formats(file: DataFile) -> None:
    if file.size == 0:
        raise ModelError("is empty; export or download it again")
    start = file.read(0, min(file.size, 512))
    if start[4:8] == b"ORTM":
        raise ModelError("is in ONNX Runtime's own .ort format; give the .onnx file it was made from")
    for magic, reason in _NOT_MODELS.items():
        if start.lstrip().startswith(magic):
            raise ModelError(reason)


def _resolve(
    proto: onnx.ModelProto, file: DataFile, found: dict[str, tuple[int, int]], folder: DataFolder
) -> dict[str, DetachedWeight]:
    """Check every tensor, and make a stored weight of each that is not inline."""
    weights: dict[str, DetachedWeight] = {}
    for tensor in proto_tensors(proto):
        name = f"{file.path}: weight {tensor.name!r}"
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            check_inline_tensor(tensor, name)
            continue
        needed = needed_bytes(tensor, name)
        token = tensor.external_data[0].value if tensor.external_data else ""
        if any(entry.value in found for entry in tensor.external_data):
            _refuse_a_second_part(tensor, name)
            holder, (start, length) = file, found[token]
            if length != needed or tensor.data_type == onnx.TensorProto.STRING:
                raise ModelError(f"{name} holds {length} bytes, dims {shown_dims(tensor)} need {needed}")
        else:
            _refuse_other_data(tensor, name)
            holder, start = folder.locate(tensor, needed)
            token = new_token()
            del tensor.external_data[:]
            tensor.external_data.add(key="location", value=token)
        weights[token] = StoredWeight(
            holder, start, ir.DataType(tensor.data_type), ir.Shape(tensor.dims), name=tensor.name,
            doc_string=tensor.doc_string, metadata_props={p.key: p.value for p in tensor.metadata_props},
        )  # fmt: skip
    return weights


def _refuse_a_second_part(tensor: onnx.TensorProto, name: str) -> None:
    """Refuse a tensor whose message is in the file more than once; only its first bytes would be found.

    Readers of protobuf merge such messages, and take the last bytes.
    """
    if len(tensor.external_data) > 1 or _holds_data(tensor):
        raise ModelError(f"{name} is in the file in several parts; export it again")


def _refuse_other_data(tensor: onnx.TensorProto, name: str) -> None:
    if tensor.data_type == onnx.TensorProto.STRING:
        raise ModelError(f"{name} is a string tensor in external data, which ONNX does not allow")
    if _holds_data(tensor):
        raise ModelError(
            f"{name} is external and holds data of its own as well; refused, readers disagree on which counts"
        )


def _holds_data(tensor: onnx.TensorProto) -> bool:
    inline = onnx.TensorProto()
    inline.CopyFrom(tensor)
    for field in (
        "dims",
        "data_type",
        "name",
        "doc_string",
        "external_data",
        "data_location",
        "metadata_props",
        "segment",
    ):
        inline.ClearField(field)
    return bool(inline.ByteSize())


def _note_interface(proto: onnx.ModelProto, facts: Carried) -> Carried:
    """Note inputs and outputs word for word; take out the inputs that IR version 3 lists for its constants.

    ONNX Runtime treats the initializers of such a model as constants although they are listed as inputs.
    """
    graph = proto.graph
    listed: tuple[bytes, ...] = ()
    if proto.ir_version < 4:
        names = {tensor.name for tensor in graph.initializer}
        listed = tuple(info.SerializeToString() for info in graph.input if info.name in names)
        kept = [info for info in graph.input if info.name not in names]
        del graph.input[:]
        graph.input.extend(kept)
    return replace(
        facts,
        inputs=tuple(info.SerializeToString() for info in graph.input),
        outputs=tuple(info.SerializeToString() for info in graph.output),
        listed_inputs=listed,
    )


def _warnings(proto: onnx.ModelProto) -> list[str]:
    if not proto.training_info:
        return []
    proto.ClearField("training_info")
    return ["the training information in the file is left out: it names weights that the passes change"]
