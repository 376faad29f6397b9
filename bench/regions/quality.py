"""(a), (b): one click on each small thing, answered by the whole image, by `auto`, and by an exact crop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.record import Bound, Quantity, Row, Section
from bench.regions.asking import WAIT, Asking, click, pixels
from bench.regions.scenes import SIDES, Pasted, Scene

CROP = 5
"""Sides of an exact crop for each side of the thing in its middle. Tighter crops make SAM take parts for the whole."""

LEAST_RECOVERED = 90.0
"""Percent of what exact crops gain that `auto` must gain."""


@dataclass(slots=True)
class Found:
    """What one click on one thing gave.

    Attributes:
        whole, auto, crop: the IoU of the mask of the best score with the true mask.
        seen: the best of the three masks of the whole image.
        region: corners of the region that `auto` answered from; None for the whole image.
        at_once: whether the first answer of `auto` was the finer one.
    """

    thing: Pasted
    whole: float
    seen: float
    crop: float = 0.0
    auto: float = 0.0
    region: tuple[int, ...] | None = None
    at_once: bool = False


@dataclass(slots=True)
class Clicked:
    """All clicks on one picture."""

    scene: Scene
    image_id: str
    clicks: list[Found] = field(default_factory=list)

    @property
    def megapixels(self) -> int:
        height, width = self.scene.size
        return round(height * width / 1e6)


def clicked(service: Asking, scene: Scene) -> Clicked:
    """Click on every thing of the scene in turn, as somebody who works through the picture."""
    image_id = service.upload(scene.jpeg)
    found = Clicked(scene, image_id)
    for thing in scene.pasted:
        prompt = click(thing.point)
        whole = service.ask(image_id, prompt)
        one = Found(thing, thing.iou(pixels(whole.best)), max(thing.iou(pixels(mask)) for mask in whole.masks))
        one.at_once = service.ask(image_id, prompt, "auto").region is not None
        auto = service.ask(image_id, prompt, "auto", wait=WAIT)
        one.auto, one.region = thing.iou(pixels(auto.best)), None if auto.region is None else tuple(auto.region)
        exact = service.ask(image_id, prompt, thing.crop(CROP, scene.size), wait=WAIT)
        one.crop = thing.iou(pixels(exact.best))
        found.clicks.append(one)
    return found


def quality(pictures: Sequence[Clicked]) -> Section:
    every = [one for picture in pictures for one in picture.clicks]
    rows = [_row(f"{picture.megapixels} MP", picture.clicks) for picture in pictures]
    rows += [_row(f"things of {side} px", [one for one in every if one.thing.side == side]) for side in SIDES]
    rows.append(_row("all", every, Bound("recovered", least=LEAST_RECOVERED)))
    note = (
        "Mean IoU of the mask of the best score with the true mask, one click in the middle of each thing. An exact "
        f"crop is the square around the thing with {CROP} times its side. Recovered: the gain of auto over the whole "
        "image, as a share of the gain of the exact crop."
    )
    return Section("a", "One click on a small thing in a large picture", rows, note)


def sharing(pictures: Sequence[Clicked]) -> Section:
    rows = [_shared(f"{picture.megapixels} MP", picture.clicks) for picture in pictures]
    note = (
        "Things stand in groups of one size, three or two of them, 1.7 sides apart, and are clicked one after the "
        "other. A click is fine at once if its region was encoded for an earlier thing."
    )
    return Section("b", "How often neighbours share a region", rows, note)


def _row(what: str, clicks: Sequence[Found], bound: Bound | None = None) -> Row:
    whole, auto, crop = (_mean(getattr(one, name) for one in clicks) for name in ("whole", "auto", "crop"))
    numbers = {
        "things": Quantity(len(clicks), "images"),
        "whole image": Quantity(whole, ""),
        "best of its three": Quantity(_mean(one.seen for one in clicks), ""),
        "auto": Quantity(auto, ""),
        "exact crop": Quantity(crop, ""),
        "recovered": Quantity(100 * (auto - whole) / (crop - whole), "%"),
    }
    return Row(what, numbers, bound)


def _shared(what: str, clicks: Sequence[Found]) -> Row:
    in_regions = [one for one in clicks if one.region is not None]
    regions = {one.region for one in in_regions}
    numbers = {
        "things": Quantity(len(clicks), "images"),
        "in a region": Quantity(100 * len(in_regions) / len(clicks), "%"),
        "regions": Quantity(len(regions), "images"),
        "fine at once": Quantity(100 * sum(one.at_once for one in clicks) / len(clicks), "%"),
    }
    return Row(what, numbers)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
