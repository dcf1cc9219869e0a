"""Results as `run.py` stores them, made by hand."""

from __future__ import annotations

from typing import Any

HOST = {
    "cpu": "a processor",
    "instructions": ["avx2"],
    "cores": 2,
    "system": "Linux",
    "memory_bytes": 8_000_000_000,
    "python": "3.11.7",
    "threads": 2,
    "versions": {"onnx": "1.23.2"},
    "peers": {"onnx": "1.23.2", "onnxslim": "0.1.98"},
}
SETTINGS = {"commit": "abc1234", "rounds": 2, "timed": True, "timeout_seconds": 60.0, "memory_bytes": 4_000_000_000}


def findings(megabytes: float, *, copies: float = 0, drift: float = 0, speed: float = 1, **more: Any) -> dict[str, Any]:
    compared = {"max_rel": drift, "cosine_min": 1 - drift, "top1": 1.0, "rows": 6}
    return {
        "refused": "",
        "digest": f"{megabytes} {copies} {drift}",
        "judge": "the judge",
        "total_bytes": round(megabytes * 1e6),
        "duplicate_bytes": round(copies * 1e6),
        "transposed_duplicate_bytes": 0,
        "drift_right_padding": compared,
        "drift_any_padding": compared,
        "task": None,
        "latency": {"positions": 128, "original_ms": 10 * speed, "result_ms": 10, "turns": 5},
        **more,
    }


def run(wall: float | None = 1.5, *, exit_code: int = 0, result: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "wall_seconds": wall,
        "cpu_seconds": wall,
        "peak_rss_bytes": 100_000_000,
        "peak_anonymous_bytes": 90_000_000,
        "exit_code": exit_code,
        "timed_out": False,
        "last_words": "",
        "left_a_result": result,
        "load_before": 0.5,
        **more,
    }


def done(found: dict[str, Any], wall: float | None = 1.5) -> dict[str, Any]:
    one = run(wall)
    measures = ("wall_seconds", "cpu_seconds", "peak_rss_bytes", "peak_anonymous_bytes")
    return {"runs": [one, one], "findings": found, "median": {name: one[name] for name in measures}}


def failed(words: str, **more: Any) -> dict[str, Any]:
    measures = ("wall_seconds", "cpu_seconds", "peak_rss_bytes", "peak_anonymous_bytes")
    failure = run(0.1, **{"exit_code": 1, "result": False, "last_words": words, **more})
    return {"runs": [failure], "median": dict.fromkeys(measures)}


def model(name: str = "model.onnx", **more: Any) -> dict[str, Any]:
    """An original of 10 MB with 6 MB of copies, a copy of it, two good results, a wrong one and a crash."""
    return {
        "model": name,
        "digest": "of the model",
        "settings": SETTINGS,
        "host": HOST,
        "original": findings(10, copies=6),
        "contenders": {
            "copy": done(findings(10, copies=6), wall=0.1),
            "compressor default": done(findings(1, drift=0.02, speed=2), wall=3.0),
            "onnx_ir deduplicate": done(findings(4)),
            "onnxsim": done(findings(4, refused="Fail: no such operator", latency=None)),
            "onnxslim": failed("MemoryError"),
        },
        "skipped": {"onnxoptimizer": "onnxoptimizer is not installed"},
        **more,
    }
