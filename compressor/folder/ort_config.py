"""Write ``ort_config.json``, in which optimum keeps how models for ONNX Runtime were made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir

from compressor.model.together import WrittenSet
from compressor.passes.quantization.options import Scheme, WeightType
from compressor.passes.quantize import QuantizeDynamic
from compressor.recipe import Recipe
from compressor.report import Outcome, Report
from compressor.version import __version__

NAME = "ort_config.json"
MARK = b'"compressor_version"'
"""What tells our files from optimum's own."""

_OPERATORS = {
    "attention_in_int8": "Attention",
    "einsum_in_int8": "Einsum",
    "gather_in_int8": "Gather",
    "gemm_in_int8": "Gemm",
    "lstm_weights_in_int8": "LSTM",
    "matmul_in_int8": "MatMul",
}
"""Operators that compute with integers, by the count that says so."""

Json = Mapping[str, "str | int | bool | Sequence[str] | Json | None"]


def ort_config(
    reports: Sequence[Report], results: Mapping[Path, ir.Model], recipe: Recipe, written: WrittenSet
) -> bytes:
    """Say of models what optimum's format has a word for, and nothing else; the recipe is added under a key of ours.

    The format describes quantization as ONNX Runtime's own tools do it. Other schemes leave that part empty, and so do
    weights of several schemes. A reader that finds it makes optimum's ``QuantizationConfig`` of it, so it may hold the
    fields of that class only.
    """
    opsets = {model.opset_imports.get("") for model in results.values()}
    ran = {report.recipe for report in reports}  # a search makes a recipe of its own for each
    facts: Json = {
        "compressor_recipe": min(ran) if len(ran) == 1 else None,
        "compressor_version": __version__,
        "one_external_file": True,
        "opset": opsets.pop() if len(opsets) == 1 else None,
        "optimization": {},
        "quantization": _quantization(reports, recipe) if ran == {recipe.to_toml()} else {},
        "use_external_data_format": written.files[-1] not in results,
    }
    return (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode()


def _quantization(reports: Sequence[Report], recipe: Recipe) -> Json:
    chosen = [step for step in recipe.passes if isinstance(step, QuantizeDynamic)]
    if len(chosen) != 1 or chosen[0].scheme is not Scheme.DYNAMIC or chosen[0].overrides:
        return {}
    done = [
        {_OPERATORS[name] for name in step.counts if name in _OPERATORS}
        for report in reports
        for step in report.steps
        if step.name == QuantizeDynamic.name and step.outcome is Outcome.KEPT
    ]
    operators = set[str]().union(*done)
    if len(done) != len(reports) or not operators:
        return {}
    return {
        "activations_dtype": "QUInt8",
        "activations_symmetric": False,
        "format": "QOperator",
        "is_static": False,
        "mode": "IntegerOps",
        "operators_to_quantize": sorted(operators),
        "per_channel": True,
        "weights_dtype": "QInt8" if chosen[0].weight_type is WeightType.INT8 else "QUInt8",
        "weights_symmetric": True,
    }
