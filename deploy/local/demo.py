"""`make demo` (`python -m deploy.local.demo`): send a photo through the service, time each step, and draw the mask."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from deploy.local.photo import PHOTO, POINT
from deploy.local.process import StackError
from deploy.local.run import say, stopped_by_signals
from deploy.local.stack import LocalStack
from samcache import ImageInfo, Mask, Masks, SamCache, SamCacheError, mask_of_rle
from samcache.cli.files import NAMED
from samcache.cli.painting import paint
from samcache.cli.photos import upright_photo

Point = tuple[float, float]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stage:
    """One line of the table: the name of the step, its seconds, and a note."""

    name: str
    seconds: float
    note: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Exit status: 0 done, 1 failed, 2 the photo or the point is unusable, 130 interrupted."""
    options = _parse(arguments)
    try:
        data = options.image.read_bytes()
        photo = upright_photo(data)
    except Exception as error:  # Pillow's readers raise errors of many kinds
        say(f"{options.image} cannot be read as a photo: {getattr(error, 'strerror', None) or error}")
        return 2
    point = options.point or (POINT if options.image == PHOTO else (photo.width / 2, photo.height / 2))
    with stopped_by_signals():
        try:
            started = time.monotonic()
            with LocalStack({"SAM_PORT": "0"}, announce=say) as stack, SamCache(stack.url) as service:
                stages = [Stage("start", time.monotonic() - started, "weights, Valkey, worker, API")]
                masks = walk(service, data, point, stages)
        except (StackError, SamCacheError) as error:
            say(str(error))
            return 1
        except KeyboardInterrupt:
            say("stopped, nothing left running")
            return 130
    best = max(masks, key=lambda mask: mask.score)
    paint(photo, mask_of_rle(best.payload), foreground=[point]).save(options.output)
    say(f"\n{table(stages)}\n")
    say(f"mask at {point[0]:g},{point[1]:g}: score {best.score:.3f}, {best.area} pixels; see {options.output}")
    return 0


def walk(service: SamCache, photo: bytes, point: Point, stages: list[Stage]) -> list[Mask]:
    """Upload, wait and prompt, then upload and prompt again. Append each stage and return the last masks.

    Raises:
        SamCacheError: the service refuses a step.
    """
    prompts = [{"points": [list(point)], "labels": [1]}]

    def upload() -> ImageInfo:
        return service.upload(photo)

    def prompt() -> Masks:
        return service.masks(uploaded.image_id, prompts)

    uploaded, seconds = _timed(upload)
    size = f"{uploaded.width}x{uploaded.height}, {len(photo) / 1000:.0f} kB"
    stages.append(Stage("upload", seconds, f"{_outcome(uploaded)}; {size}"))
    _, seconds = _timed(lambda: service.wait(uploaded.image_id))
    stages.append(Stage("encode", seconds, "waiting for the worker, once per image"))
    first, seconds = _timed(prompt)
    stages.append(Stage("first prompt", seconds, _timings(first)))
    repeated, seconds = _timed(upload)
    stages.append(Stage("upload again", seconds, _outcome(repeated)))
    second, seconds = _timed(prompt)
    stages.append(Stage("second prompt", seconds, _timings(second)))
    return second.results[0]


def _timed(do: Callable[[], T]) -> tuple[T, float]:
    """Return the result of `do`, and the seconds that it took."""
    started = time.monotonic()
    return do(), time.monotonic() - started


def table(stages: Sequence[Stage]) -> str:
    """Format the stages as aligned lines."""
    return "\n".join(f"{stage.name:<14}{stage.seconds * 1000:>9.1f} ms   {stage.note}" for stage in stages)


def parse_point(text: str) -> Point:
    """Parse `x,y` as (x, y).

    Raises:
        argparse.ArgumentTypeError: `text` is not two finite numbers.
    """
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a point; say for example 500,375")
    return x, y


def _outcome(image: ImageInfo) -> str:
    return "cache miss: sent, queued for a worker" if image.sent else "cache hit: the embedding is there, nothing sent"


def _timings(masks: Masks) -> str:
    """Rewrite `fetch;dur=1.2, decode;dur=33` as `fetch 1.2, decode 33 ms`."""
    parts = [part.strip().replace(";dur=", " ") for part in masks.timing.split(",") if part.strip()]
    return f"in the API: {', '.join(parts)} ms" if parts else ""


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="Run one photo through the whole service.")
    parser.add_argument("--image", type=Path, default=PHOTO, help=f"{NAMED}; default: the photo of the project")
    parser.add_argument("--point", type=parse_point, help="x,y in pixels on the object to cut out; default: the middle")
    parser.add_argument("--output", type=Path, default=Path("demo-overlay.png"), help="where the picture goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
