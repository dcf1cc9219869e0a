"""List architectures of an encoder and a decoder."""

from __future__ import annotations

from architecture import SEQUENCE_TO_SEQUENCE, SMALL_PAIR, T5, WHISPER, Architecture

PAIRS = {
    "whisper": Architecture(
        "WhisperForConditionalGeneration", WHISPER, ("input_features", "decoder_input_ids", "decoder_attention_mask")
    ),
    "bart": Architecture("BartForConditionalGeneration", SMALL_PAIR, SEQUENCE_TO_SEQUENCE),
    "marian": Architecture("MarianMTModel", {**SMALL_PAIR, "pad_token_id": 1}, SEQUENCE_TO_SEQUENCE),
    "t5": Architecture("T5ForConditionalGeneration", {**T5, "use_cache": False}, SEQUENCE_TO_SEQUENCE),
    "blenderbot": Architecture("BlenderbotForConditionalGeneration", SMALL_PAIR, SEQUENCE_TO_SEQUENCE),
    "m2m-100": Architecture("M2M100ForConditionalGeneration", SMALL_PAIR, SEQUENCE_TO_SEQUENCE),
    "mbart": Architecture("MBartForConditionalGeneration", SMALL_PAIR, SEQUENCE_TO_SEQUENCE),
    "plbart": Architecture("PLBartForConditionalGeneration", SMALL_PAIR, SEQUENCE_TO_SEQUENCE),
    "bigbird-pegasus": Architecture(
        "BigBirdPegasusForConditionalGeneration",
        {**SMALL_PAIR, "attention_type": "original_full"},
        SEQUENCE_TO_SEQUENCE,
    ),
    "mt5": Architecture("MT5ForConditionalGeneration", {**T5, "use_cache": False}, SEQUENCE_TO_SEQUENCE),
    "longt5": Architecture(
        "LongT5ForConditionalGeneration", {**T5, "use_cache": False, "local_radius": 4}, SEQUENCE_TO_SEQUENCE
    ),
}
