"""Put MatMulNBits and GatherBlockQuantized of ONNX Runtime where a product or a lookup takes a weight in blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from compressor.passes.quantization.blocks import BlockFormat, Matrix, as_matrix
from compressor.passes.quantization.edit import FLOAT, Edit
from compressor.passes.quantization.gather import gather_axis
from compressor.passes.quantization.gemm import add_bias, factor_of, is_turned
from compressor.passes.quantization.matmul import oriented
from compressor.passes.quantization.weights import FloatWeight, Use

DOMAIN = "com.microsoft"

INT8_ACTIVATIONS = 4
"""`accuracy_level` of MatMulNBits that turns activations into int8, each block with its own scale. Without it 8 bit
products on a CPU take ten times as long as float ones for one row, and 4 bit ones twice as long as with it."""

_SLICE_FROM_END = 11
"""First opset whose Slice counts axes from the end."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredBlocks:
    """A weight stored in blocks.

    Attributes:
        weight: what it was.
        matrix: how its uses see it.
        form: width and size of blocks.
        table: the packed integers, ``[outputs, bytes]``; None if nothing looks them up.
        factor: the same bytes as ``[outputs, blocks, bytes]``; None if nothing multiplies by them.
        scales: ``[outputs, blocks]``, of the type that products and lookups then compute in.
        zero_points: ``[outputs, bytes]``; None where they are the middle of the range.
    """

    weight: FloatWeight
    matrix: Matrix
    form: BlockFormat
    table: ir.Value | None
    factor: ir.Value | None
    scales: ir.Value
    zero_points: ir.Value | None

    @property
    def scale_inputs(self) -> list[ir.Value]:
        """Scales, and zero points where there are any, as the operators take them."""
        return [self.scales] if self.zero_points is None else [self.scales, self.zero_points]


@dataclass(frozen=True, slots=True, eq=False)
class BlockUse(ABC):
    """One use of a weight that can read it in blocks.

    Attributes:
        use: where the weight is used.
        matrix: how it is seen there.
    """

    counted_as: ClassVar[str]
    """Name of the count of such uses in a pass result."""

    use: Use
    matrix: Matrix

    @property
    def is_lookup(self) -> bool:
        """It looks rows up; otherwise it multiplies."""
        return False

    @abstractmethod
    def rewrite(self, blocks: StoredBlocks, edit: Edit) -> None:
        """Exchange the operator."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockMatMul(BlockUse):
    """A MatMul with the weight, a matrix, on the right."""

    counted_as = "matmul_in_blocks"

    def rewrite(self, blocks: StoredBlocks, edit: Edit) -> None:
        node = self.use.node
        activation = node.inputs[0]
        assert activation is not None
        edit.replace(node, _multiply(node, activation, blocks, edit))


@dataclass(frozen=True, slots=True, eq=False)
class BlockGemm(BlockUse):
    """A Gemm with the weight as B; alpha, beta and the bias stay float."""

    counted_as = "gemm_in_blocks"

    def rewrite(self, blocks: StoredBlocks, edit: Edit) -> None:
        node, weight = self.use.node, blocks.weight
        activation = node.inputs[0]
        assert activation is not None
        if is_turned(node, 0):
            activation = edit.insert_once(node, "Transpose", [activation], {"perm": (1, 0)})
        product = _multiply(node, activation, blocks, edit)
        alpha = factor_of(node, "alpha")
        if alpha != 1:
            factor = edit.small_constant(weight.home, np.array(alpha, weight.dtype.numpy()), "gemm_alpha")
            product = edit.insert(node, "Mul", [product, factor])[0]
        edit.replace(node, add_bias(node, product, weight, edit))


@dataclass(frozen=True, slots=True, eq=False)
class BlockLookup(BlockUse):
    """A Gather of rows of a table."""

    counted_as = "gather_in_blocks"

    @property
    def is_lookup(self) -> bool:
        return True

    def rewrite(self, blocks: StoredBlocks, edit: Edit) -> None:
        node, form, home = self.use.node, blocks.form, blocks.weight.home
        indices = node.inputs[1]
        attributes = {"gather_axis": 0, "quantize_axis": 1, "bits": form.bits, "block_size": form.size}
        inputs = [blocks.table, indices, *blocks.scale_inputs]
        rows = edit.insert(node, "GatherBlockQuantized", inputs, attributes, domain=DOMAIN)[0]
        if self.matrix.inputs % form.size:
            # The last block of a row was filled up: cut off what it was filled with.
            start, stop, axis = (
                edit.small_constant(home, np.array([value], np.int64), f"{blocks.weight.name}_{what}")
                for value, what in ((0, "start"), (self.matrix.inputs, "length"), (-1, "axis"))
            )
            rows = edit.insert(node, "Slice", [rows, start, stop, axis])[0]
        edit.replace(node, _as_before(node, rows, blocks, edit))


def match_block_use(use: Use, form: BlockFormat) -> BlockUse | None:
    """Read a use as one that takes blocks; None where it does not."""
    node = use.node
    if node.domain != "" or any(attribute.is_ref() for attribute in node.attributes.values()):
        return None
    if node.op_type == "MatMul" and use.index == 1 and (matrix := as_matrix(use.view, 1)):
        return BlockMatMul(use, matrix)
    if node.op_type == "Gemm" and use.index == 1 and len(use.view.shape) == 2:
        matrix = as_matrix(oriented(use.view, transposed=is_turned(node, 1)), 1)
        return BlockGemm(use, matrix) if matrix is not None else None
    if node.op_type == "Gather" and use.index == 0 and gather_axis(use) == 0 and (m := as_matrix(use.view, 0)):
        return BlockLookup(use, m) if use.opset >= _SLICE_FROM_END or not m.inputs % form.size else None
    return None


def scale_type(dtype: ir.DataType, uses: Sequence[BlockUse]) -> ir.DataType:
    """Type of the scales of a weight: that of the model, but float32 where anything multiplies by it.

    Between two operators that the CPU has for float32 only, such as Relu and Add, ONNX Runtime computes a product of
    float16 in float32 and casts its scales. Unless all optimizations are on, MatMulNBits of 1.31 then gives zeros.
    With these casts in the graph a product takes 1.0 to 1.25 times as long (768 x 768, 1 and 64 rows).
    """
    return dtype if all(use.is_lookup for use in uses) else FLOAT


def _multiply(node: ir.Node, activation: ir.Value, blocks: StoredBlocks, edit: Edit) -> ir.Value:
    matrix, form = blocks.matrix, blocks.form
    attributes = {
        "K": matrix.inputs, "N": matrix.outputs, "bits": form.bits, "block_size": form.size,
        "accuracy_level": INT8_ACTIVATIONS,
    }  # fmt: skip
    if blocks.weight.dtype != FLOAT:
        activation = edit.insert_once(node, "Cast", [activation], {"to": FLOAT.value})
    inputs = [activation, blocks.factor, *blocks.scale_inputs]
    product = edit.insert(node, "MatMulNBits", inputs, attributes, domain=DOMAIN)[0]
    return _as_before(node, product, blocks, edit)


def _as_before(node: ir.Node, value: ir.Value, blocks: StoredBlocks, edit: Edit) -> ir.Value:
    """Cast what was computed in the type of the scales to the type that the weight had."""
    if blocks.scales.dtype == blocks.weight.dtype:
        return value
    return edit.insert(node, "Cast", [value], {"to": blocks.weight.dtype.value})[0]
