"""`python -m bench.everything`: everything mode, against `SamAutomaticMaskGenerator` in this process.

Both sides have MobileSAM's weights, the same embeddings and the same cores. Meta's side takes one to two minutes a
photo on two quiet cores. `--parity` compares the masks of whole grids, with three sets of options on three photos, and
takes half an hour. Processor time is printed too, because other work on the machine changes it less. `--only beside`
measures single prompts on the running service while it finds every mask: two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pycocotools import mask as coco

from bench import cores, machine
from bench.clicks import Clicks
from bench.everything_beside import beside
from bench.photos import STANDARD, Photo, photos
from bench.record import Bound, Quantity, Record, Row, Section, table
from bench.sides import Ours, threads
from prompt_api.everything.generate import generate
from prompt_api.everything.interface import CropBox, CropImage, MaskRecord, MasksSoFar
from prompt_api.everything.options import EverythingOptions
from prompt_api.models.load import load_decoder
from prompt_api.models.sam1.weights import read_export
from shared.contract.models import MOBILE_SAM
from shared.contract.settings import Settings
from shared.weights.locate import locate_weights
from tests.support.automatic import Agreement, Automatic, agreement
from tests.support.everything_material import Embedder, source_of

LEAST_SPEED = 8.0
LEAST_IOU = 0.999
LEAST_RECALL = 0.9
MOST_DECODES = 40.0  # percent

FOUND = 0.9
"""A mask of exact mode counts as found if one of fast mode has at least this IoU with it."""

SETS: Mapping[str, Mapping[str, Any]] = {
    "default options": {},
    "crops": {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2},
    "small regions": {"min_mask_region_area": 200, "stability_score_thresh": 0.9, "pred_iou_thresh": 0.8},
}
"""The options of `--parity`."""

FEWEST_SINGLES = 100
"""A run with fewer single prompts is a quick one, whose numbers mean nothing."""

ONLY = ("speed", "recall", "parity", "beside")


@dataclass(slots=True)
class Taken:
    """Seconds that passed, and seconds of processor time of all threads."""

    passed: float = 0.0
    processor: float = 0.0

    def per(self, count: int, name: str) -> dict[str, Quantity]:
        """Return both in milliseconds for each of `count`."""
        passed, processor = (Quantity(1000 * one / count, "ms") for one in (self.passed, self.processor))
        return {f"{name}": passed, f"{name}, processor": processor}


@contextmanager
def taking() -> Iterator[Taken]:
    """Measure the block."""
    taken = Taken()
    passed, processor = time.perf_counter(), time.process_time()
    yield taken
    taken.passed, taken.processor = time.perf_counter() - passed, time.process_time() - processor


class Sides:
    """Both sides on one photo after the other."""

    def __init__(self, settings: Settings, count: int) -> None:
        """Args:
        count: threads of each side.
        """
        folder = locate_weights(MOBILE_SAM, settings).folder
        self._loaded = load_decoder(MOBILE_SAM, settings)
        self._embed = Embedder(folder / "encoder.onnx")
        self._theirs = Automatic(read_export(folder / "sam.onnx"), self._embed)
        self._single = Ours(settings, threads=count)
        self._count = count

    def ours(self, photo: Photo, **options: Any) -> tuple[list[MaskRecord], Taken, int]:
        """Return the masks, what they took, and how many points were decoded. Encoding the photo does not count."""
        source, decoded = source_of(photo.rgb, self._embed, self._loaded), 0

        def counting(crop: CropBox) -> CropImage:
            return _Counted(source(crop), count)

        def count(points: int) -> None:
            nonlocal decoded
            decoded += points

        self._embed(photo.rgb)
        with taking() as taken:
            masks = generate(
                counting,
                EverythingOptions.of(options),
                photo.size,
                report=_quiet,
                stopped=lambda: False,
                threads=self._count,
            )
        return masks, taken, decoded

    def theirs(self, photo: Photo, **options: Any) -> tuple[list[dict[str, Any]], Taken]:
        """Return Meta's records, with its own 64 points a batch."""
        self._embed(photo.rgb)
        with taking() as taken:
            masks = self._theirs.generate(photo.rgb, points_per_batch=64, **options)
        return masks, taken

    def single_prompts(self, photo: Photo, count: int) -> Taken:
        """Return what `count` single prompts take, one after the other: one point, three masks as RLE."""
        self._single.preset(self._embed(photo.rgb), photo.size)
        clicks = Clicks(photo.size)
        for _ in range(3):
            self._single.predict(clicks.point())
        with taking() as taken:
            for _ in range(count):
                self._single.predict(clicks.point())
        return taken


class _Counted:
    """A `CropImage` that tells how many points it decodes."""

    def __init__(self, image: CropImage, count: Callable[[int], None]) -> None:
        self._image = image
        self._count = count
        self.mask_runs = image.mask_runs
        self.areas_above = image.areas_above
        self.logits_at = image.logits_at

    def decode(self, points: Any, least_score: float) -> Any:
        self._count(len(points))
        return self._image.decode(points, least_score)


def speed(sides: Sides, photo: Photo, per_side: int, singles: int) -> Section:
    """Measure (a): one photo, exact and fast, Meta's generator, and single prompts."""
    points = per_side * per_side
    exact, ours, _ = sides.ours(photo, points_per_side=per_side)
    single = sides.single_prompts(photo, singles)
    theirs, meta = sides.theirs(photo, points_per_side=per_side)
    again, ours_again, _ = sides.ours(photo, points_per_side=per_side)
    fast, quick, decoded = sides.ours(photo, points_per_side=per_side, mode="fast")
    assert again == exact
    best = min((ours, ours_again), key=lambda one: one.processor)
    same = agreement(exact, theirs)
    rows = [
        Row("SamAutomaticMaskGenerator", meta.per(points, "a point") | _masks(theirs) | _seconds(meta)),
        Row(
            "exact mode",
            best.per(points, "a point")
            | _masks(exact)
            | _seconds(best)
            | {
                "against Meta's": Quantity(meta.passed / best.passed, "x"),
                "of processor time": Quantity(meta.processor / best.processor, "x"),
            },
            Bound("against Meta's", least=LEAST_SPEED),
        ),
        Row("its masks", _agreed(same), Bound("least IoU", least=LEAST_IOU)),
        Row(
            f"{singles} single prompts",
            single.per(singles, "a point")
            | {"of processor time": Quantity(single.processor / singles / (best.processor / points), "x")},
        ),
        Row(
            "fast mode",
            quick.per(points, "a point")
            | _masks(fast)
            | _seconds(quick)
            | {"decoded": Quantity(100 * decoded / points, "%")},
        ),
    ]
    note = (
        f"{photo.name}, {per_side} points a side, {len(cores.available())} cores, after the photo is encoded. "
        "The better of two runs of exact mode. `against Meta's` is the ratio of the time that passed, `of processor "
        "time` that of the work of all threads; a single prompt is compared with a point of exact mode."
    )
    return Section("a", "Everything mode against Meta's generator", rows, note)


def parity(sides: Sides, some: Sequence[Photo], per_side: int) -> Section:
    """Measure (b): the masks of both sides, with each of `SETS`."""
    rows = []
    for name, options in SETS.items():
        for photo in some:
            given = {"points_per_side": per_side, **options}
            ours, taken, _ = sides.ours(photo, **given)
            theirs, meta = sides.theirs(photo, **given)
            found = agreement(ours, theirs)
            numbers = _agreed(found) | {"of processor time": Quantity(meta.processor / taken.processor, "x")}
            rows.append(Row(f"{name}, {photo.name}", numbers, Bound("least IoU", least=LEAST_IOU)))
            print(table([Section("b", "so far", rows[-1:])]), flush=True)
    return Section("b", "The masks, against those of Meta's generator", rows, f"{per_side} points a side.")


def recall(sides: Sides, some: Sequence[Photo], per_side: int) -> Section:
    """Measure (c): how many masks of exact mode fast mode finds, and how many points it decodes."""
    rows = []
    all_found = all_masks = all_decoded = 0
    for photo in some:
        exact, _, _ = sides.ours(photo, points_per_side=per_side)
        fast, _, decoded = sides.ours(photo, points_per_side=per_side, mode="fast")
        found = sum(found_masks(exact, fast))
        rows.append(Row(photo.name, _recalled(found, len(exact), len(fast), decoded, per_side**2)))
        all_found, all_masks, all_decoded = all_found + found, all_masks + len(exact), all_decoded + decoded
    numbers = _recalled(all_found, all_masks, 0, all_decoded, len(some) * per_side**2)
    del numbers["masks"]
    rows += [
        Row("all photos: recall", numbers, Bound("recall", least=LEAST_RECALL)),
        Row("all photos: decodes", numbers, Bound("decoded", most=MOST_DECODES)),
    ]
    note = f"Recall: masks of exact mode that one of fast mode has an IoU of {FOUND} or more with."
    return Section("c", "Fast mode, against exact mode", rows, note)


def found_masks(exact: Sequence[MaskRecord], fast: Sequence[MaskRecord]) -> list[bool]:
    """Return for each mask of exact mode whether fast mode found it."""
    if not fast or not exact:
        return [False] * len(exact)
    one, other = ([{**mask.rle, "counts": mask.rle["counts"].encode()} for mask in masks] for masks in (exact, fast))
    return [bool(best >= FOUND) for best in coco.iou(one, other, [0] * len(other)).max(axis=1)]


def _recalled(found: int, exact: int, fast: int, decoded: int, points: int) -> dict[str, Quantity]:
    return {
        "exact": Quantity(exact, "masks"),
        "masks": Quantity(fast, "masks"),
        "recall": Quantity(found / exact if exact else 1.0, "x"),
        "decoded": Quantity(100 * decoded / points, "%"),
    }


def _agreed(found: Agreement) -> dict[str, Quantity]:
    return {
        "masks": Quantity(found.ours, "masks"),
        "Meta's": Quantity(found.theirs, "masks"),
        "least IoU": Quantity(found.least_iou, ""),
        "scores, most": Quantity(found.most_score, ""),
        "stability, most": Quantity(found.most_stability, ""),
        "out of order": Quantity(found.out_of_order, "masks"),
        "other box or point": Quantity(found.others, "masks"),
    }


def _masks(masks: Sequence[Any]) -> dict[str, Quantity]:
    return {"masks": Quantity(len(masks), "masks")}


def _seconds(taken: Taken) -> dict[str, Quantity]:
    return {"all": Quantity(taken.passed, "s"), "all, processor": Quantity(taken.processor, "s")}


def _quiet(_done: int, _total: int, _masks: MasksSoFar, /) -> None:
    """A `Report` that does nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench. The exit status is 0 even if a bound fails: the numbers are the result, and bounds are printed."""
    options = _parse(arguments)
    if not hasattr(os, "sched_getaffinity"):
        print("the bench binds threads to cores, which only Linux can", file=sys.stderr)
        return 2
    record = Record(machine.about(quick=options.quick))
    print("\n".join(f"{name}: {value}" for name, value in record.about.items()), flush=True)
    some = [photo.resized(STANDARD) for photo in photos(options.photo)][: options.photos]
    count = len(cores.available())
    with threads(count):
        sides = cache(lambda: Sides(Settings.from_env(), count))
        parts: list[Callable[[], Section]] = []
        if not options.only or "speed" in options.only:
            parts.append(lambda: speed(sides(), some[0], options.points, options.singles))
        if not options.only or "recall" in options.only:
            parts.append(lambda: recall(sides(), some, options.points))
        if options.parity:
            parts.append(lambda: parity(sides(), some[:3], options.points))
        if not options.only or "beside" in options.only:
            parts.append(lambda: beside(some[0], options.singles))
        for part in parts:
            record.sections.append(part())
            print(table(record.sections[-1:]), flush=True)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(record.as_json(), indent=1) + "\n")
        print(f"wrote {options.output}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.everything", description="Measure everything mode.")
    parser.add_argument("--points", type=int, default=32, help="points a side (32)")
    parser.add_argument("--photo", type=Path, action="append", default=[], help="a photo of yours, used first")
    parser.add_argument("--photos", type=int, default=5, help="most photos that are used (5)")
    parser.add_argument("--singles", type=int, default=256, help="single prompts that are timed of each kind (256)")
    parser.add_argument("--parity", action="store_true", help="also compare all masks with Meta's generator")
    parser.add_argument("--only", action="append", choices=ONLY, help="leave out the others")
    parser.add_argument("--output", type=Path, help="file of the record, JSON (default: none)")
    options = parser.parse_args(arguments)
    options.parity = options.parity or "parity" in (options.only or ())
    options.quick = options.points < 32 or options.singles < FEWEST_SINGLES
    return options


if __name__ == "__main__":
    sys.exit(main())
