"""Read the counts of a pass as facts: ``initializers_merged``, 77 is "77 initializers merged"."""

from __future__ import annotations

from compressor.render.figures import printable

_SPELLED = {
    "no ops": "no-ops", "gelu": "GELU", "lstm": "LSTM", "rms": "RMS", "matmul": "MatMul", "gemm": "Gemm",
    "gather": "Gather", "einsum": "Einsum",
}  # fmt: skip
"""What an identifier cannot spell, and operators as ONNX spells them."""

_DEEDS = frozenset(
    (
        "merged",
        "fused",
        "dropped",
        "tied",
        "quantized",
        "decoded",
        "smoothed",
        "scaled",
        "lowered",
        "made",
        "kept",
        "in",
    )
)
"""Words that say what was done; the word before the first of them is what was counted."""

_UNCOUNTABLE = frozenset(("attention", "queries", "GELU", "MatMul", "Gemm", "Gather", "Einsum", *_DEEDS))
"""Words without a plural: "12 attention fused" counts operators of that kind, and "grouped queries" is such a kind."""


def count_as_fact(name: str, count: int) -> str:
    """Say in words how many of what `name` says there are."""
    words = _words(name)
    noun = next((max(0, at - 1) for at, word in enumerate(words) if word in _DEEDS), 0)
    words[noun] = _inflected(words[noun], count)
    return " ".join([f"{count:,}", *words])


def _words(name: str) -> list[str]:
    text = f" {printable(name).replace('_', ' ')} "
    for plain, spelled in _SPELLED.items():
        text = text.replace(f" {plain} ", f" {spelled} ")
    return text.split() or [""]


def _inflected(noun: str, count: int) -> str:
    if noun in _UNCOUNTABLE:
        return noun
    is_plural = noun.endswith("s") and not noun.endswith(("ss", "as", "is", "us"))
    if count == 1:
        return noun[:-1] if is_plural else noun
    return noun if noun.endswith("s") else f"{noun}s"
