"""A worker with the fake encoder, slowed down and counted: `slow_worker.py SECONDS|GATE TALLY [BATCH [CHECKPOINT]]`.

An encoding takes so many SECONDS, or it lasts until there is a file GATE.
One line is appended to the file TALLY as each encoding, of one image or of a batch, starts. With the SHA-256 of a
CHECKPOINT it passes for a worker of ViT-B with that checkpoint.
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
    def __init__(self, until: str, tally: Path, batch: int, checkpoint: str) -> None:
        super().__init__(batch)
        if checkpoint:
            self.model = VIT_B.with_checkpoint(checkpoint)
        self._until = until
        self._tally = tally

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
        with self._tally.open("a") as tally:
            tally.write("started\n")
        if self._until.startswith("/"):
            while not Path(self._until).exists():
                time.sleep(0.01)
        else:
            time.sleep(float(self._until))
        return super().encode(images)


if __name__ == "__main__":
    settings = Settings.from_env()
    logs.configure(settings, "worker")
    given = dict(enumerate(sys.argv))
    serve(settings, SlowEncoder(given[1], Path(given[2]), int(given.get(3, "1")), given.get(4, "")))
