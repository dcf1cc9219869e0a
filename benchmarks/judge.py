"""Judge one result against its original, the same way whoever made it, and print the findings as JSON.

python benchmarks/judge.py findings|latency ORIGINAL RESULT THREADS

Findings are what holds for the bytes of a result, however often it is looked at; latency is another every time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from feeds import SIZES, Feeds, Padding, make_feeds
from numpy.typing import NDArray
from onnx import numpy_helper
from task import count_right_answers

LATENCY_POSITIONS = (128, 64, 32, 16)
"""Lengths to time at, one row each; the first that the original can run."""

LATENCY_RUNS, LATENCY_SECONDS = 5, 3.0
"""Turns at least, and seconds at least."""


def count_bytes(path: Path) -> dict[str, int]:
    """Count the bytes of a model's files, and of weights stored again: as they are, or transposed."""
    model = onnx.load(path, load_external_data=False)
    storages: dict[object, onnx.TensorProto] = {}
    files = {path.name}
    for tensor in _tensors(model.graph, *model.functions):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place = onnx.external_data_helper.ExternalDataInfo(tensor)
            files.add(place.location)
            # Names that point at the same bytes of a file share them: no second copy.
            storages.setdefault((place.location, place.offset), tensor)
        elif tensor.data_type != onnx.TensorProto.STRING:
            storages[len(storages)] = tensor
    copies = transposed = 0
    seen: set[bytes] = set()
    for tensor in storages.values():
        values = numpy_helper.to_array(tensor, str(path.parent))
        exact = _fingerprint(tensor, values)
        if exact in seen:
            copies += values.nbytes
        elif values.ndim == 2 and min(values.shape) > 1 and _fingerprint(tensor, values.T) in seen:
            transposed += values.nbytes
        seen.add(exact)
    total = sum((path.parent / name).stat().st_size for name in files)
    return {"total_bytes": total, "duplicate_bytes": copies, "transposed_duplicate_bytes": transposed}


def _fingerprint(tensor: onnx.TensorProto, values: NDArray[Any]) -> bytes:
    digest = hashlib.sha256(f"{tensor.data_type} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return digest.digest()


def _tensors(*graphs: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.TensorProto]:
    for graph in graphs:
        yield from getattr(graph, "initializer", ())
        for attribute in (attribute for node in graph.node for attribute in node.attribute):
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == onnx.AttributeProto.GRAPH:
                yield from _tensors(attribute.g)


def open_session(path: Path, threads: int) -> Any:  # onnxruntime has no type information
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Idle threads of one session would otherwise spin through the other's turn: a model timed against itself was
    # found 5 times slower.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def first_outputs(path: Path, threads: int, batches: Sequence[Feeds]) -> list[NDArray[Any]]:
    """What a model gives as its first output; it is closed again, so that two large ones are never open at once."""
    session = open_session(path, threads)
    return [session.run(None, feeds)[0] for feeds in batches]


def measure_drift(
    expected: Sequence[NDArray[Any]], given: Sequence[NDArray[Any]], batches: Sequence[Feeds]
) -> dict[str, float]:
    """Compare first outputs over all batches, at the positions the mask leaves in.

    max_rel is the largest difference divided by the largest value of the original; cosine_min and top1 are per row
    along the last axis.
    """
    pairs = []
    for feeds, *outputs in zip(batches, expected, given, strict=True):
        one, other = (output.astype(np.float64) for output in outputs)
        if one.shape != other.shape:
            raise ValueError(f"output has shape {other.shape}, the original's has {one.shape}")
        if not np.isfinite(other).all() and np.isfinite(one).all():
            raise ValueError("outputs are not finite, the original's are")
        kept = _attended(feeds, one)
        pairs.append((one[kept].reshape(-1, one.shape[-1]), other[kept].reshape(-1, one.shape[-1])))
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    cosines = np.divide((one * other).sum(axis=-1), norms, out=np.zeros(len(one)), where=norms > 0)
    cosines[(one == other).all(axis=-1)] = 1.0  # rows of zeros have no angle, but may well be equal
    return {
        "max_rel": float(np.abs(one - other).max() / np.abs(one).max()),
        "cosine_min": float(cosines.min()),
        "top1": float((one.argmax(axis=-1) == other.argmax(axis=-1)).mean()),
        "rows": len(one),
    }


def _attended(feeds: Feeds, output: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Positions of `output` that mean something: a padded position has no defined answer."""
    mask = feeds.get("attention_mask")
    if mask is not None and output.ndim == 3 and "decoder_input_ids" not in feeds:
        return mask.astype(np.bool_)
    return np.ones(output.shape[:-1], dtype=np.bool_)


def measure_latency(original: Any, result: Any, signature: onnx.ModelProto) -> dict[str, float]:
    """Time both by turns; the fastest run of each in milliseconds.

    On a busy machine the fastest run is the one that was disturbed least: medians of a model timed against itself were
    found between 0.16 and 8.8 of one another.
    """
    positions, feeds = _longest(original, signature)
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + LATENCY_SECONDS
    while len(times[1]) < LATENCY_RUNS or time.perf_counter() < end:
        for session, taken in zip((original, result), times, strict=True):
            start = time.perf_counter()
            session.run(None, feeds)
            taken.append(1000 * (time.perf_counter() - start))
    return {"positions": positions, "original_ms": min(times[0]), "result_ms": min(times[1]), "turns": len(times[0])}


def _longest(original: Any, signature: onnx.ModelProto) -> tuple[int, Feeds]:
    for positions in LATENCY_POSITIONS:
        feeds = make_feeds(signature, rows=1, positions=positions, padding=Padding.NONE)
        with contextlib.suppress(Exception):  # longer than the model's position table
            original.run(None, feeds)
            return positions, feeds
    raise ValueError(f"the original runs at none of the lengths {LATENCY_POSITIONS}")


def judge(original_path: Path, result_path: Path, threads: int) -> dict[str, Any]:
    """Collect what there is to find out about the bytes; what cannot be is said in `refused`."""
    findings: dict[str, Any] = {"refused": "", **count_bytes(result_path)}
    signature = onnx.load(original_path, load_external_data=False)
    try:
        batches = [
            make_feeds(signature, rows=rows, positions=positions, padding=padding)
            for padding in (Padding.RIGHT, Padding.ANY)
            for rows, positions in SIZES
        ]
        expected, given = (first_outputs(path, threads, batches) for path in (original_path, result_path))
        right, left = slice(len(SIZES)), slice(len(SIZES), None)
        findings["drift_right_padding"] = measure_drift(expected[right], given[right], batches[right])
        findings["drift_any_padding"] = measure_drift(expected[left], given[left], batches[left])
        findings["task"] = count_right_answers(open_session(result_path, threads), original_path.parent)
    except Exception as error:  # noqa: BLE001 - a foreign model may fail in any way, and that is a finding
        findings["refused"] = _first_line(error)
    return findings


def judge_latency(original_path: Path, result_path: Path, threads: int) -> dict[str, Any]:
    """Time one run of both by turns."""
    signature = onnx.load(original_path, load_external_data=False)
    try:
        return measure_latency(open_session(original_path, threads), open_session(result_path, threads), signature)
    except Exception as error:  # noqa: BLE001 - the same
        return {"refused": _first_line(error)}


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


if __name__ == "__main__":
    ask = {"findings": judge, "latency": judge_latency}[sys.argv[1]]
    print(json.dumps(ask(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
