"""Reports drawn by hand, for the tests of every printed form."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import RenderableType

from compressor.checks import Check
from compressor.comparison import Comparison
from compressor.inspection import DuplicateGroup, Inspection, Port, Weight
from compressor.render.terminal import print_report
from compressor.report import (
    AxisFinding,
    EachReport,
    Ending,
    Outcome,
    Report,
    SetReport,
    Size,
    Skip,
    Step,
)
from tests.render.drawn import DRIFTED, HOST, IDENTICAL, albert, fidelity, latency, weighing


@pytest.fixture
def report() -> Report:
    """A run in which one pass was exact, one was rolled back and one was lossy."""
    biases = [
        Skip(candidate=f"encoder.{i}.bias", reason="768 elements, fewer than 1,024", weight_bytes=3072)
        for i in range(12)
    ]
    skipped = (
        *biases,
        Skip(candidate="table", reason="holds NaN", weight_bytes=400_000),
        Skip(candidate="pooler.bias", reason="96 elements, fewer than 1,024", weight_bytes=384),
        Skip(candidate="Add_12", reason="operator Add takes no int8 weights"),
    )
    return Report(
        source=Path("models/albert[v2].onnx"),
        output=Path("models/albert[v2].compressed.onnx"),
        original=weighing(358_548_619),
        steps=(
            Step(
                name="deduplicate",
                outcome=Outcome.KEPT,
                size=weighing(47_200_000),
                counts={"initializers_merged": 77},
                fidelity=fidelity(IDENTICAL),
                original_latency=latency(61.234),
                latency=latency(61.0),
                seconds=0.41,
            ),
            Step(
                name="fuse",
                outcome=Outcome.ROLLED_BACK,
                reason="it promises a relative difference of at most 1.0e-04, output 'logits' differs by 3.1e-02",
                size=weighing(47_200_000),
                fidelity=fidelity(IDENTICAL),
                original_latency=latency(61.234),
                latency=latency(61.0),
                seconds=12.34,
            ),
            Step(
                name="quantize",
                outcome=Outcome.KEPT,
                size=weighing(12_310_000, "INT8"),
                counts={"weights_quantized": 74, "matmul_in_int8": 73},
                skipped=skipped,
                fidelity=fidelity(DRIFTED),
                original_latency=latency(61.234),
                latency=latency(37.0),
                seconds=2.2,
            ),
        ),
        host=HOST,
        warnings=("sizes other than 4x16 could not be run",),
        original_layers=albert(12, 9_000_000, "FLOAT"),
        final_layers=albert(1, 2_700_000, "INT8"),
        seconds=17.0,
    )


@pytest.fixture
def unverified_report() -> Report:
    """A run in which no model was run, one pass found nothing to do, and the result is larger than the source."""
    return Report(
        source=Path("tiny.onnx"),
        output=None,
        original=Size(total_bytes=413, weight_bytes={"FLOAT": 64}),
        steps=(
            Step(name="fuse", outcome=Outcome.UNCHANGED, size=Size(total_bytes=413, weight_bytes={"FLOAT": 64})),
            Step(
                name="quantize",
                outcome=Outcome.KEPT,
                counts={"weights_quantized": 1},
                size=Size(total_bytes=871, weight_bytes={"INT8": 16, "FLOAT": 4}),
                reason="scheme dynamic",
            ),
        ),
        host=HOST,
        warnings=("nothing was run, so accuracy is unknown (--no-verify)",),
    )


@pytest.fixture
def set_report(report: Report) -> SetReport:
    """Two models of which one had a pass rolled back; they share weights and one warning."""
    common = "sizes other than 4x16 could not be run"
    decoder = replace(
        report,
        source=Path("t5[v2]/decoder_with_past_model.onnx"),
        output=Path("t5[v2].compressed/decoder_with_past_model.onnx"),
        steps=(report.steps[0], report.steps[2]),
        warnings=(common, "output 'noise' is not judged: the original does not repeat it when it is run twice"),
    )
    encoder = replace(
        report,
        source=Path("t5[v2]/encoder_model.onnx"),
        output=Path("t5[v2].compressed/encoder_model.onnx"),
        warnings=(common,),
    )
    return SetReport(
        reports=(decoder, encoder),
        files=(
            Path("t5[v2].compressed/decoder_with_past_model.onnx"),
            Path("t5[v2].compressed/encoder_model.onnx"),
            Path("t5[v2].compressed/weights-2d7836d9b91f2d5c.data"),
        ),
        original_bytes=717_097_238,
        total_bytes=18_510_000,
        shared_bytes=6_110_000,
    )


@pytest.fixture
def each_report(report: Report, unverified_report: Report) -> EachReport:
    """One that went well, one that was not run, one that was refused."""
    return EachReport(
        endings=(
            Ending(source=Path("zoo/albert[v2].onnx"), report=report),
            Ending(
                source=Path("zoo/unverified.onnx"),
                report=replace(unverified_report, output=Path("out/unverified.onnx")),
            ),
            Ending(source=Path("zoo/page.onnx"), report=None, refusal="is a web page"),
        ),
        jobs=1,
    )


@pytest.fixture
def comparison() -> Comparison:
    """A candidate whose values are too far away."""
    return Comparison(
        original_path=Path("models/albert[v2].onnx"),
        candidate_path=Path("models/albert[v2].compressed.onnx"),
        original=Size(total_bytes=358_548_619, weight_bytes={"FLOAT": 358_000_000}, duplicate_bytes=311_000_000),
        candidate=Size(total_bytes=12_310_000, weight_bytes={"INT8": 12_000_000}),
        original_layers=albert(12, 9_000_000, "FLOAT"),
        candidate_layers=albert(1, 2_700_000, "INT8"),
        atol=1e-3,
        checks=(
            Check(claim="input names and types match", holds=True, finding="input_ids INT64, attention_mask INT64"),
            Check(claim="output names and types match", holds=True, finding="logits FLOAT"),
            Check(claim="logits: shapes match", holds=True, finding="4x77, 1x77, 6x77"),
            Check(
                claim="logits: values are close (atol 0.001)",
                holds=False,
                finding="largest difference 4.0e-01, 3.1e-02 of the largest value",
            ),
        ),
        samples="11 rows made from the graph's signature (input_ids 4x16; input_ids 1x7)",
        fidelity=fidelity(DRIFTED),
        original_latency=latency(61.234),
        candidate_latency=latency(37.0),
        host=HOST,
        warnings=("the source's training information is left out",),
    )


@pytest.fixture
def inspection() -> Inspection:
    """A model with copies, an odd interface, and a chain that would shrink it."""
    names = [f"albert.layer.{i}.ffn.weight" for i in range(10)]
    return Inspection(
        source=Path("models/albert[v2].onnx"),
        file_bytes={Path("models/albert[v2].onnx"): 400_000, Path("models/albert[v2].onnx.data"): 26_200_000},
        ir_version=8,
        opsets={"ai.onnx": 17, "com.microsoft": 1},
        producer="pytorch 2.13.0",
        size=Size(
            total_bytes=26_600_000,
            weight_bytes={"FLOAT": 26_000_000, "INT64": 1_328},
            metadata_bytes=300_000,
            duplicate_bytes=21_200_000,
        ),
        inputs=(
            Port(name="input_ids", type="INT64", dims=("batch", "sequence")),
            Port(name="scale[x]", type="FLOAT", dims=(), has_default=True),
            Port(name="state", type="", dims=None),
        ),
        outputs=(Port(name="logits", type="FLOAT", dims=("batch", None, 77)),),
        operators={f"Operator{i}": 40 - i for i in range(10)},
        consumer_bytes={"MatMul": 24_000_000, "Gather + MatMul": 2_000_000, "nothing": 1_328},
        largest=tuple(
            Weight(name=name, type="FLOAT", shape=(768, 3072), weight_bytes=2_359_296, consumers=("MatMul",))
            for name in names
        ),
        weights=77,
        layers=albert(10, 800_000, "FLOAT"),
        duplicates=(
            DuplicateGroup(members=tuple(names), saved_bytes=21_233_664),
            DuplicateGroup(members=("Constant a", "Constant b"), saved_bytes=8),
        ),
        forecast=(
            Step(
                name="deduplicate",
                outcome=Outcome.KEPT,
                size=Size(total_bytes=5_360_000, weight_bytes={"FLOAT": 4_800_000}),
                counts={"initializers_merged": 9},
            ),
            Step(
                name="quantize",
                outcome=Outcome.KEPT,
                size=Size(total_bytes=1_710_000, weight_bytes={"INT8": 1_200_000}),
                counts={"weights_quantized": 2},
                skipped=(Skip(candidate="bias", reason="768 elements, fewer than 1,024", weight_bytes=3072),),
            ),
        ),
        axes=(
            AxisFinding(axis="batch", inputs=("input_ids",), sizes=(4, 5, 7, 2)),
            AxisFinding(
                axis="sequence",
                inputs=("input_ids",),
                sizes=(16,),
                reason="does not run on input_ids 4x17: Reshape node 'view_3': cannot be reshaped to {2,8,16,64}",
            ),
        ),
        warnings=("the training information in the file is left out",),
    )


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with the one kept under its name; COMPRESSOR_UPDATE_GOLDEN=1 keeps the new text and fails."""

    def compare(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if os.environ.get("COMPRESSOR_UPDATE_GOLDEN"):
            path.write_text(text, encoding="utf-8")
            pytest.fail(f"{name} was rewritten; read the difference before committing it")
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[RenderableType], str]:
    """Print as on a pipe: 80 columns, no colour."""
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")

    def show(report: RenderableType) -> str:
        print_report(report)
        return capsys.readouterr().out

    return show
