"""Describe the machine that figures are measured on, above all what its processor does with int8."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from compressor.report import Host
from compressor.version import __version__

_CPU_FACTS = Path("/proc/cpuinfo")
_PACKAGES = ("onnx", "onnxruntime", "onnx-ir", "onnxscript")
# First match wins: (processor flags of which one is enough, what to call it). Names as Linux and macOS print them.
_INT8_PATHS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"amx_int8"}), "amx-int8"),
    (frozenset({"avx512_vnni", "avx512vnni"}), "avx512-vnni"),
    (frozenset({"avx_vnni", "avxvnni", "avx_vnni_int8"}), "avx-vnni"),
    (frozenset({"avx512bw"}), "avx512 without vnni (16-bit sums saturate)"),
    (frozenset({"avx2"}), "avx2 without vnni (16-bit sums saturate)"),
    (frozenset({"i8mm", "feat_i8mm"}), "arm i8mm"),
    (frozenset({"asimddp", "feat_dotprod"}), "arm dot product"),
    (frozenset({"asimd", "neon", "advsimd"}), "arm neon"),
    (frozenset({"sse4_1", "sse4.1"}), "sse4.1"),
)


def describe_host(threads: int) -> Host:
    """Name the processor, its int8 path and the versions in use; what cannot be found out is called unknown."""
    facts = _read_proc() or _read_sysctl()
    return Host(
        cpu=facts.get("name") or platform.processor() or platform.machine() or "unknown",
        int8_path=name_int8_path(facts.get("flags", "").split()),
        threads=threads,
        # Our own is known where nothing is installed, too: from a checkout.
        versions={name: version for name in _PACKAGES if (version := _version(name))}
        | {"onnx-compressor": __version__},
    )


def name_int8_path(flags: Iterable[str]) -> str:
    """Name the widest int8 dot product among processor flags.

    Without VNNI, x86 multiplies uint8 by int8 into sums of 16 bits that saturate, so int8 weights drift more there.
    """
    present = {flag.lower() for flag in flags}
    return next((name for needed, name in _INT8_PATHS if needed & present), "unknown")


def parse_cpuinfo(text: str) -> dict[str, str]:
    """Read name and flags of the first processor from the text of /proc/cpuinfo (x86 and ARM spell them apart)."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            fields.setdefault(key.strip().lower(), value.strip())
    facts = {
        "name": fields.get("model name") or fields.get("hardware") or fields.get("cpu model") or "",
        "flags": fields.get("flags") or fields.get("features") or "",
    }
    return facts if any(facts.values()) else {}


def _read_proc() -> dict[str, str]:
    try:
        return parse_cpuinfo(_CPU_FACTS.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return {}


def _read_sysctl() -> dict[str, str]:
    """Ask macOS; its ARM features are separate truth values."""
    if platform.system() != "Darwin":
        return {}
    settings = _run_sysctl()
    flags = settings.get("machdep.cpu.features", "") + " " + settings.get("machdep.cpu.leaf7_features", "")
    features = [key.rpartition(".")[2] for key, value in settings.items() if ".arm." in key and value == "1"]
    if platform.machine() == "arm64":
        features.append("asimd")
    return {"name": settings.get("machdep.cpu.brand_string", ""), "flags": " ".join([flags, *features])}


def _run_sysctl() -> dict[str, str]:
    try:
        listing = subprocess.run(
            ["/usr/sbin/sysctl", "machdep.cpu", "hw.optional"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = (line.partition(":") for line in listing.splitlines())
    return {key.strip(): value.strip() for key, separator, value in pairs if separator}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
