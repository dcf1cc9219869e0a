"""Take shape arithmetic and no-ops out of the way of the patterns.

Exporters wrap every attention layer in Shape, Gather, Unsqueeze and Concat nodes that hang on inner values, so that
these values have a second reader and no pattern fits. What the arithmetic gives is known by name (see `shape_facts`):
equal contents are computed once, and a Reshape needs only constants.
"""

from __future__ import annotations

import onnx_ir as ir

from compressor.passes.fusions.dimensions import Size
from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import int_attribute, ints_attribute, is_operator, made_by, number_of, tensor_of
from compressor.passes.fusions.shape_facts import Shape, nodes_of

_REPEATABLE = frozenset(
    [
        "Shape",
        "Gather",
        "Unsqueeze",
        "Squeeze",
        "Concat",
        "Slice",
        "Cast",
        "Where",
        "Equal",
        "Expand",
        "Range",
        "ConstantOfShape",
        "Not",
        "And",
        "Or",
        "Sub",
        "Mul",
        "Add",
        "Less",
        "LessOrEqual",
        "Greater",
        "GreaterOrEqual",
        "Reshape",
        "Transpose",
        "Constant",
    ]
)
"""Deterministic operators that masks and shapes are made of; anything else is computed as often as the graph says."""


_PATTERN_PARTS = ("MatMul", "Einsum", "Mul", "Div", "Add", "Sub", "Where", "Softmax")
"""Operators inside the patterns, whose results must have no second reader."""


_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)


def simplify(edit: GraphEdit) -> None:
    """Merge equal shape computations, give Reshape constant targets, and drop what changes nothing."""
    _merge_equal_contents(edit)
    for node in edit.nodes("Reshape"):
        _make_target_constant(edit, node)
    _drop_no_ops(edit)
    _merge_repeated(edit)
    _read_sizes_elsewhere(edit)


def _merge_equal_contents(edit: GraphEdit) -> None:
    first: dict[tuple[object, ...], ir.Value] = {}
    replaced = []
    for node in edit.graph:
        for output in node.outputs:
            fact = edit.facts[output]
            if fact.content is None or None in fact.content or tensor_of(output) is not None:
                continue
            if fact.dtype not in (ir.DataType.INT64, ir.DataType.INT32) or fact.rank not in (0, 1):
                continue
            known = first.setdefault((fact.content, fact.rank, fact.dtype), output)
            if known is not output and output.uses() and not output.is_graph_output():
                edit.redirect(output, known)
                replaced.append(node)
    if replaced:
        edit.counts["shape_computations_merged"] += len(replaced)
        edit.sweep(replaced)


def _make_target_constant(edit: GraphEdit, node: ir.Node) -> None:
    if len(node.inputs) != 2 or node.inputs[0] is None or tensor_of(node.inputs[1]) is not None:
        return
    content, shape = edit.facts[node.inputs[1]].content, edit.facts.shape(node.inputs[0])
    target = None if content is None or shape is None else _constant_target(shape, content)
    if target is None or any(size is not None and size.number == 0 for size in content or ()):
        return
    computed = node.inputs[1]
    node.replace_input_with(1, edit.integers(target))
    node.attributes.pop("allowzero", None)
    edit.sweep([computed.producer()] if computed is not None else [])
    edit.counts["reshapes_made_constant"] += 1


def _constant_target(shape: Shape, content: tuple[Size | None, ...]) -> list[int] | None:
    """Say a Reshape target with numbers alone: 0 copies the axis, -1 is the one axis that follows from the others."""
    target: list[int | None] = []
    for axis, size in enumerate(content):
        if size is not None and size.number is not None:
            target.append(size.number)
        elif size is not None and axis < len(shape) and size == shape[axis]:
            target.append(0)
        else:
            target.append(None)
    if target.count(None) + target.count(-1) > 1:
        return None
    return [-1 if size is None else size for size in target]


def _read_sizes_elsewhere(edit: GraphEdit) -> None:
    """Take the sizes of inner values from the first value that has them, so that the inner ones are read once."""
    held: dict[Size, tuple[ir.Value, int]] = {}
    lengths: dict[Size, ir.Value] = {}
    for node in list(edit.graph):
        measured = node.inputs[0] if is_operator(node, "Shape") else None
        is_computed = edit.facts.dtype(measured) in _FLOATS and made_by(measured, *_PATTERN_PARTS) is not None
        if is_computed and measured is not None and len(measured.uses()) > 1:
            _rebuild_shape(edit, node, held, lengths)
        for value in (*node.inputs, *node.outputs):
            if value is None or tensor_of(value) is not None:
                continue
            for axis, size in enumerate(edit.facts.shape(value) or ()):
                held.setdefault(size, (value, axis))


def _rebuild_shape(
    edit: GraphEdit, node: ir.Node, held: dict[Size, tuple[ir.Value, int]], lengths: dict[Size, ir.Value]
) -> None:
    content, source = edit.facts[node.outputs[0]].content, node.inputs[0]
    if not content or node.outputs[0].is_graph_output() or source is None or source.producer() is None:
        return
    parts = []
    for size in content:
        if size is None or (size.number is None and held.get(size, (source, 0))[0] is source):
            return
        parts.append(size)
    values = []
    for size in parts:
        if size.number is None and size not in lengths:
            holder, axis = held[size]
            shape = edit.insert(node, "Shape", [holder], name=f"{holder.name}_shape").outputs[0]
            gather = edit.insert(node, "Gather", [shape, edit.integers([axis])], name=f"{holder.name}_{axis}")
            lengths[size] = gather.outputs[0]
        values.append(edit.integers([size.number]) if size.number is not None else lengths[size])
    whole = values[0]
    if len(values) > 1:
        name = f"{node.outputs[0].name}_sizes"
        whole = edit.insert(node, "Concat", values, attributes={"axis": 0}, name=name).outputs[0]
    edit.redirect(node.outputs[0], whole)
    edit.sweep([node])


def _drop_no_ops(edit: GraphEdit) -> None:
    dropped = []
    for node in list(nodes_of(edit.graph)):
        if not node.inputs or node.inputs[0] is None or not _is_no_op(edit, node):
            continue
        output, source = node.outputs[0], node.inputs[0]
        if output.is_graph_output() or any(extra.uses() or extra.is_graph_output() for extra in node.outputs[1:]):
            continue
        edit.redirect(output, source)
        dropped.append(node)
    if dropped:
        edit.counts["no_ops_dropped"] += len(dropped)
        edit.sweep(dropped)


def _is_no_op(edit: GraphEdit, node: ir.Node) -> bool:
    if is_operator(node, "Identity"):
        return not node.inputs[0].is_initializer()  # type: ignore[union-attr]  # checked by the caller
    if is_operator(node, "Dropout"):
        return len(node.inputs) < 3 or node.inputs[2] is None or number_of(node.inputs[2]) == 0
    if is_operator(node, "Cast"):
        return edit.facts.dtype(node.inputs[0]) == ir.DataType(int_attribute(node, "to", 0))
    if is_operator(node, "Transpose"):
        perm = ints_attribute(node, "perm")
        return perm is not None and perm == tuple(range(len(perm)))
    if is_operator(node, "Reshape", "Expand"):
        shape = edit.facts.shape(node.inputs[0])
        return shape is not None and shape == edit.facts.shape(node.outputs[0])
    return False


def _merge_repeated(edit: GraphEdit) -> None:
    """Compute once what several nodes of the main graph compute from the same inputs."""
    first: dict[tuple[object, ...], ir.Node] = {}
    replaced = []
    for node in edit.graph:
        key = _identity(edit, node)
        known = first.setdefault(key, node) if key is not None else node
        if known is node or node.outputs[0].is_graph_output():
            continue
        edit.redirect(node.outputs[0], known.outputs[0])
        replaced.append(node)
    merged = [node for node in replaced if node.op_type != "Constant"]
    if merged:
        edit.counts["repeated_nodes_merged"] += len(merged)
    edit.sweep(replaced)


def _identity(edit: GraphEdit, node: ir.Node) -> tuple[object, ...] | None:
    if not is_operator(node, *_REPEATABLE) or len(node.outputs) != 1:
        return None
    inputs = tuple(_input_identity(value) for value in node.inputs)
    attributes = []
    for name, attribute in sorted(node.attributes.items()):
        if attribute.is_ref() or attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            return None
        value = attribute.value
        if attribute.type == ir.AttributeType.TENSOR:
            if value.size > 16:
                return None
            value = (value.dtype, tuple(value.shape), value.tobytes())
        elif attribute.type in (ir.AttributeType.FLOAT, ir.AttributeType.FLOATS):
            value = repr(value)  # 0.0 and -0.0 are equal, and not the same
        attributes.append((name, attribute.type, value))
    return node.op_type, inputs, tuple(attributes)


def _input_identity(value: ir.Value | None) -> object:
    tensor = tensor_of(value)
    if tensor is None or tensor.size > 16 or tensor.dtype == ir.DataType.STRING:
        return value
    return tensor.dtype, tuple(tensor.shape), tensor.tobytes()
