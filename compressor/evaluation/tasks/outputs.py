"""Find the output that a task reads, and check its shape."""

from __future__ import annotations

from collections.abc import Sequence

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.tasks.contract import Alignment, Batch, OutputPort

EMBEDDINGS = ("sentence_embedding", "sentence_embeddings", "embeddings", "text_embeds", "image_embeds")
HIDDEN_STATES = ("last_hidden_state", "token_embeddings", "hidden_states")


def find_output(ports: Sequence[OutputPort], names: Sequence[str], rank: int, task: str) -> OutputPort:
    """Choose by name, then by the number of axes, then the only one there is.

    Raises:
        OptionError: none fits.
    """
    for name in names:
        for port in ports:
            if port.name == name:
                return port
    fitting = [port for port in ports if port.rank == rank]
    if fitting:
        return fitting[0]
    if len(ports) == 1 and ports[0].rank is None:
        return ports[0]
    offered = ", ".join(f"{port.name} ({'unknown' if port.rank is None else port.rank} axes)" for port in ports)
    raise OptionError(f"task {task} needs an output of {rank} axes, the model has {offered}; name another --task")


def read_output(batch: Batch, name: str, rank: int, task: str) -> Array:
    """Take one output with an entry for each row.

    Raises:
        OptionError: it is missing, or has another shape.
    """
    array = batch.outputs.get(name)
    if array is None:
        raise OptionError(f"task {task}: output {name!r} cannot be scored: it differs when the model is run again")
    if array.ndim != rank or len(array) != len(batch.places):
        shape = "x".join(map(str, array.shape)) or "scalar"
        raise OptionError(
            f"task {task}: output {name!r} has shape {shape}; an output of {rank} axes with {len(batch.places)} rows "
            "is wanted; name another --task"
        )
    return array


def visible(batch: Batch, length: int, alignment: Sequence[Alignment]) -> Array:
    """Find which positions of each row hold tokens rather than padding.

    Of texts that is known; of arrays the mask tells, and where the model takes none, all are tokens.
    """
    import numpy as np

    if alignment:
        known = [alignment[place] for place in batch.places]
        counts = np.array([len(row.parts) for row in known])[:, None]
        is_left = np.array([row.is_left_padded for row in known])[:, None]
        places = np.arange(length)[None, :]
        shown: Array = np.where(is_left, places >= length - counts, places < counts)
        return shown
    for name, array in batch.feeds.items():
        # Some masks have axes of size 1 for heads and queries between the rows and the tokens.
        is_of_tokens = array.size == len(batch.places) * length and array.shape[-1:] == (length,)
        if "mask" in name and "decoder" not in name and is_of_tokens:
            array = array.reshape(len(batch.places), length)
            # A mask that is added to scores is 0 where there is something to see, and very negative elsewhere.
            seen: Array = array >= 0 if array.dtype.kind == "f" and (array < 0).any() else array != 0
            return seen
    return np.ones((len(batch.places), length), bool)
