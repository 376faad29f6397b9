"""The embedding of four photos in each precision, against segment_anything's own encoder in float32 on the same device.

Float32 means float32 here: TF32 is off while the reference is computed. At the end the device resizes a photo, to be
compared with Pillow.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from bench.card.network import make_tiny
from bench.card.options import Rows, read_options
from bench.encode_torch import Step, encoder_of, sam_with_weights
from bench.gpu import synchronise
from bench.photos import STANDARD, photos
from encoder_worker.backends.on_torch.compiling import MODES
from encoder_worker.backends.on_torch.resizing import Resizer
from encoder_worker.backends.on_torch.staging import Staging
from encoder_worker.encoding.encoder import Encoder
from shared.contract.models import EMBEDDING, SAM1, find_model

_BATCH = 4
_REPEATS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    options = read_options("parity", __doc__, arguments)
    device, rows = torch.device(options.device), Rows(options.out)
    gpu = device.type == "cuda"
    if options.tiny:
        make_tiny(options.model)
    frames = [SAM1.frame.resize(photo.rgb) for photo in photos()[:_BATCH]]
    for name in dict.fromkeys((options.model, *(() if options.tiny else ("vit_b",)))):
        model = find_model(name)
        # A checkpoint that was given is of one model.
        sam = sam_with_weights(model, tiny=False, given=name == options.model)
        with _without_tf32():
            published = encoder_of(model, sam, device, Step("", torch.float32, blocks="published"))
            exact = [one for frame in frames for one in _embeddings(published, [frame])]
        for step in _steps(gpu):
            torch._dynamo.reset()
            ours = _embeddings(encoder_of(model, sam, device, step), frames)
            errors = [
                float(np.linalg.norm(one - wanted) / np.linalg.norm(wanted))
                for one, wanted in zip(ours, exact, strict=True)
            ]
            largest = max(float(np.abs(one - wanted).max()) for one, wanted in zip(ours, exact, strict=True))
            rows.add(f"{name}, {step.what}", error=round(max(errors), 6), largest=round(largest, 5))
    _time_resizing(rows, device)
    return 0


def _time_resizing(rows: Rows, device: torch.device) -> None:
    rgb = photos()[0].resized(STANDARD).rgb
    there = torch.from_numpy(rgb.copy()).to(device)
    resizer, staging = Resizer(SAM1.frame, device), Staging(find_model("vit_b"), device)
    ways = {
        "resizing 1800x1200 on the device": lambda: resizer.resized(there),
        "copying and resizing it, as a worker does": lambda: staging.beside(rgb, resizer.resized),
    }
    theirs = SAM1.frame.resize(rgb)
    for what, way in ways.items():
        ours = way()
        synchronise(device)
        began = time.perf_counter()
        for _ in range(_REPEATS):
            way()
        synchronise(device)
        rows.add(
            what,
            milliseconds=round(1000 * (time.perf_counter() - began) / _REPEATS, 3),
            values_unlike_pillow=int((ours.cpu().numpy() != theirs).sum()),
        )


def _steps(gpu: bool) -> Iterator[Step]:
    yield Step("float32", torch.float32, _BATCH)
    yield Step("bfloat16, GELU by itself", torch.bfloat16, _BATCH, gelu=False)
    yield Step("bfloat16", torch.bfloat16, _BATCH)
    yield Step("float8", torch.bfloat16, _BATCH, float8=True)
    if gpu:
        yield Step("bfloat16, compiled", torch.bfloat16, _BATCH, mode=MODES["default"])
        yield Step("float8, compiled", torch.bfloat16, _BATCH, float8=True, mode=MODES["default"])


def _embeddings(encoder: Encoder, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
    return [tensors[EMBEDDING].astype(np.float32) for tensors in encoder.encode(frames)]


@contextmanager
def _without_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


if __name__ == "__main__":
    sys.exit(main())
