"""List architectures that see images, alone or with a text beside."""

from __future__ import annotations

from architecture import GPT2, IMAGE, NO_CACHE, SMALL, SMALL_VISION, TEXT, Architecture

_STAGES = {"num_stages": 2, "hidden_sizes": [16, 32], "depths": [1, 1]}
_TEXT_TOWER = {**SMALL, "eos_token_id": 2}  # the default lies beyond the small vocabulary, and the pooling looks for it
_TOWERS = {"text_config": _TEXT_TOWER, "vision_config": SMALL_VISION}
_DETR = {
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
}

VISION = {
    "vit": Architecture("ViTModel", SMALL_VISION, IMAGE),
    "deit": Architecture("DeiTModel", SMALL_VISION, IMAGE),
    "beit": Architecture("BeitModel", {**SMALL_VISION, "use_relative_position_bias": True}, IMAGE),
    "dinov2": Architecture("Dinov2Model", SMALL_VISION, IMAGE),
    "clip-vision": Architecture("CLIPVisionModel", SMALL_VISION, IMAGE),
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
        _DETR,
        IMAGE,
    ),
    "data2vec-vision": Architecture("Data2VecVisionModel", {**SMALL_VISION, "use_relative_position_bias": True}, IMAGE),
    "yolos": Architecture("YolosModel", {**SMALL_VISION, "image_size": [32, 32], "num_detection_tokens": 5}, IMAGE),
    "conditional-detr": Architecture("ConditionalDetrModel", _DETR, IMAGE),
    "table-transformer": Architecture("TableTransformerModel", _DETR, IMAGE),
    "levit": Architecture(
        "LevitModel",
        {
            "image_size": 32,
            "hidden_sizes": [32, 48, 64],
            "num_attention_heads": [2, 2, 4],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
        },
        IMAGE,
    ),
    "mobilevit": Architecture(
        "MobileViTModel",
        {"image_size": 32, "hidden_sizes": [24, 32, 40], "neck_hidden_sizes": [8, 8, 16, 24, 32, 40, 64]},
        IMAGE,
    ),
    "convnext": Architecture("ConvNextModel", _STAGES, IMAGE),
    "convnextv2": Architecture("ConvNextV2Model", _STAGES, IMAGE),
    "resnet": Architecture("ResNetModel", {**_STAGES, "embedding_size": 16}, IMAGE),
    "clip": Architecture("CLIPModel", _TOWERS, (*TEXT, *IMAGE)),
    "owlvit": Architecture("OwlViTModel", _TOWERS, (*TEXT, *IMAGE)),
    "groupvit": Architecture(
        "GroupViTModel",
        {
            "text_config": _TEXT_TOWER,
            "vision_config": {
                **SMALL_VISION,
                "depths": [1, 1, 1],
                "num_group_tokens": [8, 4, 0],
                "num_output_groups": [8, 4, 4],
            },
        },
        (*TEXT, *IMAGE),
    ),
    "vision-encoder-decoder": Architecture(
        "VisionEncoderDecoderModel",
        {
            "encoder": {"model_type": "vit", **SMALL_VISION},
            "decoder": {"model_type": "gpt2", **GPT2, "is_decoder": True, "add_cross_attention": True},
        },
        (*IMAGE, "decoder_input_ids"),
        NO_CACHE,
    ),
}
