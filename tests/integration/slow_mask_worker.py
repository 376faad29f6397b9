"""A mask worker with the fake decoder, slowed down and counted: `slow_mask_worker.py SECONDS TALLY`.

Each batch of points takes so many SECONDS. One line is appended to the file TALLY as each job begins to decode.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prompt_api.everything.job.wiring import serve
from prompt_api.models.fake.decoder import FakeDecoder, FakePrepared
from prompt_api.models.interface import DecodedMasks, LoadedDecoder
from shared.contract.geometry import Size
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.observe import logs


class SlowDecoder(FakeDecoder):
    def __init__(self, seconds: float, tally: Path) -> None:
        self._seconds = seconds
        self._tally = tally

    def prepare(self, tensors: Mapping[str, NDArray[np.float32]], original: Size) -> FakePrepared:
        with self._tally.open("a") as tally:
            tally.write("started\n")
        return super().prepare(tensors, original)

    def decode_points(
        self, image: FakePrepared, points: NDArray[np.float32], least_score: float
    ) -> Iterator[DecodedMasks]:
        time.sleep(self._seconds)
        return super().decode_points(image, points, least_score)


if __name__ == "__main__":
    settings = Settings.from_env()
    logs.configure(settings, "mask-worker")
    serve(settings, LoadedDecoder(FAKE, SlowDecoder(float(sys.argv[1]), Path(sys.argv[2]))))
