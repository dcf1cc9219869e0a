"""Fuse with onnxruntime_tools 1.7.0, the optimizer's last release as a package of its own."""

from __future__ import annotations

import importlib.util

import onnx_ir as ir

from compressor.passes.engines.workshop import EngineRefusal, optimize_apart

OPSETS = (11, 12)
"""What it reads: it fails an assertion from opset 13 on, where axes of Unsqueeze and their kin became inputs."""

_SCRIPT = """
import logging, sys
from onnxruntime_tools.transformers import optimizer
from onnxruntime_tools.transformers.onnx_model_bert import BertOptimizationOptions
logging.disable(logging.CRITICAL)
options = BertOptimizationOptions("bert")
options.enable_embed_layer_norm = False
heads, width = map(int, sys.argv[1:])
result = optimizer.optimize_model(
    "model.onnx", "bert", num_heads=heads, hidden_size=width, optimization_options=options, opt_level=0
)
result.save_model_to_file("result.onnx")
"""


def optimize(model: ir.Model, heads: int, width: int) -> ir.Model:
    """Fuse a copy of `model`; `heads` and `width` of the attention are 0 where not known.

    Raises:
        EngineRefusal: the package is not installed, does not read the model's opset, or has nothing to offer.
    """
    opset = model.graph.opset_imports.get("", 0)
    if opset not in OPSETS:
        raise EngineRefusal(f"reads opset 11 and 12 only, the model has {opset}")
    if importlib.util.find_spec("onnxruntime_tools") is None:
        raise EngineRefusal("onnxruntime_tools is not installed")
    return optimize_apart(model, _SCRIPT, [str(heads), str(width)])
