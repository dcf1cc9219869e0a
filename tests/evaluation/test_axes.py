"""Axes declared dynamic: which can have another size, and what keeps the others from it."""

from __future__ import annotations

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from compressor.evaluation.axes import probe_axes
from compressor.evaluation.contract import Refusal
from compressor.report import AxisFinding


def probed(text: str) -> dict[str, AxisFinding]:
    found = probe_axes(ir.from_proto(onnx.parser.parse_model(text)))
    assert not isinstance(found, Refusal), found
    return {finding.axis: finding for finding in found}


def test_axes_that_really_are_dynamic_run_at_several_sizes() -> None:
    found = probed("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, seq, 4] x) => (float[batch, seq, 4] y) { y = Relu(x) }
    """)
    assert not found["batch"].is_fixed
    assert len(found["batch"].sizes) > 1
    assert not found["seq"].is_fixed
    assert found["seq"].inputs == ("x",)


def test_a_reshape_that_holds_the_exports_size_is_named() -> None:
    found = probed("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, seq, 8] x) => (float[batch, seq, 8] y)
        <int64[4] shape = {1, 16, 2, 4}, int64[3] back = {0, 0, -1}>
        {
            [split_heads] parts = Reshape(x, shape)
            y = Reshape(parts, back)
        }
    """)
    assert found["seq"].is_fixed
    assert "split_heads" in found["seq"].reason
    assert found["seq"].sizes == (16,)
    assert found["batch"].is_fixed


def test_one_baked_axis_does_not_condemn_the_other() -> None:
    found = probed("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, seq, 8] x) => (float[batch, seq, 8] y)
        <int64[4] shape = {-1, 16, 2, 4}, int64[3] back = {0, 0, -1}>
        {
            parts = Reshape(x, shape)
            y = Reshape(parts, back)
        }
    """)
    assert found["seq"].is_fixed or found["batch"].is_fixed
    assert not found["batch"].is_fixed


def test_rows_that_are_mixed_without_a_failure_are_noticed() -> None:
    found = probed("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, seq] x) => (float[batch, any] y) <int64[2] shape = {4, -1}>
        { y = Reshape(x, shape) }
    """)
    assert found["batch"].is_fixed
    assert "where batch should be" in found["batch"].reason


@pytest.mark.parametrize(("baked", "axis", "size"), [("2, -1, 8", "batch", 2), ("1, -1, 8", "batch", 1)])
def test_a_size_that_mixes_rows_of_the_first_sample_is_found(baked: str, axis: str, size: int) -> None:
    """The first sample has four rows, and runs."""
    found = probed(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, seq, 8] x) => (float[batch, seq, 8] y) <int64[3] shape = {{{baked}}}>
        {{ y = Reshape(x, shape) }}
    """)
    assert found[axis].is_fixed
    assert found[axis].sizes == (size,)
    assert not found["seq"].is_fixed


def test_a_length_that_a_table_of_positions_fixes_is_found() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, seq, 8] x) => (float[batch, seq, 8] y) { y = Add(x, positions) }
    """)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 77, 8), np.float32), "positions"))
    findings = probe_axes(ir.from_proto(model))
    assert not isinstance(findings, Refusal)
    assert {finding.axis: finding.is_fixed for finding in findings} == {"batch": False, "seq": True}


def test_outputs_that_declare_what_they_never_are_are_refused() -> None:
    found = probe_axes(
        ir.from_proto(
            onnx.parser.parse_model("""
                <ir_version: 8, opset_import: ["" : 17]>
                g (float[batch, 8] x) => (float[batch, 8] y) { y = Concat<axis = 0>(x, x) }
            """)
        )
    )
    assert isinstance(found, Refusal)
    assert "where batch should be" in found.reason


def test_axes_that_must_be_equal_are_varied_together() -> None:
    found = probed("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, seq] x, float[batch, mask_seq] mask) => (float[batch, seq] y) { y = Mul(x, mask) }
    """)
    assert not any(finding.is_fixed for finding in found.values())


def test_a_model_without_dynamic_axes_has_no_findings() -> None:
    assert (
        probed("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2, 3] x) => (float[2, 3] y) { y = Relu(x) }
    """)
        == {}
    )


def test_a_model_that_runs_on_nothing_is_refused_with_the_reason() -> None:
    found = probe_axes(
        ir.from_proto(
            onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 4] x) => (float[n, 5] y) <int64[2] shape = {1, 5}> { y = Reshape(x, shape) }
    """)
        )
    )
    assert isinstance(found, Refusal)
