"""Runs, timings and the description of the host."""

from __future__ import annotations

import signal
import sys
from typing import Any

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest

from compressor.evaluation import running
from compressor.evaluation.contract import Refusal, Samples, describe_sizes
from compressor.evaluation.host import describe_host, name_int8_path, parse_cpuinfo
from compressor.evaluation.latency import FEWEST_RUNS, measure_latency
from compressor.evaluation.running import run_batch, run_samples, stream_samples
from compressor.model.session import open_session

DOUBLER = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[n, 2] x) => (float[n, 2] y) { y = Add(x, x) }"""


def open_text(text: str) -> Any:
    return open_session(ir.from_proto(onnx.parser.parse_model(text)), threads=1)


class FakeSession:
    """A session that writes down that it ran, and fails if told to."""

    def __init__(self, name: str, journal: list[str], *, fails: bool = False) -> None:
        self.name, self.journal, self.fails = name, journal, fails

    def run(self, output_names: Any, input_feed: Any, run_options: Any = None) -> Any:
        self.journal.append(self.name)
        if self.fails:
            raise RuntimeError("no")
        return []

    def run_with_ort_values(self, output_names: Any, input_dict_ort_values: Any, run_options: Any = None) -> Any:
        raise AssertionError("not needed here")

    def get_inputs(self) -> Any:
        return []

    def get_outputs(self) -> Any:
        return []


def test_failed_run_is_a_refusal_with_sizes_and_reason() -> None:
    refusal = run_batch(open_text(DOUBLER), {"x": np.zeros((1, 3), np.float32)})
    assert isinstance(refusal, Refusal)
    assert "x 1x3" in refusal.reason
    assert "Expected: 2" in refusal.reason


ENDLESS = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[n] x) => (float[n] y) <int64 most = {9223372036854775807}, bool yes = {1}> {
        y = Loop(most, yes, x) <body = b (int64 i, bool c, float[n] z) => (bool d, float[n] w) {
            d = Identity(c) w = Tanh(z) }> }"""


def test_a_run_without_an_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LONGEST_RUN", 0.2)
    refusal = run_batch(open_text(ENDLESS), {"x": np.zeros(3, np.float32)})
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "takes more than 0.2 s on x 3"


def test_a_run_can_be_interrupted() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    session = open_text(ENDLESS)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_batch(session, {"x": np.zeros(3, np.float32)})
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system alone limits memory")
def test_a_run_that_asks_for_more_memory_than_there_is_fails() -> None:
    session = open_text("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[n] x, int64[1] many) => (float y) { c = ConstantOfShape(many) y = ReduceMax <keepdims = 0> (c) }""")
    refusal = run_batch(session, {"x": np.zeros(3, np.float32), "many": np.array([10**12])})
    assert isinstance(refusal, Refusal)


def test_failure_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    session = open_text("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[n] x) => (float[m] y) <int64[1] five = {5}> { y = Reshape(x, five) }""")
    assert isinstance(run_batch(session, {"x": np.zeros(3, np.float32)}), Refusal)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_stream_stops_at_the_first_failure() -> None:
    good, bad = {"x": np.ones((1, 2), np.float32)}, {"x": np.ones((1, 9), np.float32)}
    samples = Samples(batches=(good, bad, good), generated=False, description="")
    first, second = stream_samples(open_text(DOUBLER), samples)
    assert not isinstance(first, Refusal)
    assert first[0].tolist() == [[2.0, 2.0]]
    assert isinstance(second, Refusal)
    assert isinstance(run_samples(open_text(DOUBLER), samples), Refusal)


def test_types_numpy_does_not_know_come_back_bit_by_bit() -> None:
    session = open_text("""<ir_version: 9, opset_import: ["" : 19]>
        g (float[2] x) => (bfloat16[2] y, float8e4m3fn[2] z, float[2] w) {
            y = Cast<to = 16>(x)
            z = Cast<to = 17>(x)
            w = Identity(x)
        }""")
    outputs = run_batch(session, {"x": np.array([1.0, -2.5], np.float32)})
    assert not isinstance(outputs, Refusal)
    assert [output.astype(float).tolist() for output in outputs] == [[1.0, -2.5]] * 3
    assert [output.dtype.itemsize for output in outputs] == [2, 1, 4]


def test_sessions_are_timed_in_turns() -> None:
    journal: list[str] = []
    sessions = {name: FakeSession(name, journal) for name in "ab"}
    found = measure_latency(sessions, {"x": np.zeros((1, 8))}, seconds=0.01)
    assert journal[:6] == ["a", "b", "a", "b", "b", "a"]
    assert found["a"].runs == found["b"].runs >= FEWEST_RUNS
    assert found["a"].shape == "x 1x8"
    assert found["a"].median_ms >= 0


def test_slow_sessions_are_still_timed_and_failing_ones_left_out() -> None:
    journal: list[str] = []
    sessions = {"good": FakeSession("good", journal), "bad": FakeSession("bad", journal, fails=True)}
    found = measure_latency(sessions, {"x": np.zeros(1)}, seconds=0.0)
    assert set(found) == {"good"}
    assert journal.count("bad") == 1
    assert found["good"].runs >= 1


def test_sizes_of_many_inputs_are_shortened() -> None:
    feeds = {f"past.{i}": np.zeros((1, 2)) for i in range(5)} | {"flag": np.zeros(())}
    assert describe_sizes(feeds) == "past.0 1x2, past.1 1x2, past.2 1x2 and 3 more"
    assert describe_sizes({"flag": np.zeros(())}) == "flag scalar"


@pytest.mark.parametrize(
    ("flags", "path"),
    [
        ("avx2 avx512bw avx512_vnni amx_int8", "amx-int8"),
        ("avx2 avx512bw avx512_vnni", "avx512-vnni"),
        ("avx2 avx_vnni", "avx-vnni"),
        ("fpu avx2 avx512bw", "avx512 without vnni (16-bit sums saturate)"),
        ("fpu AVX2", "avx2 without vnni (16-bit sums saturate)"),
        ("fp asimd asimddp i8mm", "arm i8mm"),
        ("fp asimd asimddp", "arm dot product"),
        ("", "unknown"),
    ],
)
def test_int8_path_is_named_after_the_best_flag(flags: str, path: str) -> None:
    assert name_int8_path(flags.split()) == path


def test_cpuinfo_is_read_as_x86_and_as_arm_write_it() -> None:
    x86 = parse_cpuinfo("processor\t: 0\nmodel name\t: Some CPU: fast\nflags\t\t: fpu avx2\n\nprocessor\t: 1\n")
    assert x86 == {"name": "Some CPU: fast", "flags": "fpu avx2"}
    assert parse_cpuinfo("processor : 0\nFeatures : fp asimd\n") == {"name": "", "flags": "fp asimd"}
    assert parse_cpuinfo("") == {}


def test_host_has_a_name_and_versions() -> None:
    host = describe_host(3)
    assert host.cpu
    assert host.int8_path
    assert host.threads == 3
    assert {"onnx", "onnxruntime", "onnx-ir"} <= set(host.versions)
