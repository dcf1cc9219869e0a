"""Hold the facts of a run, frozen: sizes, fidelities, steps, skips; deltas are computed, never stored."""

from __future__ import annotations

from compressor.report.axes import AxisFinding
from compressor.report.fidelity import SIGNIFICANT, Batching, Fidelity, OutputFidelity, TaskScore, WorstSample
from compressor.report.runs import Attempt, EachReport, Ending, Report, SetReport
from compressor.report.sizes import Layer, Size, Skip
from compressor.report.steps import Outcome, Quantization, Step, WeightNoise
from compressor.report.timing import Host, Latency, speedup

SCHEMA_VERSION = 1
"""Version of the JSON form of these facts; it grows when a field changes its meaning or disappears."""

__all__ = [
    "SCHEMA_VERSION",
    "SIGNIFICANT",
    "Attempt",
    "AxisFinding",
    "Batching",
    "EachReport",
    "Ending",
    "Fidelity",
    "Host",
    "Latency",
    "Layer",
    "Outcome",
    "OutputFidelity",
    "Quantization",
    "Report",
    "SetReport",
    "Size",
    "Skip",
    "Step",
    "TaskScore",
    "WeightNoise",
    "WorstSample",
    "speedup",
]
