"""An ONNX Runtime session that is made at its first use, in the process that uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_LOG_ERRORS = 3

_AS_REQUESTED = 1  # the arena grows by what is requested; the other strategy doubles it

_arena_lock = Lock()

onnxruntime.disable_telemetry_events()  # otherwise it would report to its maker what it runs


class OnnxSession:
    """Runs one graph on the CPU. Thread-safe. A process may fork before the first run, never after it."""

    def __init__(self, path: Path, threads: int) -> None:
        """Args:
        path: the ONNX file.
        threads: how many threads one run may use.
        """
        self._path = path
        self._threads = threads
        self._lock = Lock()
        self._session: Any = None

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Run the graph, and return the named outputs in order."""
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
        _share_working_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Spinning threads would take cores from the other processes of the service.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])


def _share_working_memory() -> None:
    """Let all sessions of this process take their working memory from one arena. Otherwise, each would keep its own."""
    with _arena_lock:
        _make_arena()


@cache
def _make_arena() -> None:
    ort = onnxruntime
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"arena_extend_strategy": _AS_REQUESTED}))
