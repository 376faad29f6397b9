"""`python -m tests.support.poisoned_child`: the program that decodes images for a worker, and some images harm it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping

from encoder_worker.decoding import child
from encoder_worker.decoding.decoder import Decoded, DecoderInProcess, Order

PROGRAM = "tests.support.poisoned_child"

ABORTS, KILLED, HANGS, BREAKS = b"aborts", b"killed", b"hangs", b"breaks"
"""Files that stand for images which make the program that decodes them do so."""


def _break() -> None:
    raise AttributeError("nobody expects this")


_HARM: Mapping[bytes, Callable[[], object]] = {
    ABORTS: os.abort,
    KILLED: lambda: os.kill(os.getpid(), signal.SIGKILL),
    HANGS: lambda: time.sleep(1000),
    BREAKS: _break,
}


class _Poisoned(DecoderInProcess):
    def decode(self, data: bytes, order: Order) -> Decoded:
        if data in _HARM:
            _HARM[data]()
        return super().decode(data, order)


if __name__ == "__main__":
    child.DecoderInProcess = _Poisoned  # type: ignore[attr-defined]  # a stand-in
    sys.exit(child.main())
