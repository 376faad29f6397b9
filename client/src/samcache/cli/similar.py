"""`samcache similar`: all that looks like what the user shows, in one picture or in a folder of them."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samcache.arrays.coco_polygons import coco_polygons
from samcache.cli.bulk import Bulk, Outcome, exit_after, run
from samcache.cli.exits import Exit
from samcache.cli.files import images_in, read_image
from samcache.cli.output import Output
from samcache.cli.parts import Parts, write_whole
from samcache.service.async_client import AsyncSamCache
from samcache.service.flows import image_id_of
from samcache.service.resources import ImageInfo
from samcache.service.similar import SimilarMask

_OPTIONS = ("limit", "min_similarity", "min_score")
"""The options of the service that the command passes on."""

_SAID = "{images} images: {done_before} done before, {failed} failed, {left} left; {masks} masks; {seconds:.1f} s"


def similar(options: argparse.Namespace, output: Output) -> Exit:
    """`samcache similar IMAGE|DIR --point X,Y --coco FILE`."""
    started = time.monotonic()
    root = options.path if options.path.is_dir() else options.path.parent
    paths = images_in(root, recursive=options.recursive) if options.path.is_dir() else [options.path]
    if not paths:
        output.complain(f"{root} has no pictures")
        return Exit.FAILED
    bulk = _Search(paths, root, options, output)
    interrupted = run(bulk, options)
    write_whole(options.coco, bulk.dataset())
    document = {
        "images": len(paths),
        "done_before": bulk.resumed,
        "failed": bulk.failed,
        "left": len(paths) - len(bulk.outcomes),
        "masks": sum(len(found["annotations"]) for found in bulk.found.values()),
        "seconds": round(time.monotonic() - started, 3),
    }
    files = [outcome.document() for outcome in sorted(bulk.outcomes, key=lambda outcome: outcome.path)]
    output.result(
        {**document, "written": str(options.coco), "files": files},
        _SAID.format(**document),
    )
    return exit_after(bulk, interrupted, output)


class _Search(Bulk):
    """A run of `samcache similar`.

    Attributes:
        found: what was found in each picture, by its path relative to the folder.
        resumed: how many pictures an earlier run had done.
    """

    def __init__(self, paths: Sequence[Path], root: Path, options: argparse.Namespace, output: Output) -> None:
        """Raises:
        UnreadableFile: the picture with the examples cannot be read.
        """
        super().__init__(paths, output, wait=True)
        self.found: dict[str, dict[str, Any]] = {}
        self.resumed = 0
        self._root = root
        self._shown_on: bytes = read_image(options.example or paths[0])
        self._shown_id = image_id_of(self._shown_on)
        self._examples = _examples(options, self._shown_id)
        self._asked = {name: getattr(options, name) for name in _OPTIONS if getattr(options, name) is not None}
        self._form = "polygons" if options.polygons else "rle"
        self._model: str | None = options.model
        self._parts = Parts(options.coco.parent / f"{options.coco.name}.parts")

    async def work_on(self, service: AsyncSamCache, path: Path) -> Outcome:
        name = path.relative_to(self._root).as_posix()
        data = await asyncio.to_thread(read_image, path)
        image_id = image_id_of(data)
        made_from = {
            "image_id": image_id,
            "model": self._model,
            "form": self._form,
            "examples": self._examples,
            "options": self._asked,
        }
        part = name.replace("/", "__")
        kept = await asyncio.to_thread(self._parts.get, part, made_from)
        if kept is None:
            kept = await self._search(service, path, image_id, data)
            await asyncio.to_thread(self._parts.put, part, made_from, kept)
        else:
            self.resumed += 1
        self.found[name] = kept
        return Outcome(path, ImageInfo(image_id, kept["model"], "ready", kept["width"], kept["height"]))

    def dataset(self) -> dict[str, Any]:
        """The COCO dataset of what is done. It has one category."""
        dataset: dict[str, Any] = {"images": [], "categories": [{"id": 1, "name": "object"}], "annotations": []}
        for number, (name, found) in enumerate(sorted(self.found.items()), start=1):
            size = {"width": found["width"], "height": found["height"]}
            dataset["images"].append({"id": number, "file_name": name, **size})
            for annotation in found["annotations"]:
                own = {"id": len(dataset["annotations"]) + 1, "image_id": number, "category_id": 1, "iscrowd": 0}
                dataset["annotations"].append({**own, **annotation})
        return dataset

    async def _search(self, service: AsyncSamCache, path: Path, image_id: str, data: bytes) -> dict[str, Any]:
        await service.wait(image_id, data, on_pending=self.told)
        found = await service.find_similar(
            image_id,
            self._examples,
            form=self._form,
            data=data,
            others={self._shown_id: self._shown_on},
            **self._asked,
        )
        if found.truncated:
            self.complain(f"{path}: there may be more than these {len(found.masks)}; --limit allows up to 500")
        annotations = [_annotation(mask, self._form) for mask in found.masks]
        return {"model": found.model, "width": found.width, "height": found.height, "annotations": annotations}


def _examples(options: argparse.Namespace, image_id: str) -> list[dict[str, Any]]:
    """The examples of the request: each point and each box is one."""
    shown: list[dict[str, Any]] = [{"points": [point], "labels": [1]} for point in options.point]
    shown += [{"box": box} for box in options.box]
    shown += [{"points": [point], "labels": [1], "label": 0} for point in options.negative]
    return [{**one, "image_id": image_id} for one in shown]


def _annotation(mask: SimilarMask, form: str) -> dict[str, Any]:
    return {
        "segmentation": coco_polygons(mask.payload) if form == "polygons" else mask.payload,
        "area": mask.area,
        "bbox": list(mask.bbox),
        "predicted_iou": mask.score,
        "similarity": mask.similarity,
        "point": list(mask.point),
    }
