"""Insert operators and small constants into a graph, each shared by all that need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.model.tensors import roots
from compressor.passes.names import FreshNames

if TYPE_CHECKING:
    from compressor.passes.quantization.role import IntegerWeight

FLOAT = ir.DataType.FLOAT

_BETWEEN = "inner"
"""What values between operators that stand for one are named, with a number."""

Attributes = Mapping[str, int | float | str | Sequence[int] | Sequence[float] | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation in integers: `integers` (uint8), and the scale and zero point found at run time."""

    integers: ir.Value
    scale: ir.Value
    zero_point: ir.Value


class Edit:
    """New operators and constants of one run over one model.

    Every operator is put right before the first node that needs it, so nodes must be edited in graph order.

    Attributes:
        stored: weights that are in integers, by the node that uses them and the index of its input.
    """

    def __init__(self, model: ir.Model) -> None:
        self.stored: dict[tuple[ir.Node, int], IntegerWeight] = {}
        self._names = FreshNames(*roots(model))
        self._roots = {body: root for root in roots(model) for body in (root, *root.subgraphs())}
        self._activations: dict[tuple[ir.Graph | ir.Function | None, ir.Value], Activation] = {}
        self._operators: dict[Any, ir.Value] = {}
        self._last_at_start: dict[ir.Graph | ir.Function, ir.Node] = {}

    def name(self, wish: str) -> str:
        """Take a free name like `wish`."""
        return self._names.make(wish)

    def insert(
        self,
        before: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Attributes | None = None,
        outputs: int = 1,
        domain: str = "",
    ) -> Sequence[ir.Value]:
        """Add an operator before a node.

        It is named by its type and a number, and so is what it gives: names that spell out the layer, each written
        three times, made up a tenth of a small model. Where it stands shows from the names around it, which stay.
        """
        node = ir.node(op_type, inputs, attributes or {}, domain=domain, num_outputs=outputs, name=self.name(op_type))
        for value in node.outputs:
            value.name = self.name(_BETWEEN)
        assert before.graph is not None
        before.graph.insert_before(before, node)
        if domain:
            # A function's nodes name the graph inside it as theirs, which declares domains for the function.
            self._roots.get(before.graph, before.graph).opset_imports.setdefault(domain, 1)
        return node.outputs

    def insert_once(
        self,
        before: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Attributes | None = None,
    ) -> ir.Value:
        """Add an operator with one output, or find the same one added earlier to this graph."""
        key = (before.graph, op_type, tuple(inputs), repr(sorted((attributes or {}).items())))
        if key not in self._operators:
            self._operators[key] = self.insert(before, op_type, inputs, attributes)[0]
        return self._operators[key]

    def quantize_activation(self, value: ir.Value, dtype: ir.DataType, before: ir.Node) -> Activation:
        """Quantize an activation where `before` stands, or find it quantized for an earlier node of that graph."""
        key = (before.graph, value)
        if key not in self._activations:
            source = value
            if dtype != FLOAT:
                source = self.insert_once(before, "Cast", [value], {"to": FLOAT.value})
            self._activations[key] = Activation(*self.insert(before, "DynamicQuantizeLinear", [source], outputs=3))
        return self._activations[key]

    def constant(self, home: ir.Graph | ir.Function, tensor: ir.TensorProtocol) -> ir.Value:
        """Hold `tensor`, named already, in `home`: an initializer, or at the start of a function, which has none."""
        if isinstance(home, ir.Graph):
            value = ir.Value(
                name=tensor.name,
                shape=ir.Shape(tensor.shape.numpy()),
                type=ir.TensorType(tensor.dtype),
                const_value=tensor,
            )
            home.register_initializer(value)
            return value
        node = ir.Node("", "Constant", [], [ir.AttrTensor("value", tensor)], name=self.name("Constant"))
        node.outputs[0].name = tensor.name
        return self._put_at_start(home, node)

    def small_constant(self, home: ir.Graph | ir.Function, array: NDArray[Any], name: str) -> ir.Value:
        """Hold a small array under a name like `name`, once for each content; another shape of it is a Reshape."""
        content = (home, array.dtype, array.tobytes())
        key = (*content, array.shape)
        if key in self._operators:
            return self._operators[key]
        if content in self._operators and array.ndim:
            shape = self.small_constant(home, np.array(array.shape, np.int64), f"{name}_shape")
            value = self.append_to_start(home, "Reshape", [self._operators[content], shape])
        else:
            value = self.constant(home, ir.tensor(np.ascontiguousarray(array), name=self.name(name)))
            self._operators[content] = value
        self._operators[key] = value
        return value

    def append_to_start(
        self, home: ir.Graph | ir.Function, op_type: str, inputs: Sequence[ir.Value], to: int | None = None
    ) -> ir.Value:
        """Compute something from constants of `home`, or from what was computed there so, before anything else."""
        attributes = {} if to is None else {"to": to}
        node = ir.node(op_type, inputs, attributes, name=self.name(op_type))
        node.outputs[0].name = self.name(_BETWEEN)
        return self._put_at_start(home, node)

    def _put_at_start(self, home: ir.Graph | ir.Function, node: ir.Node) -> ir.Value:
        """Put a node before all nodes of the original, after those put there earlier, whose outputs it may take."""
        last = self._last_at_start.get(home)
        if last is None:
            home.insert_before(home[0], node)
        else:
            home.insert_after(last, node)
        self._last_at_start[home] = node
        return node.outputs[0]

    def replace(self, node: ir.Node, *values: ir.Value) -> None:
        """Let `values` stand where the outputs of `node` stood, under their names, and take `node` out."""
        for old, value in zip(node.outputs, values, strict=True):
            name, value.shape, value.type, value.doc_string = old.name, old.shape, old.type, old.doc_string
            value.metadata_props.update(old.metadata_props)
            old.replace_all_uses_with(value, replace_graph_outputs=True)
            old.name, value.name = None, name
        assert node.graph is not None
        node.graph.remove(node, safe=True)
