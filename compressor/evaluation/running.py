"""Run a model in ONNX Runtime, whatever the element types, and give failures back as values."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import ml_dtypes
import numpy as np

from compressor.evaluation.contract import Array, Feeds, Outputs, Refusal, Samples, Session, describe_sizes
from compressor.model.memory import available_memory_only
from compressor.model.session import runtime_words

# ONNX Runtime's Python interface knows no NumPy form of these; they travel as the unsigned integers of their bits.
# (ONNX type number, NumPy type, carrier)
_BIT_TYPES: dict[str, tuple[int, Any, Any]] = {
    "tensor(bfloat16)": (16, ml_dtypes.bfloat16, np.uint16),
    "tensor(float8e4m3fn)": (17, ml_dtypes.float8_e4m3fn, np.uint8),
    "tensor(float8e4m3fnuz)": (18, ml_dtypes.float8_e4m3fnuz, np.uint8),
    "tensor(float8e5m2)": (19, ml_dtypes.float8_e5m2, np.uint8),
    "tensor(float8e5m2fnuz)": (20, ml_dtypes.float8_e5m2fnuz, np.uint8),
}
_FATAL_ONLY = 4

NO_SPINNING = {"session.intra_op.allow_spinning": "0"}
"""Threads that wait for work sleep instead of spinning: of two models timed in turns, the one that waits would take the
processor from the other. On two cores the speed-up of a 9 MB ALBERT came out at 0.9 to 1.8 with spinning, at 1.1 to 1.2
without."""

LONGEST_RUN = 180.0
"""Seconds after which a run is stopped: a loop without an end, or a model too slow for this machine."""

_LAST_NODE = 5.0
"""Seconds given to the operator that is running when a run is stopped."""


def run_batch(session: Session, feeds: Feeds) -> Outputs | Refusal:
    """Run one batch; a failure inside the runtime, or a run without an end, comes back as a refusal.

    The run has a thread of its own: the runtime answers no signal, so Ctrl-C would have to wait for it.
    """
    import onnxruntime

    options = onnxruntime.RunOptions()
    results: list[Outputs | Refusal] = []
    done = Event()  # an interrupted join() of Python 3.11 takes a running thread for finished

    def work() -> None:
        results.append(run_here(session, feeds, options))
        done.set()

    try:
        with available_memory_only():
            Thread(target=work, daemon=True).start()
            done.wait(LONGEST_RUN)
    finally:
        if not done.is_set():
            options.terminate = True
            done.wait(_LAST_NODE)
    if options.terminate or not results:
        return Refusal(reason=f"takes more than {LONGEST_RUN:g} s on {describe_sizes(feeds)}")
    return results[0]


def run_here(session: Session, feeds: Feeds, options: Any = None) -> Outputs | Refusal:
    """Run one batch that is known to run, in this thread and without limits, as it is timed."""
    import onnxruntime

    options = options or onnxruntime.RunOptions()
    # Failures are reported by us; the runtime would print them as well.
    options.log_severity_level = _FATAL_ONLY
    types = [value.type for value in (*session.get_inputs(), *session.get_outputs())]
    try:
        if any(kind in _BIT_TYPES for kind in types):
            return _run_bit_types(session, feeds, options)
        return tuple(session.run(None, dict(feeds), options))
    except Exception as error:  # noqa: BLE001 - the runtime raises plain RuntimeErrors and a dozen types of its own
        return Refusal(reason=f"does not run on {describe_sizes(feeds)}: {runtime_words(error)}")


def stream_samples(session: Session, samples: Samples) -> Iterator[Outputs | Refusal]:
    """Run batch after batch, holding the outputs of one at a time; stop after a failure."""
    for feeds in samples.batches:
        outputs = run_batch(session, feeds)
        yield outputs
        if isinstance(outputs, Refusal):
            return


def run_samples(session: Session, samples: Samples) -> tuple[Outputs, ...] | Refusal:
    """Run every batch and keep all outputs; the first failure is the answer."""
    kept: list[Outputs] = []
    for outputs in stream_samples(session, samples):
        if isinstance(outputs, Refusal):
            return outputs
        kept.append(outputs)
    return tuple(kept)


def _run_bit_types(session: Session, feeds: Feeds, options: Any) -> Outputs:
    import onnxruntime

    values = {}
    for described in session.get_inputs():
        array = feeds.get(described.name)
        if array is None:
            continue
        number, _, carrier = _BIT_TYPES.get(described.type, (0, None, None))
        values[described.name] = (
            onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(array).view(carrier), number)
            if carrier is not None
            else onnxruntime.OrtValue.ortvalue_from_numpy(array)
        )
    results = session.run_with_ort_values(None, values, options)
    return tuple(_plain_output(result) for result in results)


def _plain_output(value: Any) -> Array:
    kind = value.data_type()
    if kind not in _BIT_TYPES:
        array: Array = value.numpy()
        return array
    _, dtype, _ = _BIT_TYPES[kind]
    shape = value.shape()
    length = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = ctypes.string_at(value.data_ptr(), length) if length else b""
    typed: Array = np.frombuffer(raw, dtype=dtype).reshape(shape)
    return typed
