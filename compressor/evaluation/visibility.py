"""Find output positions whose values nothing defines: those that a causal model computes from no visible input.

Where a row starts with padding, a causal decoder's first positions may attend to nothing, and each way of writing
attention gives them something else: the eager and the SDPA export of one GPT-2 agree to 2e-6 everywhere, except
there, where they differ by 2.1 in logits of up to 3. Padding on the right and holes leave every position something to
attend to, so they are compared like everything else.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compressor.evaluation.contract import Array, Feeds

_MASK_NAMES = ("attention_mask", "input_mask", "padding_mask")
_CACHE_NAMES = ("present", "past", "cache")


def find_undefined(feeds: Feeds, output: str, shape: tuple[int, ...]) -> Array | None:
    """Mark the positions of an output that lie before their row's first 1 in the attention mask.

    Outputs of shape (batch, sequence, ...) with three axes or more are matched with a mask of shape (batch,
    sequence); outputs named as caches, of shape (..., batch, heads, sequence, size), likewise.

    Returns:
        Truth values that broadcast to `shape`, or None where every position is defined.
    """
    for mask in _masks(feeds):
        unseen: Array = np.cumsum(mask != 0, axis=1) == 0
        if not unseen.any():
            continue
        if len(shape) > 2 and shape[:2] == mask.shape:
            return np.expand_dims(unseen, tuple(range(2, len(shape))))
        is_cache = any(word in output.lower() for word in _CACHE_NAMES)
        if is_cache and len(shape) > 3 and (shape[-4], shape[-2]) == mask.shape:
            return np.expand_dims(unseen, (1, 3))
    return None


def _masks(feeds: Feeds) -> Iterator[Array]:
    """Yield the attention masks, the decoder's first."""
    for name in sorted(feeds, key=lambda name: "decoder" not in name):
        array = feeds[name]
        is_mask = name.lower() == "mask" or any(word in name.lower() for word in _MASK_NAMES)
        if is_mask and array.ndim == 2 and array.dtype.kind in "biuf" and np.isin(array, (0, 1)).all():
            yield array
