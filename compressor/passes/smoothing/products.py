"""Find products of activations with weights, and which of them must agree on one factor for each feature."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.match import int_attribute
from compressor.passes.quantization.weights import FloatWeight, Use

FLOAT = ir.DataType.FLOAT


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A MatMul or Gemm of an activation, on the left, with a matrix.

    Attributes:
        node: the operator; its first input is the activation.
        weight: the stored matrix.
        axis: the axis of the stored matrix that meets the activation's features.
    """

    node: ir.Node
    weight: FloatWeight
    axis: int

    @property
    def activation(self) -> ir.Value:
        """What the matrix is multiplied with."""
        value = self.node.inputs[0]
        assert value is not None
        return value


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Products bound together: they share an activation, which is scaled once, or a weight, which is stored once."""

    products: tuple[Product, ...]

    @property
    def activations(self) -> tuple[ir.Value, ...]:
        """Each activation once."""
        return tuple(dict.fromkeys(product.activation for product in self.products))

    @property
    def weights(self) -> dict[FloatWeight, int]:
        """Each weight once, with the axis that meets the features."""
        return {product.weight: product.axis for product in self.products}

    @property
    def features(self) -> int:
        """How many features the activations have."""
        first = self.products[0]
        return first.weight.shape[first.axis]


def products_of(weight: FloatWeight, graph: ir.Graph) -> list[Product]:
    """The products of `graph` itself with `weight` on the right: only its values can be watched."""
    found = ((use.node, _feature_axis(use)) for use in weight.uses if use.node.graph is graph)
    return [Product(node, weight, axis) for node, axis in found if axis is not None]


def obstacle(weight: FloatWeight, products: Iterable[Product]) -> str:
    """Why a weight with these `products` cannot be scaled; empty where it can."""
    if weight.exposed:
        return "is an input or an output of the graph as well"
    if weight.tensor.dtype != FLOAT or weight.dtype != FLOAT:
        return f"is {weight.tensor.dtype}; only float32 weights are smoothed"
    followed = list(products)
    followed_nodes = [product.node for product in followed]
    others = sorted({use.label for use in weight.uses if use.node not in followed_nodes})
    if others:
        return f"used by {others[0]} as well, which takes no smoothed activation"
    if len({product.axis for product in followed}) > 1:
        return "multiplied along either axis"
    return ""


def grouped(products: Iterable[Product]) -> list[Group]:
    """Join products into the smallest groups that share neither an activation nor a weight with each other."""
    joined: dict[ir.Value | FloatWeight, list[Product]] = {}
    for product in products:
        known = (joined.get(product.activation, []), joined.get(product.weight, []))
        whole = list(dict.fromkeys((*known[0], *known[1], product)))
        for member in whole:
            joined[member.activation] = joined[member.weight] = whole
    return [Group(tuple(whole)) for whole in {id(whole): whole for whole in joined.values()}.values()]


def _feature_axis(use: Use) -> int | None:
    """The stored axis that meets the features of the activation; None where it is no plain product with a matrix."""
    node, view = use.node, use.view
    if node.domain != "" or use.index != 1 or len(view.shape) != 2 or len(view.stored) != 2 or use.is_call:
        return None
    if any(attribute.is_ref() for attribute in node.attributes.values()):
        return None
    if node.op_type == "MatMul":
        seen = 0
    elif node.op_type == "Gemm" and not int_attribute(node, "transA", 0):
        seen = int_attribute(node, "transB", 0)
    else:
        return None
    source = view.sources[seen]
    return source[0] if source is not None and len(source) == 1 and node.inputs[0] is not node.inputs[1] else None
