"""An ONNX Runtime session that is made at its first use, in the process that uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_LOG_ERRORS = 3


class OnnxSession:
    """Runs one graph on the CPU. Thread-safe. A process may fork before the first run, never after it."""

    def __init__(self, path: Path, threads: int) -> None:
        """Args:
        path: the ONNX file.
        threads: threads of one run.
        """
        self._path = path
        self._threads = threads
        self._lock = Lock()
        self._session: Any = None

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """The named outputs, in order."""
        if self._session is None:
            with self._lock:
                if self._session is None:
                    self._session = self._make()
        results: list[NDArray[np.float32]] = self._session.run(outputs, inputs)
        return results

    def _make(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _LOG_ERRORS
        # Spinning threads would take cores from the other processes of the service.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
