"""ONNX Runtime sessions for tests."""

from __future__ import annotations

from pathlib import Path

import onnxruntime


def session(path: Path) -> onnxruntime.InferenceSession:
    """Return a session that runs in the calling thread alone: several tests run at once and share the processors."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
