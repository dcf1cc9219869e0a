"""Describe one architecture at toy size, and the sizes that many share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TEXT = ("input_ids", "attention_mask")
CAUSAL_WITH_PAST = (*TEXT, "past")
SEQUENCE_TO_SEQUENCE = (*TEXT, "decoder_input_ids")
IMAGE = ("pixel_values",)
SPEECH = ("input_values",)

SMALL = {
    "vocab_size": 500,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
}
SMALL_VISION = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "image_size": 32,
    "patch_size": 8,
}
SMALL_PAIR = {
    "vocab_size": 500,
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "max_position_embeddings": 64,
    "use_cache": False,
}
SMALL_SPEECH = {
    "vocab_size": 32,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "conv_dim": (16, 16),
    "conv_stride": (5, 2),
    "conv_kernel": (10, 3),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
GPT2 = {"vocab_size": 500, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64}
T5 = {"vocab_size": 500, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
WHISPER = {**SMALL_PAIR, "max_source_positions": 20, "max_target_positions": 64, "num_mel_bins": 80, "pad_token_id": 1}
GROUPED = {**SMALL, "num_key_value_heads": 2}
NO_CACHE = {"use_cache": False}


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture to export.

    Attributes:
        model: the class of transformers.
        config: what its configuration is told.
        inputs: names of the inputs, in order; "past" stands for the cached keys and values of every layer.
        call: arguments of every call.
    """

    model: str
    config: dict[str, Any]
    inputs: tuple[str, ...] = TEXT
    call: dict[str, Any] = field(default_factory=dict)
