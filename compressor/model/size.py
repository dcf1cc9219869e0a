"""Account for the bytes of a model: weights by type, metadata, graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import onnx
import onnx_ir as ir

from compressor.model.carried import carried
from compressor.model.equality import equal_groups
from compressor.model.garbage import collection_paused
from compressor.model.layout import lay_out
from compressor.model.packed import type_of_values
from compressor.model.tensors import all_tensors
from compressor.report import Size


@collection_paused()
def measure(model: ir.Model) -> Size:
    """Size of `model` as it would be on disk; of its weights only equal-looking ones are read, to count duplicates."""
    layout = lay_out(model)
    held = list(all_tensors(model))
    by_type: Counter[str] = Counter()
    for item in held:
        by_type[type_of_values(item)] += tensor_bytes(item.tensor)
    return Size(
        total_bytes=layout.total_bytes,
        weight_bytes=dict(by_type.most_common()),
        metadata_bytes=_metadata_bytes(onnx.ModelProto.FromString(layout.skeleton)),
        duplicate_bytes=_duplicate_bytes([item.tensor for item in held if item.read_as is not None]),
    )


def size_on_disk(model: ir.Model) -> Size:
    """Size of `model` with the files it was read from as the total, which may hold more than the model needs.

    A model that was not read from a file counts as it would be written.
    """
    size = measure(model)
    return replace(size, total_bytes=bytes_on_disk([model])) if carried(model) else size


def bytes_on_disk(models: Iterable[ir.Model]) -> int:
    """Bytes of all files that `models` were read from; a file that several read counts once."""
    files = [file for model in models if (facts := carried(model)) for file in facts.files]
    return sum({(file.status.st_dev, file.status.st_ino): file.size for file in files}.values())


def tensor_bytes(tensor: ir.TensorProtocol) -> int:
    """Bytes of a tensor's values; for strings, of their characters."""
    if isinstance(tensor, ir.StringTensor):
        return sum(len(bytes(text)) for text in tensor.string_data())
    return int(tensor.nbytes)


def _duplicate_bytes(tensors: list[ir.TensorProtocol]) -> int:
    groups = equal_groups(tensors, lambda tensor: tensor)
    return sum(tensor_bytes(group[0]) * (len(group) - 1) for group in groups)


def _metadata_bytes(proto: onnx.ModelProto) -> int:
    """Bytes of what no computation needs: documentation, properties, recorded shapes of inner values."""
    total: int = len(proto.doc_string) + sum(entry.ByteSize() for entry in proto.metadata_props)
    waiting: list[onnx.GraphProto | onnx.FunctionProto] = [proto.graph, *proto.functions]
    while waiting:
        body = waiting.pop()
        total += len(body.doc_string)
        for entry in (*body.metadata_props, *body.value_info):
            total += entry.ByteSize()
        for node in body.node:
            total += len(node.doc_string) + sum(entry.ByteSize() for entry in node.metadata_props)
            for attribute in node.attribute:
                waiting.extend(attribute.graphs)
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
    return total
