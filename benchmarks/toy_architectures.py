"""List transformer architectures at toy size, to be built from a configuration: random weights, no download."""

from __future__ import annotations

from architecture import CAUSAL_WITH_PAST, GPT2, GROUPED, NO_CACHE, SMALL, SMALL_SPEECH, SPEECH, TEXT, Architecture
from pair_architectures import PAIRS
from vision_architectures import VISION

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
    "clip-text": Architecture("CLIPTextModel", SMALL),
    "camembert": Architecture("CamembertModel", SMALL),
    "ernie": Architecture("ErnieModel", SMALL),
    "ibert": Architecture("IBertModel", SMALL),
    "xlm-roberta-xl": Architecture("XLMRobertaXLModel", SMALL),
    "wav2vec2": Architecture("Wav2Vec2Model", SMALL_SPEECH, SPEECH),
    "hubert": Architecture("HubertModel", SMALL_SPEECH, SPEECH),
    "wavlm": Architecture("WavLMModel", SMALL_SPEECH, SPEECH),
    "gpt2": Architecture("GPT2LMHeadModel", GPT2, call=NO_CACHE),
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
        call=NO_CACHE,
    ),
    "gpt-neox": Architecture("GPTNeoXForCausalLM", SMALL, call=NO_CACHE),
    "gpt-neox with past": Architecture("GPTNeoXForCausalLM", SMALL, CAUSAL_WITH_PAST),
    "gptj": Architecture("GPTJForCausalLM", {**GPT2, "rotary_dim": 8}, call=NO_CACHE),
    "codegen": Architecture("CodeGenForCausalLM", {**GPT2, "rotary_dim": 8}, call=NO_CACHE),
    "opt": Architecture("OPTForCausalLM", {**SMALL, "ffn_dim": 128, "word_embed_proj_dim": 64}, call=NO_CACHE),
    "bloom": Architecture(
        "BloomForCausalLM", {"vocab_size": 500, "hidden_size": 64, "n_layer": 2, "n_head": 4}, call=NO_CACHE
    ),
    "falcon": Architecture("FalconForCausalLM", {**SMALL, "alibi": False, "multi_query": True}, call=NO_CACHE),
    "mpt": Architecture(
        "MptForCausalLM",
        {"vocab_size": 500, "d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
        call=NO_CACHE,
    ),
    "llama": Architecture("LlamaForCausalLM", GROUPED, call=NO_CACHE),
    "llama with past": Architecture("LlamaForCausalLM", GROUPED, CAUSAL_WITH_PAST),
    "mistral": Architecture("MistralForCausalLM", {**GROUPED, "sliding_window": 8}, call=NO_CACHE),
    "qwen2": Architecture("Qwen2ForCausalLM", GROUPED, call=NO_CACHE),
    "qwen2 with past": Architecture("Qwen2ForCausalLM", GROUPED, CAUSAL_WITH_PAST),
    "qwen3": Architecture("Qwen3ForCausalLM", {**GROUPED, "head_dim": 16}, call=NO_CACHE),
    "phi": Architecture("PhiForCausalLM", SMALL, call=NO_CACHE),
    "gemma": Architecture("GemmaForCausalLM", {**GROUPED, "head_dim": 16}, call=NO_CACHE),
    "gemma2": Architecture("Gemma2ForCausalLM", {**GROUPED, "head_dim": 16, "sliding_window": 8}, call=NO_CACHE),
    **PAIRS,
    **VISION,
}
