"""Fuse with the rewrite rules that onnxscript has for ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx_ir as ir

from compressor.passes.engines.workshop import EngineRefusal


def optimize(model: ir.Model, heads: int, width: int) -> ir.Model:
    """Fuse a copy of `model`; `heads` and `width` are not needed here.

    Raises:
        EngineRefusal: there is nothing to be had.
    """
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    copy = model.clone()
    with _silence():
        try:
            result: ir.Model = optimize_for_ort(copy)[0]
        except Exception as error:  # rules of others over graphs of others: anything can be raised
            raise EngineRefusal(f"failed: {error!r:.200}") from error
    return result


@contextmanager
def _silence() -> Iterator[None]:
    """Keep warnings and logs to ourselves: where shapes cannot be inferred, a whole traceback is logged."""
    loggers = [logging.getLogger(name) for name in ("onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
