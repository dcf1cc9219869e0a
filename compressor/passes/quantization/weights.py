"""Find the float weights of a model and everything that uses them."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import onnx_ir as ir

from compressor.model.tensors import label_of
from compressor.passes.quantization.views import View, look_through


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """An operator that takes a weight as input `index`, perhaps rearranged on the way.

    Attributes:
        node: the operator.
        index: which of its inputs the weight is.
        view: how it sees the weight.
        dtype: the float type it sees it in.
        opset: the version of the standard operators where the node stands.
        is_call: the operator is a function of the model.
    """

    node: ir.Node
    index: int
    view: View
    dtype: ir.DataType
    opset: int
    is_call: bool

    @property
    def label(self) -> str:
        """The operator, by what a user finds in the model."""
        return label_of(self.node)


@dataclass(frozen=True, slots=True, eq=False)
class FloatWeight:
    """A stored float tensor.

    Attributes:
        value: the initializer, or the output of its Constant node.
        tensor: its values.
        uses: what takes it, looking through operators that only rearrange it or turn it into another float type.
        rearranged_by: those operators, each before the ones that take its output.
        exposed: it, or a rearranged form of it, is an output of its graph or may be overridden as an input.
        home: the graph or function that holds it.
        opset: the version of the standard operators there.
    """

    value: ir.Value
    tensor: ir.TensorProtocol
    uses: tuple[Use, ...]
    rearranged_by: tuple[ir.Node, ...]
    exposed: bool
    home: ir.Graph | ir.Function
    opset: int

    @property
    def name(self) -> str:
        """Its name in the model."""
        return self.value.name or ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(self.tensor.shape.numpy())

    @property
    def dtype(self) -> ir.DataType:
        """The float type that all its uses see, which need not be the one it is stored in."""
        seen = {use.dtype for use in self.uses}
        return seen.pop() if len(seen) == 1 else self.tensor.dtype

    @property
    def elements(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)


_COMPUTED_WITH = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


class _Trace(NamedTuple):
    uses: tuple[Use, ...]
    rearranged_by: tuple[ir.Node, ...]
    exposed: bool


def find_float_weights(model: ir.Model, min_elements: int) -> Iterator[FloatWeight]:
    """Yield every float initializer and constant of at least `min_elements`, wherever in the model it is."""
    bodies: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for body in bodies:
        # onnx_ir spells the standard domain "" on nodes but leaves "ai.onnx" as it is on imports.
        opset = body.opset_imports.get("", body.opset_imports.get("ai.onnx", 1))
        for home in (body, *body.subgraphs()):
            for value, tensor in _constants(home):
                if tensor.dtype.is_floating_point() and math.prod(tensor.shape.numpy()) >= min_elements:
                    found = _trace(value, tensor, opset, model.functions)
                    yield FloatWeight(value, tensor, found.uses, found.rearranged_by, found.exposed, home, opset)


def _constants(home: ir.Graph | ir.Function) -> Iterator[tuple[ir.Value, ir.TensorProtocol]]:
    if isinstance(home, ir.Graph):
        for value in home.initializers.values():
            if value.const_value is not None:
                yield value, value.const_value
    for node in home:
        if node.op_type == "Constant" and node.domain == "" and "value" in node.attributes:
            attribute = node.attributes["value"]
            if not attribute.is_ref():
                yield node.outputs[0], attribute.as_tensor()


def _trace(
    weight: ir.Value, tensor: ir.TensorProtocol, opset: int, functions: Container[ir.OperatorIdentifier]
) -> _Trace:
    uses: list[Use] = []
    rearranged_by: list[ir.Node] = []
    exposed = weight.is_graph_input()
    waiting = [(weight, View.whole(tuple(tensor.shape.numpy())), tensor.dtype)]
    while waiting:
        value, view, dtype = waiting.pop()
        exposed = exposed or value.is_graph_output()
        for node, index in value.uses():
            cast_to = float_cast(node)
            onward = view if cast_to is not None else look_through(node, index, view)
            if onward is None:
                uses.append(Use(node, index, view, dtype, opset, node.op_identifier() in functions))
            else:
                rearranged_by.append(node)
                waiting.append((node.outputs[0], onward, cast_to or dtype))
    return _Trace(tuple(uses), tuple(rearranged_by), exposed)


def float_cast(node: ir.Node) -> ir.DataType | None:
    """The type that a Cast turns floats into, where it is one that weights are computed with; None otherwise."""
    given = node.attributes.get("to") if node.op_type == "Cast" and node.domain == "" else None
    if given is None or given.is_ref():
        return None
    return next((dtype for dtype in _COMPUTED_WITH if dtype.value == given.as_int()), None)
