"""Decoding alone, with and without resizing, in plain processes that share nothing."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable

import skimage.data
from PIL import Image, ImageOps

from bench.host import names
from bench.host.plan import Plan
from bench.host.programs import programs, serve, side_by_side
from bench.host.spent import Row, row
from bench.host.use_case import PIXELS

_NUMBER = b"%08d"
"""How a file's comment is written. All have one length, so one file becomes another by putting in its number."""


def jpegs(size: tuple[int, int], count: int) -> list[bytes]:
    """`count` files of one photo of (width, height). Each has another comment, and so another image id."""
    photo = ImageOps.fit(Image.fromarray(skimage.data.coffee()), size, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=85, comment=_NUMBER % 0)
    head, _, tail = file.getvalue().partition(_NUMBER % 0)
    return [head + _NUMBER % number + tail for number in range(count)]


def in_plain_processes(plan: Plan, count: int, *, resize: bool) -> Row:
    """Decode, and resize too if that is wanted, in `count` processes."""
    each = -(-plan.images // count)
    arguments = [json.dumps([plan.size, each, resize])]
    with programs(count, "alone", arguments, names.ENVIRONMENT) as made:
        for program in made:
            program.wait_until_ready()
        began = time.perf_counter()
        spent = side_by_side(made)
        seconds = time.perf_counter() - began
    done = count * each
    return row(done, seconds, {"decode and resize" if resize else "decode": 1000 * sum(spent) / done})


def main(task: str) -> None:
    """In a process: decode so many images of a size, given as JSON, and tell the processor's seconds."""
    size, images, resize = json.loads(task)
    (data,) = jpegs(tuple(size), 1)
    work = _work(resize=resize)

    def all_images() -> float:
        began = time.process_time()
        for _ in range(images):
            work(data)
        return time.process_time() - began

    for _ in range(3):
        work(data)
    serve(all_images)


def _work(*, resize: bool) -> Callable[[bytes], object]:
    """What the worker of this commit does to the bytes of an image before the encoder gets it."""
    if names.DecodingProcesses is None:
        assert resize
        return lambda data: names.resize_longest_side(names.decode_image(data, max_pixels=PIXELS))
    frame = names.FAKE.encoder_frame if resize else None
    decoder, order = names.DecoderInProcess(), names.Order(frame=frame, max_pixels=PIXELS)
    return lambda data: decoder.decode(data, order)
