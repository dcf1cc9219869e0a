#!/usr/bin/env python3
"""Export transformers of full size with random weights, to measure size, speed and memory on.

    python benchmarks/make_models.py FOLDER [--only NAME ...] [--sentences CHECKPOINT]

Needs torch and transformers in the versions fixtures/README.md names. Sizes and layouts are real; accuracy means
nothing. The exception is trained: `--sentences` exports all-MiniLM-L6-v2 from a checkpoint, a folder or a name of the
hub (sentence-transformers/all-MiniLM-L6-v2).
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
from pathlib import Path

import torch
import transformers as tf

sys.path.append(str(Path(__file__).resolve().parent.parent / "fixtures"))

from architectures import TEXT, TOKENS, Architecture
from exporters import every_layer_its_own_weights, export_dynamo, export_torchscript
from make_fixtures import Logits, axes, build, example

MODELS = (
    "albert-base.eager.torchscript",
    "albert-base.sdpa.dynamo",
    "bert-base.eager.torchscript",
    "bert-base.sdpa.torchscript",
    "bert-base.sdpa.dynamo",
    "bert-mlm.eager.torchscript",
    "gpt2.eager.torchscript",
    "t5-small.eager.torchscript",
)
OPSETS = {"albert-base": 14}
"""TorchScript opset, 17 where nothing is said."""


def architecture(kind: str) -> Architecture:
    """Describe one model with the configuration it was published with."""
    match kind:
        case "albert-base":
            # The defaults of the class are ALBERT-xxlarge.
            config = tf.AlbertConfig(hidden_size=768, num_attention_heads=12, intermediate_size=3072, num_labels=2)
            return Architecture(model=tf.AlbertForSequenceClassification, config=config)
        case "bert-base":
            return Architecture(model=tf.BertForSequenceClassification, config=tf.BertConfig(num_labels=2))
        case "bert-mlm":
            return Architecture(model=tf.BertForMaskedLM, config=tf.BertConfig(), logits=TOKENS)
        case "gpt2":
            config = tf.GPT2Config(use_cache=False)
            return Architecture(model=tf.GPT2LMHeadModel, config=config, logits=TOKENS)
        case "t5-small":
            return Architecture(
                model=tf.T5ForConditionalGeneration,
                config=tf.T5Config(use_cache=False),
                inputs=(*TEXT, "decoder_input_ids"),
                logits={0: "batch", 1: "target"},
            )
    raise ValueError(f"no model is called {kind!r}")


def export(name: str, path: Path) -> None:
    kind, attention, exporter = name.split(".")
    shape = architecture(kind)
    module = Logits(build(shape, attention), shape.inputs)
    tensors, inputs = tuple(map(example, shape.inputs)), {name: axes(name) for name in shape.inputs}
    if exporter == "dynamo":
        export_dynamo(module, tensors, inputs, path, external_data=False, metadata=True)
        return
    with every_layer_its_own_weights() if kind == "albert-base" else contextlib.nullcontext():
        export_torchscript(module, tensors, inputs, {"logits": shape.logits}, OPSETS.get(kind, 17), path)


class LastHiddenState(torch.nn.Module):
    """An encoder that gives its last hidden state alone."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip((*TEXT, "token_type_ids"), tensors, strict=True))).last_hidden_state


def export_sentences(checkpoint: str, path: Path) -> None:
    """Export an encoder of sentences with its trained weights."""
    module = LastHiddenState(tf.AutoModel.from_pretrained(checkpoint, attn_implementation="eager")).eval()
    names = (*TEXT, "token_type_ids")
    tokens = torch.randint(5, 1000, (2, 16))
    tensors = (tokens, torch.ones_like(tokens), torch.zeros_like(tokens))
    open_axes = {0: "batch", 1: "sequence"}
    export_torchscript(module, tensors, dict.fromkeys(names, open_axes), {"last_hidden_state": open_axes}, 17, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=MODELS, metavar="NAME")
    parser.add_argument("--sentences", metavar="CHECKPOINT", help="export all-MiniLM-L6-v2, too, from this checkpoint")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    for name in options.only:
        path = options.folder / f"{name}.onnx"
        export(name, path)
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB", flush=True)
    if options.sentences:
        export_sentences(options.sentences, options.folder / "all-MiniLM-L6-v2.onnx")


if __name__ == "__main__":
    main()
