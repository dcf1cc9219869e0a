"""Read from ``preprocessor_config.json`` how a vision model wants its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compressor.errors import OptionError
from compressor.evaluation.signature import InputSpec

_BILINEAR = 2
"""Pillow's number for bilinear resampling, the default of the configuration."""

_FILTERS = range(6)
"""Pillow's numbers of filters."""

_LONGEST_SIDE = 8192
"""Pixels; models take 224 to 1,536."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """The steps from a picture to numbers, in the order in which they are done.

    Attributes:
        resize: height and width; None leaves the size.
        shortest_edge: length of the shorter side after resizing, where the sides keep their proportion.
        resample: Pillow's number of the filter.
        crop: height and width cut out of the middle; None cuts nothing.
        scale: factor of the pixels, which count to 255.
        mean, deviation: of each channel, subtracted and divided by after scaling; empty leaves them.
        channels: 3, or 1 for grey pictures.
        is_channels_last: the input has its channels on the last axis.
    """

    resize: tuple[int, int] | None
    shortest_edge: int | None
    resample: int
    crop: tuple[int, int] | None
    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    channels: int
    is_channels_last: bool


def read_preprocessing(config: Mapping[str, Any], spec: InputSpec) -> tuple[Preprocessing, tuple[str, ...]]:
    """Read the steps; the sizes that the graph fixes go before those of the configuration.

    Args:
        config: the content of ``preprocessor_config.json``; empty where there is none.
        spec: the input for pictures.

    Returns:
        The steps, and what a reader must know.

    Raises:
        OptionError: the size of the pictures is not known, or the configuration holds something else than numbers.
    """
    is_last = spec.axes[3] in (1, 3) and spec.axes[1] not in (1, 3)
    channels = spec.axes[3] if is_last else spec.axes[1]
    sides = spec.axes[1:3] if is_last else spec.axes[2:4]
    fixed = (sides[0], sides[1]) if isinstance(sides[0], int) and isinstance(sides[1], int) else None
    try:
        steps = _read(config, fixed, 1 if channels == 1 else 3, is_last)
        _check(steps)
    except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise OptionError(f"preprocessor_config.json: holds a value of another kind than is known: {error}") from error
    if steps.resize is None and steps.crop is None:
        raise OptionError(
            f"input {spec.name!r} takes images of any size, and no preprocessor_config.json beside the model says "
            "which; add one with a size, or give arrays as .npz"
        )
    if config:
        return steps, ()
    return steps, (
        f"no preprocessor_config.json is beside the model: images are resized to {fixed}, pixels count to 1",
    )


def _read(config: Mapping[str, Any], fixed: tuple[int, int] | None, channels: int, is_last: bool) -> Preprocessing:
    inner = config.get("image_processor", config)
    size = _sides(inner.get("size")) if inner.get("do_resize", True) else None
    shortest = _shortest(inner.get("size")) if inner.get("do_resize", True) else None
    crop = _sides(inner.get("crop_size")) if inner.get("do_center_crop", "crop_size" in inner) else None
    if shortest is not None and crop is None:
        crop = (shortest, shortest)
        # ConvNeXt resizes to a larger picture first, of which the middle share is taken.
        shortest = int(shortest / float(inner.get("crop_pct") or 1))
    if fixed is not None:
        size = fixed if shortest is None and crop is None else size
        crop = fixed if crop is not None else None
    scale = float(inner.get("rescale_factor", 1 / 255)) if inner.get("do_rescale", True) else 1.0
    normalizes = inner.get("do_normalize", "image_mean" in inner)
    return Preprocessing(
        resize=size, shortest_edge=shortest, resample=int(inner.get("resample", _BILINEAR)), crop=crop, scale=scale,
        mean=_channels(inner.get("image_mean"), channels) if normalizes else (),
        deviation=_channels(inner.get("image_std"), channels) if normalizes else (),
        channels=channels, is_channels_last=is_last,
    )  # fmt: skip


def _check(steps: Preprocessing) -> None:
    sides = [*(steps.resize or ()), *(steps.crop or ()), *([steps.shortest_edge] if steps.shortest_edge else [])]
    for side in sides:
        if not 1 <= side <= _LONGEST_SIDE:
            raise ValueError(f"a side of {side} pixels; 1 to {_LONGEST_SIDE:,} are taken")
    if steps.resample not in _FILTERS:
        raise ValueError(f"resample is {steps.resample}; it takes {_FILTERS[0]} to {_FILTERS[-1]}")
    if 0 in steps.deviation:
        raise ValueError("image_std is 0, which nothing can be divided by")


def _sides(size: object) -> tuple[int, int] | None:
    if isinstance(size, Mapping):
        return (int(size["height"]), int(size["width"])) if {"height", "width"} <= size.keys() else None
    return (int(size), int(size)) if isinstance(size, int) else None


def _shortest(size: object) -> int | None:
    return int(size["shortest_edge"]) if isinstance(size, Mapping) and "shortest_edge" in size else None


def _channels(values: Sequence[float] | float | None, channels: int) -> tuple[float, ...]:
    if values is None:
        return ()
    given = [float(value) for value in values] if isinstance(values, Sequence) else [float(values)]
    if len(given) not in (1, channels):
        raise ValueError(f"{len(given)} channels, the model takes {channels}")
    return tuple(given * channels if len(given) == 1 else given)
