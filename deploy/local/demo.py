"""`make demo`: a photo's whole way through the service, timed and drawn. `python -m deploy.local.demo`."""

from __future__ import annotations

import argparse
import io
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from deploy.local.client import Answer, Client, ServiceError
from deploy.local.overlay import draw_overlay, mask_of
from deploy.local.photo import PHOTO, POINT
from deploy.local.process import StackError
from deploy.local.run import say, stopped_by_signals
from deploy.local.stack import LocalStack

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Stage:
    """One line of the table: what was done, how long it took in seconds, what to see in it."""

    name: str
    seconds: float
    note: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status: 0 done, 1 it broke, 2 the photo or the point is unusable, 130 interrupted."""
    options = _parse(arguments)
    try:
        data = options.image.read_bytes()
        photo = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        say(f"{options.image} cannot be read as a photo: {getattr(error, 'strerror', None) or error}")
        return 2
    point = options.point or (POINT if options.image == PHOTO else (photo.width / 2, photo.height / 2))
    with stopped_by_signals():
        try:
            started = time.monotonic()
            with LocalStack({"SAM_PORT": "0"}, announce=say) as stack, Client(stack.url) as client:
                stages = [Stage("start", time.monotonic() - started, "weights, Valkey, worker, API")]
                answer = walk(client, data, point, stages)
        except (StackError, ServiceError) as error:
            say(str(error))
            return 1
        except KeyboardInterrupt:
            say("stopped, nothing left running")
            return 130
    best = max(answer.body["results"][0]["masks"], key=lambda mask: mask["score"])
    draw_overlay(photo, mask_of(best["rle"]), point).save(options.output)
    say(f"\n{table(stages)}\n")
    say(f"mask at {point[0]:g},{point[1]:g}: score {best['score']:.3f}, {best['area']} pixels; see {options.output}")
    return 0


def walk(client: Client, photo: bytes, point: Point, stages: list[Stage]) -> Answer:
    """Upload, wait, prompt, and the same again; appends each stage and returns the last prompt's answer.

    Raises:
        ServiceError: the service refuses a step.
    """
    uploaded = client.upload(photo)
    size = f"{uploaded.body['width']}x{uploaded.body['height']}, {len(photo) / 1000:.0f} kB"
    stages.append(Stage("upload", uploaded.seconds, f"{_outcome(uploaded)}; {size}"))
    image_id = uploaded.body["image_id"]
    stages.append(Stage("encode", client.wait_until_ready(image_id).seconds, "waiting for the worker, once per image"))
    first = client.prompt(image_id, point)
    stages.append(Stage("first prompt", first.seconds, _timings(first)))
    repeated = client.upload(photo)
    stages.append(Stage("upload again", repeated.seconds, _outcome(repeated)))
    second = client.prompt(image_id, point)
    stages.append(Stage("second prompt", second.seconds, _timings(second)))
    return second


def table(stages: Sequence[Stage]) -> str:
    """The stages as aligned lines."""
    return "\n".join(f"{stage.name:<14}{stage.seconds * 1000:>9.1f} ms   {stage.note}" for stage in stages)


def parse_point(text: str) -> Point:
    """(x, y) of `x,y`.

    Raises:
        argparse.ArgumentTypeError: it is not two finite numbers.
    """
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a point; say for example 500,375")
    return x, y


def _outcome(answer: Answer) -> str:
    hit = "cache hit: the embedding is there" if answer.status == 200 else "cache miss: queued for a worker"
    return f"{answer.status}, {hit}"


def _timings(answer: Answer) -> str:
    """`fetch;dur=1.2, decode;dur=33` as `fetch 1.2, decode 33 ms`."""
    parts = [part.strip().replace(";dur=", " ") for part in answer.server_timing.split(",") if part.strip()]
    return f"in the API: {', '.join(parts)} ms" if parts else ""


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="Run one photo through the whole service.")
    parser.add_argument("--image", type=Path, default=PHOTO, help="JPEG, PNG or WEBP; a photo that ships by default")
    parser.add_argument("--point", type=parse_point, help="x,y in pixels on the thing to cut out; default: the middle")
    parser.add_argument("--output", type=Path, default=Path("demo-overlay.png"), help="where the picture goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
