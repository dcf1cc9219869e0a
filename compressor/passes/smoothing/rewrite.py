"""Put factors into a graph: out of the activations, into the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from compressor.model.tensors import Held
from compressor.passes.fusions.match import is_operator, tensor_of
from compressor.passes.quantization.edit import Edit
from compressor.passes.quantization.weights import FloatWeight
from compressor.passes.smoothing.matrix import Floats, scaled_features
from compressor.passes.smoothing.normalized import Normalizations, Origin, Place
from compressor.passes.smoothing.products import FLOAT, Group


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """A decision: the features of a group's activations are divided by `factors`, those of its weights multiplied."""

    group: Group
    factors: Floats


def apply_scalings(model: ir.Model, scalings: Sequence[Scaling], normalizations: Normalizations) -> dict[str, int]:
    """Rewrite `model` in place, and count what was done."""
    edit = Edit(model)
    position = {node: index for index, node in enumerate(model.graph)}
    absorbed = 0
    for scaling in scalings:
        nodes = sorted((product.node for product in scaling.group.products), key=position.__getitem__)
        inverse = (np.float32(1) / scaling.factors).astype(np.float32)
        for activation in scaling.group.activations:
            own = [node for node in nodes if node.inputs[0] is activation]
            origin = normalizations.origin(activation)
            if origin is not None and _is_read_only_by(origin, own) and _absorb(origin, inverse, model.graph, edit):
                absorbed += 1
                continue
            factor = edit.small_constant(model.graph, inverse, f"{activation.name}_factors")
            smoothed = edit.insert(own[0], "Mul", [activation, factor])[0]
            smoothed.shape, smoothed.type = activation.shape, activation.type
            for node in own:
                node.replace_input_with(0, smoothed)
        for weight, axis in scaling.group.weights.items():
            _hold(weight, scaled_features(weight.tensor, axis, scaling.factors))
    counts = {
        "activations_smoothed": sum(len(scaling.group.activations) for scaling in scalings),
        "factors_in_normalizations": absorbed,
        "weights_scaled": sum(len(scaling.group.weights) for scaling in scalings),
    }
    return {name: count for name, count in counts.items() if count}


def _is_read_only_by(origin: Origin, products: Sequence[ir.Node]) -> bool:
    """Nothing but `products` sees how large the values are, from the normalization's result to the activation."""
    if any(value.is_graph_output() for value in origin.passed):
        return False
    *before, activation = origin.passed
    makers = [value.producer() for value in origin.passed[1:]]
    readers = {use.node for use in activation.uses() if not is_operator(use.node, "Shape")}
    if not readers <= set(products):
        return False
    return all(
        use.node is maker or is_operator(use.node, "Shape")
        for value, maker in zip(before, makers, strict=True)
        for use in value.uses()
    )


def _absorb(origin: Origin, inverse: Floats, graph: ir.Graph, edit: Edit) -> bool:
    """Put the factors into the weight and the bias of a normalization; False, with nothing done, where they cannot."""
    if not origin.parts:
        return False
    known = [(place, tensor) for place in origin.parts if (tensor := _vector(place, len(inverse))) is not None]
    if len(known) < len(origin.parts):
        return False
    for (node, index), tensor in known:
        old = node.inputs[index]
        assert old is not None
        new = edit.constant(graph, ir.tensor(tensor.numpy() * inverse, name=edit.name(f"{old.name}_smoothed")))
        node.replace_input_with(index, new)
        if old.is_initializer() and not old.uses() and not old.is_graph_input() and not old.is_graph_output():
            graph.initializers.pop(old.name or "", None)
    return True


def _vector(place: Place, length: int) -> ir.TensorProtocol | None:
    """One float32 constant for each feature."""
    node, index = place
    tensor = tensor_of(node.inputs[index])
    is_fit = tensor is not None and tensor.dtype == FLOAT and tuple(tensor.shape.numpy()) == (length,)
    return tensor if is_fit else None


def _hold(weight: FloatWeight, tensor: ir.TensorProtocol) -> None:
    """Hold another tensor where the weight's was."""
    node = weight.value.producer()
    where = Held(weight.tensor, weight.value if node is None else None, node, "value", 0, weight.home)
    where.replace(tensor)
