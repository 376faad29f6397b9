"""`samcache segment-boxes`: a mask for each of a detector's boxes, for a whole folder."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samcache.cli.box_files import Box, Boxes, Corners, read_boxes
from samcache.cli.bulk import Bulk, Outcome, exit_after, run
from samcache.cli.exits import Exit
from samcache.cli.files import UnreadableFile, images_in, read_image
from samcache.cli.output import Output
from samcache.cli.parts import Parts, write_whole
from samcache.service.async_client import AsyncSamCache
from samcache.service.flows import image_id_of
from samcache.service.resources import ImageInfo

AT_ONCE = 64
"""Most prompts of one request."""


def segment_boxes(options: argparse.Namespace, output: Output) -> Exit:
    """`samcache segment-boxes DIR BOXES --coco FILE`."""
    started = time.monotonic()
    present = images_in(options.folder, recursive=True)
    boxes = read_boxes(options.boxes, present, options.folder)
    paths = [options.folder / name for name, found in sorted(boxes.of.items()) if found]
    bulk = _BoxRun(paths, boxes, options, output)
    interrupted = run(bulk, options)
    write_whole(options.coco, bulk.dataset())
    document = {
        "images": len(paths),
        "done_before": bulk.resumed,
        "failed": bulk.failed,
        "left": len(paths) - len(bulk.outcomes),
        "boxes": sum(len(boxes.of[bulk.name_of(path)]) for path in paths),
        "masks": sum(len(found) for found in bulk.found.values()),
        "outside": bulk.outside,
        "seconds": round(time.monotonic() - started, 3),
    }
    files = [outcome.document() for outcome in sorted(bulk.outcomes, key=lambda outcome: outcome.path)]
    output.result(
        {**document, "written": str(options.coco), "files": files},
        "{images} images: {done_before} done before, {failed} failed, {left} left; {masks} masks for {boxes} boxes; "
        "{seconds:.1f} s".format(**document),
    )
    return exit_after(bulk, interrupted, output)


class _BoxRun(Bulk):
    """A run of `samcache segment-boxes`.

    Attributes:
        found: the annotations of each picture, by its path relative to the folder.
        resumed: how many pictures an earlier run had done.
        outside: boxes that lie outside their picture, or are empty. They get no mask.
    """

    def __init__(self, paths: Sequence[Path], boxes: Boxes, options: argparse.Namespace, output: Output) -> None:
        super().__init__(paths, output, wait=True)
        self.found: dict[str, list[dict[str, Any]]] = {}
        self.resumed = 0
        self.outside = 0
        self._boxes = boxes
        self._form = "polygons" if options.polygons else "rle"
        self._model: str | None = options.model
        self._parts = Parts(options.coco.parent / f"{options.coco.name}.parts")
        self._images: dict[str, tuple[int, int]] = {}
        self._names = {options.folder / name: name for name in boxes.of}

    def name_of(self, path: Path) -> str:
        """The picture's name in the file of boxes."""
        return self._names[path]

    async def work_on(self, service: AsyncSamCache, path: Path) -> Outcome:
        name = self.name_of(path)
        boxes = self._boxes.of[name]
        data = await asyncio.to_thread(read_image, path)
        image_id = image_id_of(data)
        made_from = {
            "image_id": image_id,
            "model": self._model,
            "form": self._form,
            "boxes": [[*box.values, box.category, box.relative, box.kept] for box in boxes],
        }
        part = name.replace("/", "__")
        kept = await asyncio.to_thread(self._parts.get, part, made_from)
        if kept is None:
            kept = await self._segmented(service, path, data, boxes)
            await asyncio.to_thread(self._parts.put, part, made_from, kept)
        else:
            self.resumed += 1
        self.found[name] = kept["annotations"]
        self._images[name] = (kept["width"], kept["height"])
        self.outside += len(boxes) - len(kept["annotations"])
        return Outcome(path, ImageInfo(image_id, kept["model"], "ready", kept["width"], kept["height"]))

    def dataset(self) -> dict[str, Any]:
        """The COCO dataset of what is done."""
        numbers = self._boxes.ids or {name: number for number, name in enumerate(sorted(self._boxes.of), start=1)}
        dataset: dict[str, Any] = {"images": [], "categories": self._boxes.categories, "annotations": []}
        used = [annotation["id"] for found in self.found.values() for annotation in found if _has_id(annotation)]
        following = max(used, default=0)
        for name, found in sorted(self.found.items()):
            width, height = self._images[name]
            dataset["images"].append({"id": numbers[name], "file_name": name, "width": width, "height": height})
            for annotation in found:
                if _has_id(annotation):
                    number = annotation["id"]
                else:
                    number = following = following + 1
                dataset["annotations"].append({**annotation, "id": number, "image_id": numbers[name]})
        return dataset

    async def _segmented(self, service: AsyncSamCache, path: Path, data: bytes, boxes: Sequence[Box]) -> dict[str, Any]:
        image = await service.upload(data)
        image = await service.wait(image.image_id, data, on_pending=self.told)
        claimed = self._boxes.sizes.get(self.name_of(path), (image.width, image.height))
        if claimed != (image.width, image.height):
            raise UnreadableFile(
                f"its boxes are for {claimed[0]}x{claimed[1]} pixels, and it has {image.width}x{image.height} upright"
            )
        placed: list[tuple[Box, Corners]] = []
        for box in boxes:
            corners = box.corners(image.width, image.height)
            if corners is None:
                self.complain(f"{path}: the box {list(box.values)} lies outside the picture, and gets no mask")
            else:
                placed.append((box, corners))
        made: list[dict[str, Any]] = []
        for start in range(0, len(placed), AT_ONCE):
            some = placed[start : start + AT_ONCE]
            prompts = [{"box": list(corners)} for _, corners in some]
            answer = await service.masks(image.image_id, prompts, multimask=False, form=self._form, data=data)
            for (box, corners), (mask,) in zip(some, answer.results, strict=True):
                made.append(
                    {
                        "iscrowd": 0,
                        **box.kept,
                        "category_id": box.category,
                        "segmentation": _flat(mask.payload) if self._form == "polygons" else mask.payload,
                        "area": mask.area,
                        "bbox": list(mask.bbox),
                        "box": [corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1]],
                        "predicted_iou": mask.score,
                    }
                )
        return {"model": image.model, "width": image.width, "height": image.height, "annotations": made}


def _has_id(annotation: dict[str, Any]) -> bool:
    return isinstance(annotation.get("id"), int)


def _flat(polygons: Sequence[Any]) -> list[list[float]]:
    """The outer rings as COCO has them: x and y by turns. COCO's polygons have no holes."""
    return [[value for point in polygon["outer"] for value in point] for polygon in polygons]
