"""Read the small constants that steer a graph, such as the target shape of a Reshape."""

from __future__ import annotations

import onnx_ir as ir

_LARGEST_STEERING_CONSTANT = 1024


def constant_tensor(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Find the tensor that `value` always is, reading none of its bytes; None where a caller may change it."""
    if value is None or value.is_graph_input():
        return None
    if value.const_value is not None:
        return value.const_value
    node = value.producer()
    if node is None or node.op_type != "Constant" or node.domain != "" or "value" not in node.attributes:
        return None
    attribute = node.attributes["value"]
    return None if attribute.is_ref() else attribute.as_tensor()


def constant_integers(value: ir.Value | None) -> list[int] | None:
    """Read a short list of integers, from an initializer or either spelling of a Constant node."""
    tensor = constant_tensor(value)
    if tensor is not None:
        if not tensor.dtype.is_integer() or tensor.size > _LARGEST_STEERING_CONSTANT:
            return None
        return [int(number) for number in tensor.numpy().reshape(-1)]
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "Constant" or "value_ints" not in node.attributes:
        return None
    attribute = node.attributes["value_ints"]
    return None if attribute.is_ref() else list(attribute.as_ints())
