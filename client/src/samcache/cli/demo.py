"""`samcache demo`: cut something out of one of the service's sample pictures, for people who have none at hand."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from samcache.arrays.rle import mask_of_rle
from samcache.cli.exits import Exit
from samcache.cli.missing_workers import MissingWorkers
from samcache.cli.output import Output
from samcache.cli.painting import paint
from samcache.cli.photos import upright_photo
from samcache.service.clients import SamCache
from samcache.service.flows import image_id_of

SAMPLES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"coffee": (205, 190), "cat": (225, 140), "rocket": (322, 225)}
)
"""(x, y) in pixels of a point on the subject of each picture."""


def demo(options: argparse.Namespace, output: Output) -> Exit:
    """`samcache demo [NAME]`."""
    point = list(SAMPLES[options.sample])
    with SamCache(options.url, model=options.model, token=options.token, timeout=options.timeout) as service:
        data = service.sample(options.sample)
        image_id = image_id_of(data)
        service.wait(image_id, data, on_pending=MissingWorkers(output.complain))
        answer = service.masks(image_id, [{"points": [point], "labels": [1]}], data=data)
    best = max(answer.results[0], key=lambda mask: mask.score)
    path = options.output or Path(f"{options.sample}-overlay.png")
    paint(upright_photo(data), mask_of_rle(best.payload), foreground=[point]).save(path)
    document = {
        "sample": options.sample,
        "image_id": image_id,
        "point": point,
        "score": best.score,
        "area": best.area,
        "written": str(path),
    }
    x, y = point
    output.result(document, f"mask at {x:g},{y:g}: score {best.score:.3f}, {best.area} pixels; see {path}")
    return Exit.OK
