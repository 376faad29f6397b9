"""A detector's boxes for a folder of pictures: a COCO file, or a folder of YOLO's label files."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samcache.cli.files import UnreadableFile

Corners = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels of the upright picture."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box of a picture.

    Attributes:
        values: x, y, width, height: in pixels, (x, y) the upper left corner; or, if `relative`, in parts of the
            picture's width and height, (x, y) the middle.
        category: id of its category.
        kept: what else the file says of it.
    """

    values: tuple[float, float, float, float]
    category: int
    relative: bool = False
    kept: dict[str, Any] = field(default_factory=dict)

    def corners(self, width: int, height: int) -> Corners | None:
        """The part of the box that lies in a picture of this size; None if none does."""
        x, y, wide, high = self.values
        if self.relative:
            x, y, wide, high = (x - wide / 2) * width, (y - high / 2) * height, wide * width, high * height
        x0, y0, x1, y1 = max(0.0, x), max(0.0, y), min(float(width), x + wide), min(float(height), y + high)
        return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of a folder.

    Attributes:
        of: by the picture's path relative to the folder. A picture may have none.
        categories: COCO's categories.
        sizes: (width, height) that the file says of a picture, by the same path.
        ids: the id that the file has for a picture, by the same path.
    """

    of: dict[str, list[Box]]
    categories: list[dict[str, Any]]
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)


def read_boxes(source: Path, pictures: Sequence[Path], folder: Path) -> Boxes:
    """The boxes of the pictures of `folder`.

    Args:
        source: a COCO file, or a folder of YOLO's label files, one per picture and called like it, with a line `class x
            y width height` for each box, in parts of the picture's size.

    Raises:
        UnreadableFile: it cannot be read, or is neither.
    """
    return _yolo(source, pictures, folder) if source.is_dir() else _coco(source)


def _coco(source: Path) -> Boxes:
    try:
        document = json.loads(source.read_bytes())
        names = {int(image["id"]): str(image["file_name"]) for image in document["images"]}
        found = Boxes(
            {name: [] for name in names.values()},
            [dict(category) for category in document.get("categories", [])],
            {
                names[int(image["id"])]: (int(image["width"]), int(image["height"]))
                for image in document["images"]
                if "width" in image and "height" in image
            },
            {name: number for number, name in names.items()},
        )
        for annotation in document["annotations"]:
            kept = {
                member: value
                for member, value in annotation.items()
                if member not in ("image_id", "bbox", "category_id", "segmentation", "area")
            }
            x, y, width, height = _numbers(annotation["bbox"])
            box = Box((x, y, width, height), int(annotation["category_id"]), kept=kept)
            found.of[names[int(annotation["image_id"])]].append(box)
    except OSError as error:
        raise UnreadableFile(f"{source} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UnreadableFile(
            f"{source} is no COCO file with `images`, and `annotations` with `bbox`: {reason}"
        ) from error
    return found


def _yolo(source: Path, pictures: Sequence[Path], folder: Path) -> Boxes:
    found: defaultdict[str, list[Box]] = defaultdict(list)
    seen: set[int] = set()
    for picture in pictures:
        inside = picture.relative_to(folder)
        labels = (source / inside).with_suffix(".txt")
        if not labels.is_file():
            continue
        boxes = found[inside.as_posix()]
        for number, line in enumerate(labels.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                category, *values = line.split()
                x, y, width, height = _numbers(values[:4])
                boxes.append(Box((x, y, width, height), int(category), relative=True))
            except ValueError:
                raise UnreadableFile(
                    f"{labels}, line {number}: {line[:80]!r} is not `class x y width height`"
                ) from None
            seen.add(boxes[-1].category)
    if not found:
        raise UnreadableFile(f"{source} has no label file called like a picture of {folder}")
    names = _class_names(source)
    categories = [{"id": number, "name": names.get(number, f"class {number}")} for number in sorted(seen)]
    return Boxes(dict(found), categories)


def _class_names(source: Path) -> dict[int, str]:
    """The names of the classes, one a line in `classes.txt`, as annotation tools write it."""
    listed = source / "classes.txt"
    if not listed.is_file():
        return {}
    return dict(enumerate(listed.read_text(encoding="utf-8", errors="replace").splitlines()))


def _numbers(values: Sequence[Any]) -> tuple[float, float, float, float]:
    x, y, width, height = (float(value) for value in values)
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError("a number is not finite")
    return x, y, width, height
