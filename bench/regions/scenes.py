"""Large pictures with real objects in them, whose true masks are known: the objects were pasted."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from bench.regions.asking import Asking, Click, pixels
from shared.contract.geometry import Size

SIDES = (40, 60, 90, 130, 200)
"""Longer sides of the objects in pixels."""

SPREAD = 1.7
"""Distance between the objects of a group, in sides of an object."""

APART = 600
"""Least distance of the middles of two groups, in pixels."""

_CORNERS = ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5))

_OBJECTS: dict[str, Sequence[tuple[int, int, int, int]]] = {
    "coffee": [(75, 19, 481, 368)],
    "astronaut": [(277, 343, 511, 511), (132, 347, 211, 426), (355, 0, 460, 287)],
    "chelsea": [(133, 81, 216, 149), (227, 224, 291, 270)],
    "rocket": [(307, 127, 339, 424)],
    "stereo_motorcycle": [(93, 54, 680, 454), (326, 158, 485, 252)],
    "camera": [(20, 60, 290, 511)],
    "coins": [(245, 96, 296, 144), (315, 156, 380, 218), (18, 233, 75, 288), (220, 241, 269, 288)],
}
"""Boxes around things in scikit-image's photos: a cup, a helmet, a badge, a shuttle, an eye, a nose, a rocket, a
motorcycle, its tank, a man, coins."""

_GROUNDS = (("gravel", (1.0, 0.95, 0.85)), ("grass", (0.8, 1.0, 0.75)), ("brick", (1.0, 0.8, 0.7)))
"""Textures of scikit-image, and the colour that each gets."""


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """A thing cut out of a photo: (h, w, 3) uint8, and (h, w) bool."""

    rgb: NDArray[np.uint8]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Pasted:
    """A thing in a picture.

    Attributes:
        x, y: where its mask begins.
        mask: (h, w), its true mask.
        side: its longer side in pixels.
        group: number of the group that it stands in.
        point: a point in its middle, as far from its edge as any.
    """

    x: int
    y: int
    mask: NDArray[np.bool_]
    side: int
    group: int
    point: Click

    def iou(self, mask: NDArray[np.bool_]) -> float:
        """Intersection over union with a mask of the whole picture."""
        height, width = self.mask.shape
        there = mask[self.y : self.y + height, self.x : self.x + width]
        both = int((there & self.mask).sum())
        return both / (int(mask.sum()) + int(self.mask.sum()) - both)

    def crop(self, times: float, size: Size) -> list[int]:
        """Corners of the square around it whose side is `times` its own, inside a picture of (height, width)."""
        side = max(16, round(times * self.side))
        corners = []
        for start, length, whole in zip((self.x, self.y), self.mask.shape[::-1], size[::-1], strict=True):
            corners.append(min(max(0, round(start + length / 2 - side / 2)), whole - side))
        return [*corners, corners[0] + side, corners[1] + side]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture, (H, W, 3) uint8, and what was pasted into it."""

    rgb: NDArray[np.uint8]
    pasted: Sequence[Pasted]

    @property
    def size(self) -> Size:
        return self.rgb.shape[0], self.rgb.shape[1]

    @property
    def jpeg(self) -> bytes:
        file = io.BytesIO()
        Image.fromarray(self.rgb).save(file, "JPEG", quality=92)
        return file.getvalue()


def photo(name: str) -> NDArray[np.uint8]:
    """A photo of scikit-image, (H, W, 3)."""
    found = getattr(skimage.data, name)()
    array = np.asarray(found[0] if isinstance(found, tuple) else found)
    return np.stack([array] * 3, axis=-1) if array.ndim == 2 else array


def things(service: Asking) -> list[Thing]:
    """Cut the things out of their photos. The service finds their outlines, which are then true by definition."""
    found = []
    for name, boxes in _OBJECTS.items():
        rgb = photo(name)
        file = io.BytesIO()
        Image.fromarray(rgb).save(file, "PNG")
        image_id = service.upload(file.getvalue())
        for box in boxes:
            mask = one_piece(pixels(service.ask(image_id, {"box": list(box)}, multimask=False).best))
            (place,) = ndimage.find_objects(mask.astype(np.int8))
            found.append(Thing(rgb[place], mask[place]))
    return found


def scene(size: Size, from_things: Sequence[Thing], each: int, seed: int) -> Scene:
    """Paste a group of things of each size of `SIDES` onto a textured ground of (height, width).

    Args:
        each: things of a group, at most four. They stand in the corners of a square.
    """
    rng = np.random.default_rng(seed)
    rgb = _ground(size)
    height, width = size
    pasted: list[Pasted] = []
    middles: list[NDArray[np.float64]] = []
    for group, side in enumerate(SIDES):
        middle = rng.uniform(0.08, 0.92, 2) * (width, height)
        while any(np.hypot(*(middle - other)) < APART for other in middles):
            middle = rng.uniform(0.08, 0.92, 2) * (width, height)
        middles.append(middle)
        large_enough = [thing for thing in from_things if max(thing.mask.shape) >= 0.75 * side]
        for corner in _CORNERS[:each]:
            thing = large_enough[int(rng.integers(len(large_enough)))]
            place = middle + np.array(corner) * SPREAD * side + rng.uniform(-0.1, 0.1, 2) * side
            pasted.append(_paste(rgb, thing, side, group, place, mirrored=bool(rng.random() < 0.5)))
    return Scene(rgb, pasted)


def _paste(
    rgb: NDArray[np.uint8], thing: Thing, side: int, group: int, middle: NDArray[np.float64], *, mirrored: bool
) -> Pasted:
    high, wide = (max(4, round(length * side / max(thing.mask.shape))) for length in thing.mask.shape)
    turn = slice(None, None, -1 if mirrored else 1)

    def scaled(array: NDArray[np.uint8]) -> NDArray[np.float32]:
        image = Image.fromarray(np.ascontiguousarray(array[:, turn]))
        return np.asarray(image.resize((wide, high), Image.Resampling.LANCZOS), np.float32)

    pixels_, opaque = scaled(thing.rgb), scaled(thing.mask.astype(np.uint8) * 255) / 255
    x = int(min(max(0, middle[0] - wide / 2), rgb.shape[1] - wide))
    y = int(min(max(0, middle[1] - high / 2), rgb.shape[0] - high))
    below = rgb[y : y + high, x : x + wide]
    below[:] = np.clip(opaque[..., None] * pixels_ + (1 - opaque[..., None]) * below, 0, 255)
    mask = opaque >= 0.5
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), mask.shape)
    return Pasted(x, y, mask, side, group, (x + float(column) + 0.5, y + float(row) + 0.5))


def _ground(size: Size) -> NDArray[np.uint8]:
    """Gravel, grass and brick side by side, mirrored so that no seam shows, under light that changes slowly."""
    height, width = size
    rgb = np.empty((height, width, 3), np.uint8)
    edges = np.linspace(0, width, len(_GROUNDS) + 1).astype(int)
    for (name, tint), left, right in zip(_GROUNDS, edges, edges[1:], strict=False):
        texture = getattr(skimage.data, name)()
        both = np.hstack([texture, texture[:, ::-1]])
        block = np.vstack([both, both[::-1]])
        rows, columns = -(-height // block.shape[0]), -(-(right - left) // block.shape[1])
        tiled = np.tile(block, (rows, columns))[:height, : right - left]
        light = 0.75 + 0.35 * np.sin(np.linspace(0, 5, height))[:, None] * np.cos(np.linspace(0, 4, right - left))
        for channel, share in enumerate(tint):
            rgb[:, left:right, channel] = np.clip(tiled * (light * share), 0, 255)
    return rgb


def one_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest part of the mask, without holes."""
    parts, count = ndimage.label(mask)
    sizes = ndimage.sum(mask, parts, range(1, count + 1))
    return np.asarray(ndimage.binary_fill_holes(parts == 1 + int(np.argmax(sizes))), dtype=bool)
