"""`samcache segment`: the mask of a prompt, as a picture, as a COCO dataset or as polygons."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from PIL import Image

from samcache.arrays.coco_polygons import coco_polygons
from samcache.arrays.given_mask import mask_prompt
from samcache.arrays.rle import mask_of_rle
from samcache.cli.exits import Exit
from samcache.cli.files import UnreadableFile, read_image
from samcache.cli.mask_file import read_mask
from samcache.cli.missing_workers import MissingWorkers
from samcache.cli.output import Output, table
from samcache.cli.painting import paint
from samcache.cli.photos import upright_photo
from samcache.service.clients import SamCache
from samcache.service.flows import image_id_of
from samcache.service.resources import Mask, Masks

_AS_IT_IS = {"fill_holes": 0, "remove_specks": 0, "keep": "all"}
"""Nothing is cleaned. Then a service of an earlier version answers too."""


def segment(options: argparse.Namespace, output: Output) -> Exit:
    """`samcache segment IMAGE …`."""
    data = read_image(options.image)
    image_id = image_id_of(data)
    prompt = _prompt(options)
    with SamCache(options.url, model=options.model, token=options.token, timeout=options.timeout) as service:
        service.wait(image_id, data, on_pending=MissingWorkers(output.complain))
        clean = {"fill_holes": options.fill_holes, "remove_specks": options.remove_specks, "keep": options.keep}
        if clean == _AS_IT_IS:
            clean = {}
        answer = service.finest_masks(
            image_id, [prompt], multimask=options.multimask, data=data, region=options.region, clean=clean
        )
        masks = answer.results[0]
        chosen = _choose(masks, options.index)
        polygons = None
        if options.polygon is not None or options.coco_polygons:
            outlines = service.masks(
                image_id,
                [prompt],
                multimask=options.multimask,
                form="polygons",
                data=data,
                region=answer.region,
                clean=clean,
                tolerance=options.tolerance,
            )
            polygons = outlines.results[0][chosen].payload
    if options.polygon is not None:
        _write(options.polygon, _polygon_document(options.image, answer, masks[chosen], polygons))
    if options.coco is not None:
        segmentation = coco_polygons(polygons or []) if options.coco_polygons else masks[chosen].payload
        _write(options.coco, coco_document(options.image, answer, masks[chosen], segmentation))
    if options.output is not None:
        _picture(options, data, masks[chosen]).save(options.output)
    output.result(_document(options, answer, chosen), table(_rows(masks, chosen)))
    return Exit.OK


def coco_document(photo: Path, answer: Masks, mask: Mask, segmentation: Any) -> dict[str, Any]:
    """A COCO dataset of one image with one annotation.

    Args:
        segmentation: the mask as a compressed RLE, or as polygons.
    """
    return {
        "images": [{"id": 1, "file_name": photo.name, "width": answer.width, "height": answer.height}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "segmentation": segmentation,
                "area": mask.area,
                "bbox": list(mask.bbox),
                "iscrowd": 0,
                "score": mask.score,
            }
        ],
    }


def _prompt(options: argparse.Namespace) -> dict[str, Any]:
    prompt: dict[str, Any] = {}
    if points := [*options.point, *options.point_bg]:
        prompt = {"points": points, "labels": [1] * len(options.point) + [0] * len(options.point_bg)}
    if options.box is not None:
        prompt["box"] = options.box
    if options.mask is not None:
        prompt["mask"] = mask_prompt(read_mask(options.mask))
    return prompt


def _choose(masks: list[Mask], index: int | None) -> int:
    best = max(range(len(masks)), key=lambda number: masks[number].score)
    return best if index is None else index


def _picture(options: argparse.Namespace, data: bytes, mask: Mask) -> Image.Image:
    pixels = mask_of_rle(mask.payload)
    if not options.overlay:
        return Image.fromarray(pixels)
    try:
        photo = upright_photo(data)
    except Exception as error:  # Pillow's readers raise errors of many kinds
        raise UnreadableFile(f"{options.image} cannot be painted on: {error}") from error
    if photo.size != (pixels.shape[1], pixels.shape[0]):
        raise UnreadableFile(f"{options.image} cannot be painted on: its size here is not that of the mask")
    return paint(photo, pixels, foreground=options.point, background=options.point_bg, box=options.box)


def _polygon_document(photo: Path, answer: Masks, mask: Mask, polygons: Any) -> dict[str, Any]:
    return {
        "file_name": photo.name,
        "width": answer.width,
        "height": answer.height,
        "score": mask.score,
        "polygons": polygons,
    }


def _document(options: argparse.Namespace, answer: Masks, chosen: int) -> dict[str, Any]:
    files = [str(path) for path in (options.output, options.coco, options.polygon) if path is not None]
    return {
        "file": str(options.image),
        "image_id": answer.image_id,
        "model": answer.model,
        "width": answer.width,
        "height": answer.height,
        "region": answer.region,
        "chosen": chosen,
        "masks": [
            {
                "score": mask.score,
                "area": mask.area,
                "bbox": list(mask.bbox),
                "rle": mask.payload,
                "mask_token": mask.token,
            }
            for mask in answer.results[0]
        ],
        "written": files,
    }


def _rows(masks: list[Mask], chosen: int) -> list[dict[str, Any]]:
    return [
        {
            "mask": number,
            "score": f"{mask.score:.3f}",
            "area": mask.area,
            "box x,y,w,h": ",".join(map(str, mask.bbox)),
            "taken": "<-" if number == chosen else "",
        }
        for number, mask in enumerate(masks)
    ]


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document), encoding="utf-8")
