"""The rows of `bench.encode`: ways to encode, each with its rate."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from bench.encode_service import seconds_from_rq_to_redis, seconds_in_pipeline
from bench.gpu import Utilisation, peak_tflops, synchronise
from encoder_worker.encoding.encoder import Encoder, Pending, begin
from encoder_worker.encoding.pipeline import AHEAD

WHOLE_WAY = "RQ to Redis"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to encode.

    Attributes:
        what: name of the way.
        images: number of images that were timed.
        images_per_second, ms_per_image: mean.
        against_published: its rate divided by the rate of the first row.
        utilisation: of the GPU, percent.
        peak_gb: the most memory of the device that torch held.
        peak_share: the encoder's arithmetic, in percent of the device's bfloat16 peak.
        error: of the embedding against float32: the norm of the difference, divided by the norm.
    """

    what: str
    images: int
    images_per_second: float
    ms_per_image: float
    against_published: float
    utilisation: float | None
    peak_gb: float | None
    peak_share: float | None
    error: float | None = None


class Bench:
    """Collects rows on one device."""

    def __init__(
        self,
        device: torch.device,
        images: int,
        tflop: float | None,
        keep: Callable[[Sequence[Row]], None] = lambda _: None,
    ) -> None:
        """
        Args:
            images: how many to time in each row, rounded up to whole batches.
            tflop: floating point operations for one image, in 10^12.
            keep: is called with all rows after each new one, so that a run which is cut off loses only what is missing.
        """
        self.rows: list[Row] = []
        self._keep = keep
        self.images = images
        self._device = device
        self._tflop = tflop

    def time(
        self,
        what: str,
        run: Callable[[], object],
        *,
        images: int,
        repeats: int,
        error: float | None = None,
        end: Callable[[], object] = lambda: None,
    ) -> None:
        """Add a row for `repeats` calls of `run` with `images` images each, and one of `end`. A first call of each is
        not counted."""
        run()
        end()
        synchronise(self._device)
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        with Utilisation(self._device) as utilisation:
            started = time.perf_counter()
            for _ in range(repeats):
                run()
            end()
            synchronise(self._device)
            seconds = time.perf_counter() - started
        self.add(what, images * repeats, seconds, utilisation.mean, error)

    def add(
        self,
        what: str,
        images: int,
        seconds: float,
        utilisation: float | None = None,
        error: float | None = None,
    ) -> None:
        rate = images / seconds
        peak = peak_tflops(self._device)
        row = Row(
            what=what,
            images=images,
            images_per_second=rate,
            ms_per_image=1000 / rate,
            against_published=rate / self.rows[0].images_per_second if self.rows else 1.0,
            utilisation=utilisation,
            peak_gb=torch.cuda.max_memory_allocated(self._device) / 1e9 if self._device.type == "cuda" else None,
            peak_share=100 * rate * self._tflop / peak if peak and self._tflop else None,
            error=error,
        )
        self.rows.append(row)
        self._keep(self.rows)
        print(_line(row), flush=True)

    def encoder(
        self, what: str, encoder: Encoder, frames: Sequence[NDArray[Any]], *, error: float | None = None
    ) -> None:
        """Add a row for batches of the encoder's size, of which the next is begun before the last has ended."""
        count = encoder.batch
        batch = [frames[index % len(frames)] for index in range(count)]
        underway: deque[Pending] = deque()

        def run() -> None:
            underway.append(begin(encoder, batch))
            if len(underway) == AHEAD:
                underway.popleft().result()

        def end() -> None:
            while underway:
                underway.popleft().result()

        self.time(what, run, images=count, repeats=-(-self.images // count), error=error, end=end)

    def service(self, what: str, encoder: Encoder, files: Sequence[bytes]) -> None:
        """Add a row for the pipeline, and one for the whole way from RQ to Redis. The first file is not counted."""
        with Utilisation(self._device) as utilisation:
            seconds = seconds_in_pipeline(encoder, files)
        self.add(f"{what}, pipeline from JPEG bytes", len(files) - 1, seconds, utilisation.mean)
        self.whole_way(what, encoder, files)

    def whole_way(self, what: str, encoder: Encoder, files: Sequence[bytes]) -> None:
        """Add a row for the whole way from RQ to Redis. The first file is not counted."""
        with Utilisation(self._device) as utilisation:
            seconds = seconds_from_rq_to_redis(encoder, files)
        self.add(f"{what}, {WHOLE_WAY}", len(files) - 1, seconds, utilisation.mean)


def _line(row: Row) -> str:
    def optional(value: float | None, unit: str, digits: int = 0) -> Iterator[str]:
        if value is not None:
            yield f"{value:.{digits}f} {unit}"

    rate = f"{row.images_per_second:>9.2f} images/s{row.ms_per_image:>10.1f} ms{row.against_published:>7.2f}x"
    parts = [
        f"{row.what:<44}{rate}",
        *optional(row.utilisation, "% busy"),
        *optional(row.peak_gb, "GB", 1),
        *optional(row.peak_share, "% of peak"),
        *optional(None if row.error is None else 100 * row.error, "% off float32", 2),
    ]
    return "   ".join(parts)
