"""What all tests share: the fixtures on disk, and how hypothesis and the runtime behave under test."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

FIXTURES = Path(__file__).parent.parent / "fixtures"

onnxruntime.set_default_logger_severity(4)
