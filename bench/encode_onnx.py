"""The rows of `bench.encode` for MobileSAM: both runtimes in turns, then the service."""

from __future__ import annotations

import time
from unittest.mock import patch

import torch

from bench.encode_rows import Bench, Row
from bench.encode_service import jpegs
from bench.photos import STANDARD, photos
from encoder_worker.backends.load import load_encoder
from encoder_worker.backends.onnx import openvino
from shared.contract.models import MOBILE_SAM, SAM1
from shared.contract.settings import Settings


def onnx_rows(device: torch.device, images: int) -> list[Row]:
    """Time ONNX Runtime and, if it is installed, OpenVINO, in turns; then the service with the latter."""
    photo = photos()[0].resized(STANDARD)
    frame = SAM1.frame.resize(photo.rgb)
    bench = Bench(device, images, None)
    settings = Settings(device=device.type)
    with patch.object(openvino, "is_installed", return_value=False):
        encoders = {"ONNX Runtime": load_encoder(MOBILE_SAM, settings)}
    if device.type == "cpu" and openvino.is_installed():
        encoders["OpenVINO"] = load_encoder(MOBILE_SAM, settings)
    taken: dict[str, list[float]] = {name: [] for name in encoders}
    for turn in range(1 + images):
        for name, encoder in encoders.items():
            started = time.perf_counter()
            encoder.encode([frame] * encoder.batch)
            if turn:
                taken[name].append(time.perf_counter() - started)
    for name, encoder in encoders.items():
        bench.add(f"{name}, batch {encoder.batch}", images * encoder.batch, sum(taken[name]))
    name, encoder = encoders.popitem()
    bench.service(name, encoder, jpegs(photo, 1 + images))
    return bench.rows
