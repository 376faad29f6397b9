"""A worker with the fake encoder, slowed down and counted: `slow_worker.py SECONDS TALLY [BATCH]`.

One line is appended to the file TALLY as each encoding, of one image or of a batch, starts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder_worker.backends.fake import FakeEncoder
from encoder_worker.wiring import serve
from shared.contract.settings import Settings
from shared.observe import logs
from shared.tensors.embedding import Tensors


class SlowEncoder(FakeEncoder):
    def __init__(self, seconds: float, tally: Path, batch: int) -> None:
        super().__init__(batch)
        self._seconds = seconds
        self._tally = tally

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
        with self._tally.open("a") as tally:
            tally.write("started\n")
        time.sleep(self._seconds)
        return super().encode(images)


if __name__ == "__main__":
    settings = Settings.from_env()
    logs.configure(settings, "worker")
    serve(settings, SlowEncoder(float(sys.argv[1]), Path(sys.argv[2]), int((*sys.argv, "1")[3])))
