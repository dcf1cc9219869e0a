"""What all tests share: the fixtures on disk, and how hypothesis and the runtime behave under test."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
from hypothesis import settings

FIXTURES = Path(__file__).parent.parent / "fixtures"

onnxruntime.set_default_logger_severity(4)

# The same examples every time, with no limit on a busy machine: a check that is green stays green.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")
