"""`samcache upload` and `samcache warm`: many images, a few at once."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samcache.cli.exits import Exit
from samcache.cli.files import UnreadableFile, images_in, read_image
from samcache.cli.missing_workers import MissingWorkers
from samcache.cli.output import Output, Progress, table
from samcache.cli.tiles import tiles
from samcache.errors import EncodeFailed, SamCacheError, Unavailable
from samcache.service.async_client import AsyncSamCache
from samcache.service.resources import Corners, ImageInfo

_TILES_AT_ONCE = 16
"""Boxes of one image whose regions are asked for together. Other clients' images come in between."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for a file: an image that the service has, or a problem.

    Attributes:
        problem: one sentence that says why there is no image.
        code: the problem's name for a program.
        regions: how many parts of the image were encoded too; None if nobody asked for any.
    """

    path: Path
    image: ImageInfo | None
    problem: str | None = None
    code: str | None = None
    regions: int | None = None

    def row(self) -> dict[str, Any]:
        image = self.image
        return {
            "file": str(self.path),
            "image_id": image and image.image_id,
            "status": "failed" if image is None else image.status,
            "sent": None if image is None else ("yes" if image.sent else "known"),
            "width": image and image.width,
            "height": image and image.height,
            **({} if self.regions is None else {"regions": self.regions}),
        }

    def document(self) -> dict[str, Any]:
        error = None if self.problem is None else {"code": self.code, "detail": self.problem}
        return {**self.row(), "sent": self.image is not None and self.image.sent, "error": error}


class Bulk:
    """One run over many files. If it is interrupted, `outcomes` has what was done.

    A subclass may do other work on each file.
    """

    def __init__(self, paths: Sequence[Path], output: Output, *, wait: bool, tiles: int | None = None) -> None:
        """Args:
        wait: until each image is encoded.
        tiles: also have the regions encoded in which things of up to so many pixels are seen well; None: no regions.
        """
        self.outcomes: list[Outcome] = []
        self.unavailable: Unavailable | None = None
        self._paths = paths
        self._output = output
        self._wait = wait
        self._tiles = tiles
        self._progress = Progress(len(paths))
        self.told = MissingWorkers(self.complain)

    async def run(self, service: AsyncSamCache, jobs: int) -> None:
        """Do all files, `jobs` at once. When the service cannot answer, start no more."""
        self._show()
        waiting = iter(self._paths)
        async with service, asyncio.TaskGroup() as group:
            for _ in range(min(jobs, len(self._paths))):
                group.create_task(self._work(service, waiting))

    def close(self) -> None:
        self._progress.clear()

    @property
    def failed(self) -> int:
        return sum(outcome.image is None for outcome in self.outcomes)

    async def _work(self, service: AsyncSamCache, waiting: Iterator[Path]) -> None:
        for path in waiting:
            if self.unavailable is not None:
                return
            try:
                outcome = await self.work_on(service, path)
            except Unavailable as error:
                self.unavailable = error
                return
            except SamCacheError as error:
                outcome = Outcome(path, None, error.detail, error.code)
            except UnreadableFile as error:
                outcome = Outcome(path, None, str(error), "unreadable-file")
            self.outcomes.append(outcome)
            if outcome.problem is not None:
                self.complain(f"{path}: {outcome.problem}")
            self._show()

    async def work_on(self, service: AsyncSamCache, path: Path) -> Outcome:
        """Do one file, and return its outcome.

        Raises:
            SamCacheError: the service refuses it, or does not answer.
            UnreadableFile: it cannot be used.
        """
        data = await asyncio.to_thread(read_image, path)
        image = await self._encode(service, data)
        return Outcome(path, image, regions=await self._encode_regions(service, image, data))

    async def _encode(self, service: AsyncSamCache, data: bytes) -> ImageInfo:
        image = await service.upload(data)
        if not self._wait or image.status == "ready":
            return image
        ready = await service.wait(image.image_id, data, on_pending=self.told)
        return ImageInfo(ready.image_id, ready.model, ready.status, ready.width, ready.height, sent=image.sent)

    async def _encode_regions(self, service: AsyncSamCache, image: ImageInfo, data: bytes) -> int | None:
        """Have the image's tiles encoded, a few at a time, and return how many regions they took.

        Raises:
            EncodeFailed: a region cannot be encoded.
        """
        if self._tiles is None:
            return None
        boxes = tiles(image.width, image.height, self._tiles)
        found: set[Corners] = set()
        for start in range(0, len(boxes), _TILES_AT_ONCE):
            answer = await service.regions(image.image_id, around=boxes[start : start + _TILES_AT_ONCE], data=data)
            for one in answer.regions:
                if one.error is not None:
                    raise EncodeFailed(f"a region: {one.error.get('detail', 'it could not be encoded')}")
                if one.region is not None:
                    found.add(one.region)
        return len(found)

    def complain(self, sentence: str) -> None:
        """Write one sentence about what went wrong, and let the bar come back below it."""
        self._progress.clear()
        self._output.complain(sentence)

    def _show(self) -> None:
        self._progress.show(len(self.outcomes), self.failed)


def upload(options: argparse.Namespace, output: Output) -> Exit:
    """`samcache upload FILE…`."""
    bulk, interrupted = _run(options.files, options, output, wait=options.wait)
    place = {path: number for number, path in enumerate(options.files)}
    outcomes = sorted(bulk.outcomes, key=lambda outcome: place[outcome.path])
    output.result([outcome.document() for outcome in outcomes], table([outcome.row() for outcome in outcomes]))
    return exit_after(bulk, interrupted, output)


def warm(options: argparse.Namespace, output: Output) -> Exit:
    """`samcache warm DIR`."""
    started = time.monotonic()
    paths = images_in(options.folder, recursive=options.recursive)
    bulk, interrupted = _run(paths, options, output, wait=True, tiles=options.tiles)
    known = sum(outcome.image is not None and not outcome.image.sent for outcome in bulk.outcomes)
    document = {
        "images": len(paths),
        "known": known,
        "encoded": len(bulk.outcomes) - known - bulk.failed,
        "failed": bulk.failed,
        "left": len(paths) - len(bulk.outcomes),
        "seconds": round(time.monotonic() - started, 3),
    }
    said = "{images} images: {known} known already, {encoded} encoded, {failed} failed, {left} left; "
    if options.tiles is not None:
        document["regions"] = sum(outcome.regions or 0 for outcome in bulk.outcomes)
        said += "{regions} regions; "
    files = [outcome.document() for outcome in sorted(bulk.outcomes, key=lambda outcome: outcome.path)]
    output.result(
        {**document, "files": files},
        (said + "{seconds:.1f} s").format(**document),
    )
    return exit_after(bulk, interrupted, output)


def _run(
    paths: Sequence[Path], options: argparse.Namespace, output: Output, *, wait: bool, tiles: int | None = None
) -> tuple[Bulk, bool]:
    """Run it; return the run, and whether Ctrl-C ended it."""
    bulk = Bulk(paths, output, wait=wait, tiles=tiles)
    return bulk, run(bulk, options)


def run(bulk: Bulk, options: argparse.Namespace) -> bool:
    """Run it; return whether Ctrl-C ended it."""
    try:
        asyncio.run(
            bulk.run(
                AsyncSamCache(options.url, model=options.model, token=options.token, timeout=options.timeout),
                options.jobs,
            )
        )
    except KeyboardInterrupt:
        return True
    finally:
        bulk.close()
    return False


def exit_after(bulk: Bulk, interrupted: bool, output: Output) -> Exit:
    """The exit status of a run, after a last sentence if it did not do all files."""
    if interrupted:
        output.complain("stopped; run it again to go on where it was")
        return Exit.INTERRUPTED
    if bulk.unavailable is not None:
        output.complain(bulk.unavailable.detail)
        return Exit.UNAVAILABLE
    return Exit.FAILED if bulk.failed else Exit.OK
