"""Write a model whole or not at all: private temporary files, flushed, read back, then renamed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir

from compressor.errors import ModelError, OutputError
from compressor.model import wire
from compressor.model.carried import Carried, carried
from compressor.model.disk import check_room
from compressor.model.drafts import (
    finish_file,
    mode_for,
    publishing,
    remove_abandoned,
    temporary_file,
    temporary_name,
)
from compressor.model.garbage import collection_paused
from compressor.model.layout import DIGEST_LENGTH, Layout, lay_out
from compressor.model.load import examine
from compressor.model.loadable import is_utf8, runtime_refusal
from compressor.model.weights import DetachedWeight

Progress = Callable[[int, int], None]
"""Told bytes written so far, and bytes in all."""


def check_output(out: Path, model: ir.Model, *, overwrite: bool) -> None:
    """Refuse an output that cannot be written, or would destroy what is there, before any work is done.

    Raises:
        OutputError: the folder is missing or not writable, `out` is a folder, one of the model's own files, a name that
            the file system does not take, or exists and `overwrite` is not set.
    """
    folder = out.parent
    _check_name(out)
    if not folder.is_dir():
        raise OutputError(f"{out}: the folder {folder} does not exist; create it first")
    if out.is_dir():
        raise OutputError(f"{out}: is a folder; name a file in it")
    facts = carried(model)
    for file in facts.files if facts else ():
        if file.is_same_file(out):
            raise OutputError(f"{out}: is the input (or its data file), which is never written; choose another output")
    if os.path.lexists(out) and not overwrite:
        raise OutputError(f"{out}: exists; choose another output, or allow overwriting it (--force)")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{out}: the folder {folder} is not writable")


def _check_name(out: Path) -> None:
    """Look for the longest name that a save gives, that of the temporary file; it need not be there."""
    try:
        os.lstat(temporary_name(out))
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{out}: cannot be written: {reason}; choose another output") from error


def save(model: ir.Model, out: Path, *, overwrite: bool = False, progress: Progress | None = None) -> tuple[Path, ...]:
    """Write `model` to `out`, and its weights to a data file beside it where one message cannot hold them.

    The data file's name holds a digest of its content, so an old ``.onnx`` can never meet new weights: if the program
    dies between the two renames, the old model is still whole. Memory needed is that of one chunk of one weight.

    Args:
        model: what to write.
        out: path of the ``.onnx`` file.
        overwrite: replace an existing `out`; its mode is kept. A link is replaced, not written through.
        progress: told how far it is.

    Returns:
        The files written, `out` first.

    Raises:
        OutputError: as :func:`check_output`, or the disk has no room or fails; then nothing is left behind.
    """
    check_output(out, model, overwrite=overwrite)
    remove_abandoned(out)
    layout = lay_out(model)
    if not layout.is_embedded and not is_utf8(Path(out.name)):
        raise OutputError(f"{out}: the model must name its data file in UTF-8, as this name is not; choose another")
    check_room(out, layout.total_bytes)
    try:
        return _write(model, layout, out, progress or (lambda done, total: None))
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}; nothing was left behind") from error


def _write(model: ir.Model, layout: Layout, out: Path, progress: Progress) -> tuple[Path, ...]:
    replaces = out.exists()
    mode = mode_for(out)
    tell = _Meter(progress, layout.total_bytes)
    if layout.is_embedded:
        with temporary_file(out) as (path, file):
            write_pieces(file, layout.main_file(""), layout.weights, tell.add)
            finish_file(file, mode)
            verify_written(path, model)
            with publishing(out.parent):
                path.replace(out)
                if replaces:
                    _remove_stale(out, model, keep=())
        written: tuple[Path, ...] = (out,)
    else:
        with temporary_file(out) as (data_path, data_file), temporary_file(out) as (path, file):
            data = out.with_name(f"{out.name}-{_write_data(data_file, layout, tell)}.data")
            write_pieces(file, layout.main_file(data.name), layout.weights, tell.add)
            finish_file(data_file, mode)
            finish_file(file, mode)
            with publishing(out.parent) as flush:
                _publish(path, out, data_path, data, model, flush)
                if replaces:
                    _remove_stale(out, model, keep=(data,))
        written = (out, data)
    return written


def _publish(path: Path, out: Path, data_path: Path, data: Path, model: ir.Model, flush: Callable[[], None]) -> None:
    """Give both files their names, the data file first."""
    is_new = not data.exists()
    data_path.replace(data)
    try:
        flush()
        verify_written(path, model)
        path.replace(out)
    except BaseException:
        if is_new:
            data.unlink(missing_ok=True)
        raise


def _remove_stale(out: Path, model: ir.Model, *, keep: tuple[Path, ...]) -> None:
    """Remove the data files of what `out` was before, except one that `model` itself is read from."""
    facts = carried(model)
    files = facts.files if facts else ()
    for path in _own_data_files(out):
        if path not in keep and not any(file.is_same_file(path) for file in files):
            with suppress(OSError):  # the result is whole without it
                path.unlink(missing_ok=True)


class _Meter:
    """Adds up bytes and tells."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def add(self, count: int) -> None:
        self._done += count
        self._progress(self._done, self._total)


def write_pieces(
    file: BinaryIO,
    pieces: list[wire.Piece],
    weights: Mapping[str, DetachedWeight],
    tell: Callable[[int], None] = lambda count: None,
) -> None:
    """Write `pieces` in order, each weight streamed from where it is; `tell` hears of the bytes of each."""
    for piece in pieces:
        if isinstance(piece, wire.Weight):
            _write_weight(file, weights[piece.token], piece.length)
            tell(piece.length)
        else:
            file.write(piece)
            tell(len(piece))


def _write_weight(file: BinaryIO, weight: DetachedWeight, length: int) -> None:
    before = file.tell()
    weight.tofile(file)
    if file.tell() - before != length:
        raise AssertionError(f"weight {weight.name!r} gave {file.tell() - before} bytes instead of {length}")


def _write_data(file: BinaryIO, layout: Layout, tell: _Meter) -> str:
    """Write the data file and return the digest of what it holds."""
    digest = hashlib.blake2b(digest_size=DIGEST_LENGTH // 2)
    position = 0
    for token, offset in sorted(layout.offsets.items(), key=lambda item: item[1]):
        if offset < position:
            continue  # an alias of what is there already
        padding = bytes(offset - position)
        file.write(padding)
        digest.update(padding)
        for chunk in layout.weights[token].chunks():
            file.write(chunk)
            digest.update(chunk)
            tell.add(len(chunk))
        position = offset + layout.weights[token].nbytes
    return digest.hexdigest()


@collection_paused()
def verify_written(path: Path, model: ir.Model) -> None:
    """Read the written file back as a user would, and hold its interface and opsets against the model's.

    What is examined is checked as well, by the onnx package too. The runtime is asked last.

    Raises:
        OutputError: the file is not what was written, or its source has changed meanwhile, or ONNX Runtime refuses it
            although it takes the source.
    """
    try:
        written = examine(path)
    except ModelError as error:
        raise OutputError(f"the result cannot be read back from the disk: {error}; nothing was left behind") from error
    before, proto = carried(model), written.skeleton.proto
    for file in before.files if before is not None else ():
        if file.has_changed():
            raise OutputError(f"{file.path}: was written to while it was read; nothing was left behind; run it again")
    if before is not None and _interface(before) != _interface(written.facts):
        raise AssertionError("the result has another interface than the source")
    opsets = {opset.domain: opset.version for opset in proto.opset_import}
    if opsets != dict(model.opset_imports) or proto.ir_version != model.ir_version:
        raise AssertionError("the result has other versions than the model")
    refusal = runtime_refusal(path, written)
    if refusal is not None and before is not None and runtime_refusal(before.source, examine(before.source)) is None:
        raise OutputError(
            f"ONNX Runtime takes the source but not the result: {refusal}; nothing was left behind; please report it"
        )


def _interface(facts: Carried) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    return facts.inputs, facts.outputs


def _own_data_files(out: Path) -> list[Path]:
    """Data files that earlier saves to `out` wrote."""
    pattern = re.compile(re.escape(f"{out.name}-") + rf"[0-9a-f]{{{DIGEST_LENGTH}}}\.data")
    return [path for path in out.parent.iterdir() if pattern.fullmatch(path.name)]
