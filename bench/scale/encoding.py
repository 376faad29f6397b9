"""(e) What an encoding costs on one core, for the plans of `bench.sizing`."""

from __future__ import annotations

import os
import time

import numpy as np

from bench.photos import STANDARD, photos
from bench.record import Quantity, Row, Section
from bench.scale.amounts import Amounts
from encoder_worker.backends.load import load_encoder
from shared.contract.models import SAM1, find_model
from shared.contract.settings import Settings
from shared.images.reading import decode_image


def encoding(amounts: Amounts) -> Section:
    settings = Settings.from_env({**os.environ, "SAM_MODEL": amounts.model, "SAM_ENCODER_THREADS": "1"})
    encoder = load_encoder(find_model(amounts.model), settings)
    jpeg = photos()[0].resized(STANDARD).jpeg
    milliseconds = []
    for _ in range(amounts.encodings):
        before = time.thread_time()
        encoder.encode([SAM1.frame.resize(decode_image(jpeg, max_pixels=settings.max_image_pixels))])
        milliseconds.append(1000 * (time.thread_time() - before))
    numbers = {"processor time": Quantity(float(np.median(milliseconds)), "ms")}
    note = "From the file of a photo of 1800x1200 to its embedding, on one thread."
    return Section("e", "An encoding on a core", [Row(amounts.model, numbers)], note)
