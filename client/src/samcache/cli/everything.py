"""`samcache everything`: every mask of every picture of a folder, as one COCO dataset for each folder."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from samcache.arrays.rle import mask_of_rle
from samcache.cli.bulk import Bulk, Outcome, exit_after, run
from samcache.cli.exits import Exit
from samcache.cli.files import UnreadableFile, images_in, read_image
from samcache.cli.missing_workers import MissingWorkers
from samcache.cli.output import Output
from samcache.cli.parts import Parts, write_whole
from samcache.cli.photos import upright_photo
from samcache.service.async_client import AsyncSamCache
from samcache.service.flows import image_id_of
from samcache.service.resources import Everything, ImageInfo

COCO = "coco.json"
"""Name of the dataset of a folder."""

OVERLAY = ".overlay.png"
"""End of the name of a painted picture. Such files are never searched."""

OPTIONS = {
    "points_per_side": int,
    "pred_iou_thresh": float,
    "stability_score_thresh": float,
    "stability_score_offset": float,
    "box_nms_thresh": float,
    "crop_n_layers": int,
    "crop_nms_thresh": float,
    "crop_overlap_ratio": float,
    "crop_n_points_downscale_factor": int,
    "min_mask_region_area": int,
    "mode": str,
}
"""The options of the service that the command passes on, with their types."""

_OPACITY = 0.45


def everything(options: argparse.Namespace, output: Output) -> Exit:
    """`samcache everything DIR -o DIR`."""
    started = time.monotonic()
    present = images_in(options.folder, recursive=options.recursive)
    paths = [path for path in present if not path.name.endswith(OVERLAY)]
    bulk = _Search(paths, options, output)
    interrupted = run(bulk, options)
    written = bulk.write()
    document = {
        "images": len(paths),
        "found_before": bulk.resumed,
        "searched": len(bulk.found) - bulk.resumed,
        "failed": bulk.failed,
        "left": len(paths) - len(bulk.outcomes),
        "masks": sum(len(found["masks"]) for found in bulk.found.values()),
        "seconds": round(time.monotonic() - started, 3),
    }
    files = [outcome.document() for outcome in sorted(bulk.outcomes, key=lambda outcome: outcome.path)]
    output.result(
        {**document, "written": [str(path) for path in written], "files": files},
        "{images} images: {found_before} found before, {searched} searched, {failed} failed, {left} left; "
        "{masks} masks; {seconds:.1f} s".format(**document),
    )
    return exit_after(bulk, interrupted, output)


class _Search(Bulk):
    """A run of `samcache everything`.

    Attributes:
        found: what was found, by path.
        resumed: how many of them an earlier run had found.
    """

    def __init__(self, paths: Sequence[Path], options: argparse.Namespace, output: Output) -> None:
        super().__init__(paths, output, wait=True)
        self.found: dict[Path, dict[str, Any]] = {}
        self.resumed = 0
        self._root: Path = options.folder
        self._into: Path = options.output
        self._overlay: bool = options.overlay
        self._asked = {name: getattr(options, name) for name in OPTIONS if getattr(options, name) is not None}
        self._model: str | None = options.model
        self._searching = MissingWorkers(self.complain, "mask worker")

    async def work_on(self, service: AsyncSamCache, path: Path) -> Outcome:
        data = await asyncio.to_thread(read_image, path)
        image_id = image_id_of(data)
        parts = Parts(self._folder_of(path))
        made_from = {"image_id": image_id, "model": self._model, "options": self._asked}
        found = await asyncio.to_thread(parts.get, path.name, made_from)
        if found is None:
            job = await service.everything(image_id, data, on_progress=self._tell, **self._asked)
            found = _kept(job)
            await asyncio.to_thread(parts.put, path.name, made_from, found)
        else:
            self.resumed += 1
        self.found[path] = found
        if self._overlay:
            await asyncio.to_thread(self._paint, path, data, found)
        return Outcome(path, ImageInfo(image_id, found["model"], "ready", found["width"], found["height"]))

    def write(self) -> list[Path]:
        """Write the dataset of each folder, and return the paths.

        Raises:
            OSError: one cannot be written.
        """
        folders: defaultdict[Path, dict[str, dict[str, Any]]] = defaultdict(dict)
        for path, found in self.found.items():
            folders[self._folder_of(path)][path.name] = found
        written = []
        for folder, images in sorted(folders.items()):
            written.append(folder / COCO)
            write_whole(written[-1], coco_dataset(images))
        return written

    def _tell(self, job: Everything) -> None:
        self._searching(ImageInfo(job.image_id, job.model, job.status, job.width, job.height, workers=job.workers))

    def _folder_of(self, path: Path) -> Path:
        return self._into / path.parent.relative_to(self._root)

    def _paint(self, path: Path, data: bytes, found: Mapping[str, Any]) -> None:
        try:
            photo = upright_photo(data)
        except Exception as error:  # Pillow's readers raise errors of many kinds
            raise UnreadableFile(f"it cannot be painted on: {error}") from error
        if photo.size != (found["width"], found["height"]):
            raise UnreadableFile("it cannot be painted on: its size here is not that of its masks")
        target = self._folder_of(path) / f"{path.name}{OVERLAY}"
        target.parent.mkdir(parents=True, exist_ok=True)
        paint_all(photo, [mask["rle"] for mask in found["masks"]]).save(target)


def coco_dataset(images: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A COCO dataset of one category. Its segmentations are compressed RLE.

    Args:
        images: by file name, `width`, `height` and `masks`, each with `rle`, `area`, `bbox`, `predicted_iou`,
            `stability_score`, `point_coords`, `crop_box`.
    """
    dataset: dict[str, Any] = {"images": [], "categories": [{"id": 1, "name": "object"}], "annotations": []}
    for number, (name, image) in enumerate(sorted(images.items()), start=1):
        size = {"width": image["width"], "height": image["height"]}
        dataset["images"].append({"id": number, "file_name": name, **size})
        for mask in image["masks"]:
            others = {member: value for member, value in mask.items() if member != "rle"}
            dataset["annotations"].append(
                {
                    "id": len(dataset["annotations"]) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "segmentation": mask["rle"],
                    "iscrowd": 0,
                    **others,
                }
            )
    return dataset


def paint_all(photo: Image.Image, rles: Sequence[Mapping[str, Any]]) -> Image.Image:
    """The photo with every mask in a colour of its own, the smallest on top."""
    pixels = np.asarray(photo.convert("RGB"))
    colours = np.random.default_rng(0).integers(40, 256, (len(rles), 3)).astype(np.float32)
    painted = pixels.copy()
    masks = [mask_of_rle(rle) for rle in rles]
    for number in sorted(range(len(masks)), key=lambda index: -int(masks[index].sum())):
        mask = masks[number]
        painted[mask] = (1 - _OPACITY) * pixels[mask] + _OPACITY * colours[number]
    return Image.fromarray(painted)


def _kept(job: Everything) -> dict[str, Any]:
    return {
        "model": job.model,
        "width": job.width,
        "height": job.height,
        "masks": [
            {
                "rle": dict(mask.rle),
                "area": mask.area,
                "bbox": list(mask.bbox),
                "predicted_iou": mask.predicted_iou,
                "stability_score": mask.stability_score,
                "point_coords": [list(mask.point)],
                "crop_box": list(mask.crop_box),
            }
            for mask in job.masks
        ],
    }
