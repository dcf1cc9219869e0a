"""List transformer architectures at toy size, to be built from a configuration: random weights, no download."""

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


_NO_CACHE = {"use_cache": False}

ARCHITECTURES = {
    "bert": Architecture("BertModel", SMALL),
    "albert": Architecture("AlbertModel", {**SMALL, "embedding_size": 32}),
    "roberta": Architecture("RobertaModel", SMALL),
    "distilbert": Architecture(
        "DistilBertModel", {"vocab_size": 500, "dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128}
    ),
    "electra": Architecture("ElectraModel", {**SMALL, "embedding_size": 32}),
    "mpnet": Architecture("MPNetModel", SMALL),
    "xlm-roberta": Architecture("XLMRobertaModel", {**SMALL, "type_vocab_size": 1}),
    "deberta": Architecture(
        "DebertaModel",
        {**SMALL, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 16},
    ),
    "deberta-v2": Architecture(
        "DebertaV2Model",
        {
            **SMALL,
            "relative_attention": True,
            "position_buckets": 16,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
        },
    ),
    "modernbert": Architecture("ModernBertModel", {**SMALL, "local_attention": 8, "pad_token_id": 0}),
    "mobilebert": Architecture(
        "MobileBertModel", {**SMALL, "embedding_size": 32, "intra_bottleneck_size": 32, "true_hidden_size": 32}
    ),
    "convbert": Architecture("ConvBertModel", {**SMALL, "embedding_size": 64}),
    "squeezebert": Architecture("SqueezeBertModel", {**SMALL, "embedding_size": 64}),
    "flaubert": Architecture(
        "FlaubertModel", {"vocab_size": 500, "emb_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 64}
    ),
    "xlm": Architecture(
        "XLMModel", {"vocab_size": 500, "emb_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 64}
    ),
    "roformer": Architecture("RoFormerModel", SMALL),
    "megatron-bert": Architecture("MegatronBertModel", SMALL),
    "data2vec-text": Architecture("Data2VecTextModel", SMALL),
    "rembert": Architecture("RemBertModel", {**SMALL, "input_embedding_size": 32, "output_embedding_size": 32}),
    "xlnet": Architecture("XLNetModel", {"vocab_size": 500, "d_model": 64, "n_layer": 2, "n_head": 4, "d_inner": 128}),
    "funnel": Architecture(
        "FunnelModel",
        {"vocab_size": 500, "block_sizes": [1, 1], "d_model": 64, "n_head": 4, "d_head": 16, "d_inner": 128},
    ),
    "longformer": Architecture("LongformerModel", {**SMALL, "attention_window": [8, 8]}),
    "big-bird": Architecture("BigBirdModel", {**SMALL, "attention_type": "original_full"}),
    "nystromformer": Architecture("NystromformerModel", {**SMALL, "segment_means_seq_len": 16, "num_landmarks": 16}),
    "layoutlm": Architecture("LayoutLMModel", SMALL, (*TEXT, "bbox")),
    "layoutlmv3": Architecture(
        "LayoutLMv3Model",
        {**SMALL, "input_size": 32, "patch_size": 8, "coordinate_size": 11, "shape_size": 10},
        (*TEXT, "bbox"),
    ),
    "lilt": Architecture("LiltModel", {**SMALL, "hidden_size": 96}, (*TEXT, "bbox")),
    "perceiver": Architecture(
        "PerceiverForMaskedLM",
        {
            "vocab_size": 262,
            "d_model": 64,
            "d_latents": 64,
            "num_latents": 8,
            "num_self_attends_per_block": 2,
            "num_self_attention_heads": 4,
            "num_cross_attention_heads": 4,
            "qk_channels": 64,
            "v_channels": 64,
            "max_position_embeddings": 64,
        },
    ),
    "vit": Architecture("ViTModel", SMALL_VISION, IMAGE),
    "deit": Architecture("DeiTModel", SMALL_VISION, IMAGE),
    "beit": Architecture("BeitModel", {**SMALL_VISION, "use_relative_position_bias": True}, IMAGE),
    "dinov2": Architecture("Dinov2Model", SMALL_VISION, IMAGE),
    "clip-vision": Architecture("CLIPVisionModel", SMALL_VISION, IMAGE),
    "clip-text": Architecture("CLIPTextModel", SMALL),
    "siglip-vision": Architecture("SiglipVisionModel", SMALL_VISION, IMAGE),
    "swin": Architecture(
        "SwinModel",
        {"embed_dim": 32, "depths": [2, 1], "num_heads": [2, 4], "image_size": 32, "patch_size": 4, "window_size": 4},
        IMAGE,
    ),
    "swinv2": Architecture(
        "Swinv2Model",
        {"embed_dim": 32, "depths": [2, 1], "num_heads": [2, 4], "image_size": 32, "patch_size": 4, "window_size": 4},
        IMAGE,
    ),
    "segformer": Architecture(
        "SegformerModel",
        {"hidden_sizes": [16, 32, 32, 64], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 4]},
        IMAGE,
    ),
    "detr": Architecture(
        "DetrModel",
        {
            "d_model": 64,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 128,
            "decoder_ffn_dim": 128,
            "num_queries": 5,
            "use_timm_backbone": False,
            "use_pretrained_backbone": False,
            "backbone_config": {
                "model_type": "resnet",
                "embedding_size": 16,
                "hidden_sizes": [16, 32],
                "depths": [1, 1],
                "out_features": ["stage2"],
            },
        },
        IMAGE,
    ),
    "wav2vec2": Architecture("Wav2Vec2Model", SMALL_SPEECH, SPEECH),
    "hubert": Architecture("HubertModel", SMALL_SPEECH, SPEECH),
    "wavlm": Architecture("WavLMModel", SMALL_SPEECH, SPEECH),
    "whisper": Architecture(
        "WhisperForConditionalGeneration", WHISPER, ("input_features", "decoder_input_ids", "decoder_attention_mask")
    ),
    "bart": Architecture("BartForConditionalGeneration", SMALL_PAIR, SEQUENCE_TO_SEQUENCE),
    "marian": Architecture("MarianMTModel", {**SMALL_PAIR, "pad_token_id": 1}, SEQUENCE_TO_SEQUENCE),
    "t5": Architecture("T5ForConditionalGeneration", {**T5, "use_cache": False}, SEQUENCE_TO_SEQUENCE),
    "gpt2": Architecture("GPT2LMHeadModel", GPT2, call=_NO_CACHE),
    "gpt2 with past": Architecture("GPT2LMHeadModel", GPT2, CAUSAL_WITH_PAST),
    "gpt-neo": Architecture(
        "GPTNeoForCausalLM",
        {
            "vocab_size": 500,
            "hidden_size": 64,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 8,
            "max_position_embeddings": 64,
        },
        call=_NO_CACHE,
    ),
    "gpt-neox": Architecture("GPTNeoXForCausalLM", SMALL, call=_NO_CACHE),
    "gpt-neox with past": Architecture("GPTNeoXForCausalLM", SMALL, CAUSAL_WITH_PAST),
    "gptj": Architecture("GPTJForCausalLM", {**GPT2, "rotary_dim": 8}, call=_NO_CACHE),
    "opt": Architecture("OPTForCausalLM", {**SMALL, "ffn_dim": 128, "word_embed_proj_dim": 64}, call=_NO_CACHE),
    "bloom": Architecture(
        "BloomForCausalLM", {"vocab_size": 500, "hidden_size": 64, "n_layer": 2, "n_head": 4}, call=_NO_CACHE
    ),
    "falcon": Architecture("FalconForCausalLM", {**SMALL, "alibi": False, "multi_query": True}, call=_NO_CACHE),
    "mpt": Architecture(
        "MptForCausalLM",
        {"vocab_size": 500, "d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
        call=_NO_CACHE,
    ),
    "llama": Architecture("LlamaForCausalLM", GROUPED, call=_NO_CACHE),
    "llama with past": Architecture("LlamaForCausalLM", GROUPED, CAUSAL_WITH_PAST),
    "mistral": Architecture("MistralForCausalLM", {**GROUPED, "sliding_window": 8}, call=_NO_CACHE),
    "qwen2": Architecture("Qwen2ForCausalLM", GROUPED, call=_NO_CACHE),
    "qwen2 with past": Architecture("Qwen2ForCausalLM", GROUPED, CAUSAL_WITH_PAST),
    "qwen3": Architecture("Qwen3ForCausalLM", {**GROUPED, "head_dim": 16}, call=_NO_CACHE),
    "phi": Architecture("PhiForCausalLM", SMALL, call=_NO_CACHE),
    "gemma": Architecture("GemmaForCausalLM", {**GROUPED, "head_dim": 16}, call=_NO_CACHE),
    "gemma2": Architecture("Gemma2ForCausalLM", {**GROUPED, "head_dim": 16, "sliding_window": 8}, call=_NO_CACHE),
}
