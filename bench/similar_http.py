"""`python -m bench.similar_http`: searches for similar objects over HTTP, and single prompts beside them.

The service runs on two cores with MobileSAM. It prints how long a search takes that finds 50 coins, and the p95 of
single prompts of another client: quiet, and while one client searches without a pause.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import skimage.data

from bench import cores
from bench.clicks import Clicks
from bench.photos import Photo
from bench.service import Connection
from shared.contract.models import MOBILE_SAM
from tests.support.stack import ObservedStack

_CORES = 2
_FOUND = 50
_BLOCKS = 4
"""Both sides are measured in so many blocks, which take turns. So other work on the machine slows both."""

_WARM_UP = 3

COIN = (37.0, 72.0)
"""(x, y) on the first coin, in pixels of scikit-image's picture."""


def coins() -> Photo:
    """Scikit-image's 24 coins three times, one below the other, as RGB."""
    grey = np.tile(skimage.data.coins(), (3, 1))
    return Photo("coins, three times", np.dstack([grey] * 3))


class _Searches:
    """A client that searches one image."""

    def __init__(self, url: str, image_id: str) -> None:
        self._connection = Connection(url)
        self._image_id = image_id
        self.seconds: list[float] = []
        self.found: list[int] = []

    def one(self) -> None:
        body: dict[str, Any] = {"examples": [{"points": [COIN], "labels": [1]}], "limit": _FOUND}
        began = time.perf_counter()
        answer = self._connection.similar(self._image_id, body)
        self.seconds.append(time.perf_counter() - began)
        self.found.append(len(answer["masks"]))

    @contextmanager
    def without_pause(self) -> Iterator[None]:
        """Search again and again, in a thread, while the block runs.

        Raises:
            RuntimeError: a search failed.
        """
        stop = threading.Event()
        failed: list[Exception] = []

        def search() -> None:
            try:
                while not stop.is_set():
                    self.one()
            except Exception as error:  # the main thread raises it
                failed.append(error)

        thread = threading.Thread(target=search, name="search")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if failed:
            raise RuntimeError("a search failed") from failed[0]


def measure(singles: int, searches: int) -> list[str]:
    """Return the lines to print.

    Args:
        singles: prompts of each side.
        searches: searches on a quiet service.
    """
    photo = coins()
    with cores.running_on(cores.available()[:_CORES]), ObservedStack({"SAM_MODEL": MOBILE_SAM.name}) as stack:
        connection, clicks = Connection(stack.url), Clicks(photo.size)
        image_id = connection.upload(photo.jpeg)
        connection.wait_until_ready(image_id)

        def prompts(count: int) -> list[float]:
            return [connection.prompt(image_id, [clicks.point()]).milliseconds for _ in range(count)]

        prompts(_WARM_UP)
        alone = _Searches(stack.url, image_id)
        for _ in range(1 + searches):
            alone.one()
        beside = _Searches(stack.url, image_id)
        quiet, busy = [], []
        for _ in range(_BLOCKS):
            quiet += prompts(-(-singles // _BLOCKS))
            with beside.without_pause():
                busy += prompts(-(-singles // _BLOCKS))
    taken = alone.seconds[1:]  # the first search reads the features
    before, after = (np.percentile(side, (50, 95)) for side in (quiet, busy))
    return [
        f"{photo.name}, {photo.size[1]}x{photo.size[0]}, {_CORES} cores, MobileSAM",
        f"a search that finds {min(alone.found)} to {max(alone.found)}: first {alone.seconds[0]:.2f} s, then median "
        f"{np.median(taken):.2f} s, least {min(taken):.2f} s",
        f"single prompts, quiet: p50 {before[0]:.1f} ms, p95 {before[1]:.1f} ms",
        f"beside {len(beside.seconds)} searches, median {np.median(beside.seconds):.2f} s: p50 {after[0]:.1f} ms, "
        f"p95 {after[1]:.1f} ms, {after[1] / before[1]:.2f} times",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.similar_http", description=__doc__)
    parser.add_argument("--singles", type=int, default=400, help="prompts of each side")
    parser.add_argument("--searches", type=int, default=10, help="searches on a quiet service")
    options = parser.parse_args(arguments)
    print("\n".join(measure(options.singles, options.searches)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
