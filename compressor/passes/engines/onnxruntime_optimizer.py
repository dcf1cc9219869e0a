"""Fuse with the transformer optimizer that ONNX Runtime ships."""

from __future__ import annotations

import onnx_ir as ir

from compressor.passes.engines.workshop import optimize_apart

_SCRIPT = """
import logging, sys
import onnx
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
logging.disable(logging.CRITICAL)
options = FusionOptions("bert")
options.use_multi_head_attention = True
options.use_raw_attention_mask(True)
options.enable_embed_layer_norm = False
model = onnx.load("model.onnx", load_external_data=False)
result = optimizer.optimize_model(
    model, "bert", num_heads=int(sys.argv[1]), hidden_size=int(sys.argv[2]), optimization_options=options, opt_level=0
)
onnx.save(result.model, "result.onnx")
"""
# MultiHeadAttention keeps the weights apart, and without EmbedLayerNormalization tables stay operands of Gather, where
# quantization finds them. The raw mask is right for any padding, the default one only for padding on the right. An
# opt_level above 0 would want torch.


def optimize(model: ir.Model, heads: int, width: int) -> ir.Model:
    """Fuse a copy of `model`; `heads` and `width` of the attention are 0 where not known.

    Raises:
        EngineRefusal: there is nothing to be had.
    """
    return optimize_apart(model, _SCRIPT, [str(heads), str(width)])
