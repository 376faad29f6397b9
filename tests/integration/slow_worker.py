"""A slow worker with the fake encoder that counts its work: `slow_worker.py SECONDS TALLY [BATCH [CHECKPOINT]]`.

It appends one line to the file TALLY when an encoding of an image or of a batch starts. If CHECKPOINT, a SHA-256, is
given, it acts as a worker for ViT-B with that checkpoint.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder_worker.backends.fake.encoder import FakeEncoder
from encoder_worker.wiring import serve
from shared.contract.models import VIT_B
from shared.contract.settings import Settings
from shared.observe import logs
from shared.tensors.embedding import Tensors


class SlowEncoder(FakeEncoder):
    def __init__(self, seconds: float, tally: Path, batch: int, checkpoint: str) -> None:
        super().__init__(batch)
        if checkpoint:
            self.model = VIT_B.with_checkpoint(checkpoint)
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
    given = dict(enumerate(sys.argv))
    serve(settings, SlowEncoder(float(given[1]), Path(given[2]), int(given.get(3, "1")), given.get(4, "")))
