"""Mutants of sound models: what loads holds what protobuf says it holds, and nothing outside their folder is opened."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits as POSIX has them")

ROOT = Path(__file__).parents[2]
EACH = 150

LOADED = """
    import os, resource, sys
    from pathlib import Path

    import numpy as np
    import onnx, onnxruntime, onnxscript
    from google.protobuf.message import DecodeError

    from compressor.errors import ModelError
    from compressor.model.load import load
    from compressor.model.save import save
    from compressor.model.size import measure
    from tests.fuzz.mutants import mutant

    folder, first, each = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for name in ("outside", "inside"):
        (folder / name).mkdir()
    (folder / "outside" / "secret").write_bytes(b"CANARY" * 1000)
    path = folder / "inside" / "model.onnx"
    path.with_name("w.bin").write_bytes(bytes(128))
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
    strange = set()

    def watch(event, arguments):
        "Note what is opened by name, but for modules, what the system tells, and the folder itself."
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            place = os.path.realpath(os.fsdecode(arguments[0]))
            if not place.startswith((str(path.parent), sys.base_prefix, sys.prefix, os.getcwd(), "/proc", "/sys")):
                strange.add(place)

    def weights(proto):
        "The bytes of initializers that lie in the message, by name."
        raw = {t.name: t.raw_data for t in proto.graph.initializer if t.HasField("raw_data") and not t.data_location}
        return {name: raw[name] for name in raw if sum(t.name == name for t in proto.graph.initializer) == 1}

    sys.addaudithook(watch)
    loaded = refused = 0
    for seed in range(first, first + each):
        content = mutant(seed)
        path.write_bytes(content)
        try:
            model = load(path)
        except ModelError as refusal:
            assert "\\n" not in str(refusal) and len(str(refusal)) < 1500, seed
            assert "CANARY" not in str(refusal), seed
            refused += 1
            continue
        loaded += 1
        held = weights(onnx.ModelProto.FromString(content))
        for name, found in model.graph.initializers.items():
            assert name not in held or found.const_value.tobytes() == held[name], (seed, name)
        measure(model)
        save(model, path.with_name("out.onnx"), overwrite=True)
        whole = b"".join(place.read_bytes() for place in path.parent.glob("out.onnx*"))
        assert b"CANARY" not in whole, seed
    assert not strange, strange
    print(loaded, refused)
"""


@pytest.mark.parametrize("first", range(0, 4 * EACH, EACH))
def test_a_mutant_is_refused_or_holds_what_protobuf_says(first: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(LOADED), str(tmp_path), str(first), str(EACH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert min(map(int, done.stdout.split())) > EACH // 10, "some are refused, and some are not"
