#!/usr/bin/env python3
"""Export toy models of many architectures, through every exporter, opset and attention implementation.

    pip install torch==2.13.0 transformers==5.23.0 onnxscript
    python benchmarks/make_architectures.py FOLDER [--only NAME ...] [--routes torchscript-17 ...]

writes ``FOLDER/<architecture>.<eager|sdpa>.<exporter>-<opset>.onnx``, and ``FOLDER/failed.json`` with the sentence of
each export that failed. What is there is left as it is, so that an interrupted run goes on where it was. Torch and
transformers are needed for this script only.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from architecture import Architecture
from toy_architectures import ARCHITECTURES

ROUTES = tuple([f"torchscript-{opset}" for opset in (17, 14, 20, 11)] + [f"dynamo-{opset}" for opset in (18, 23, 20)])
"""The most used first."""

IMPLEMENTATIONS = ("eager", "sdpa")
OUTPUTS = ("logits", "last_hidden_state")
PAST = 5
"""Cached tokens in the example the exporter sees."""

AXES = {
    "input_ids": {0: "batch", 1: "sequence"},
    "attention_mask": {0: "batch", 1: "sequence"},
    "bbox": {0: "batch", 1: "sequence"},
    "decoder_input_ids": {0: "batch", 1: "target"},
    "decoder_attention_mask": {0: "batch", 1: "target"},
    "pixel_values": {0: "batch"},
    "input_values": {0: "batch", 1: "samples"},
    "input_features": {0: "batch"},
}


class Flat(torch.nn.Module):
    """A model that takes tensors one by one, and gives its first output and, where it has a past, the new one."""

    def __init__(self, model: torch.nn.Module, architecture: Architecture) -> None:
        super().__init__()
        self.model, self.architecture = model, architecture

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        names = self.architecture.inputs
        given: dict[str, Any] = dict(zip((name for name in names if name != "past"), tensors, strict=False))
        if "past" not in names:
            return (_first_output(self.model(**given, **self.architecture.call)),)
        pairs = iter(tensors[len(names) - 1 :])
        cache = transformers.DynamicCache(list(zip(pairs, pairs, strict=True)))
        result = self.model(**given, past_key_values=cache, use_cache=True)
        present = [part for layer in result.past_key_values.layers for part in (layer.keys, layer.values)]
        return (result.logits, *present)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=ARCHITECTURES, metavar="NAME", default=list(ARCHITECTURES))
    parser.add_argument("--routes", nargs="+", choices=ROUTES, metavar="ROUTE", default=list(ROUTES))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    record = options.folder / "failed.json"
    failed: dict[str, str] = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    for route in options.routes:
        for name in options.only:
            for implementation in IMPLEMENTATIONS:
                path = options.folder / f"{name.replace(' ', '-')}.{implementation}.{route}.onnx"
                if path.exists() or path.stem in failed:
                    continue
                try:
                    export(ARCHITECTURES[name], implementation, route, path)
                except Exception as error:  # noqa: BLE001 - one exporter failing on one architecture must not stop the rest
                    failed[path.stem] = _sentence(error)
                    record.write_text(json.dumps(failed, indent=1, sort_keys=True) + "\n", encoding="utf-8")
                print(path.stem, failed.get(path.stem, "ok"), file=sys.stderr, flush=True)


def export(architecture: Architecture, implementation: str, route: str, path: Path) -> None:
    """Build the model and export it."""
    module = Flat(
        build(architecture, implementation), architecture
    ).eval()  # the wrapper too: exporters restore its mode
    tensors, axes = examples(module.model, architecture)
    exporter, _, opset = route.partition("-")
    outputs = ["output", *(name.replace("past", "present") for name in tensors if name.startswith("past"))]
    common: dict[str, Any] = {"input_names": list(tensors), "output_names": outputs, "opset_version": int(opset)}
    if exporter == "dynamo":
        shapes = (tuple(axes[name] for name in tensors),)
        common |= {"dynamic_shapes": shapes, "dynamo": True, "external_data": False, "verbose": False}
    else:
        common |= {"dynamic_axes": axes, "dynamo": False}
    partial = path.with_suffix(".partial")
    with torch.no_grad():
        torch.onnx.export(module, tuple(tensors.values()), partial, **common)
    partial.rename(path)


def build(architecture: Architecture, implementation: str) -> torch.nn.Module:
    """A model with fixed random weights, in the mode for inference."""
    torch.manual_seed(0)
    kind: Any = getattr(transformers, architecture.model)
    model: torch.nn.Module = kind._from_config(
        kind.config_class(**architecture.config), attn_implementation=implementation
    )
    with torch.no_grad():  # vectors of zeros and ones would be accidental duplicates and hide swapped operands
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def examples(model: Any, architecture: Architecture) -> tuple[dict[str, torch.Tensor], dict[str, dict[int, str]]]:
    """One example of every input, and which of its axes are open."""
    tokens = torch.randint(5, 200, (2, 16))
    config, has_past = model.config, "past" in architecture.inputs
    known = {
        "input_ids": tokens,
        "attention_mask": torch.ones(2, 16 + (PAST if has_past else 0), dtype=torch.long),
        "bbox": torch.randint(0, 9, (2, 16, 4)).sort(-1).values,
        "decoder_input_ids": tokens[:, :7].clone(),
        "decoder_attention_mask": torch.ones(2, 7, dtype=torch.long),
        "pixel_values": torch.randn(2, 3, 32, 32),
        "input_values": torch.randn(2, 800),
        "input_features": torch.randn(2, 80, 2 * getattr(config, "max_source_positions", 20)),
    }
    tensors = {name: known[name] for name in architecture.inputs if name != "past"}
    axes = {name: AXES[name] for name in tensors}
    if has_past:
        axes["attention_mask"] = {0: "batch", 1: "total"}
        for name, tensor in _past(config):
            tensors[name], axes[name] = tensor, {0: "batch", 2: "past"}
    return tensors, axes


def _past(config: Any) -> Iterator[tuple[str, torch.Tensor]]:
    heads = config.num_attention_heads
    stored, size = getattr(config, "num_key_value_heads", None) or heads, config.hidden_size // heads
    for layer in range(config.num_hidden_layers):
        for part in ("key", "value"):
            yield f"past.{layer}.{part}", torch.randn(2, stored, PAST, size)


def _first_output(result: Any) -> torch.Tensor:
    found = next((getattr(result, name) for name in OUTPUTS if getattr(result, name, None) is not None), None)
    return result[0] if found is None else found


def _sentence(error: BaseException) -> str:
    """What the first cause says: the exporter wraps it in advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:240]


if __name__ == "__main__":
    main()
