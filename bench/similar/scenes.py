"""Pictures with several kinds of things, each many times: turned, scaled, stretched, mirrored and lit differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.regions.scenes import Thing
from bench.similar.kinds import photo
from shared.contract.geometry import Size

SIZE: Size = (1000, 1500)
KINDS, EACH, OTHERS = 3, 8, 4
"""In a picture: kinds that are asked for, things of each, and things of other kinds that nobody asks for."""

_COLUMNS, _ROWS = 7, 4
_TURN, _SCALE, _STRETCH, _LIGHT = 40.0, (0.8, 1.2), (0.9, 1.1), (0.8, 1.2)
"""How much the things of a kind differ: degrees to both sides, and factors."""

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ground:
    """What the things lie on.

    Attributes:
        name: for the tables: plain, textured or busy.
        photos: the photos that it is made of; none for a plain one.
    """

    name: str
    photos: Sequence[str] = ()


PLAIN, TEXTURED = Ground("plain"), Ground("textured", ("grass", "gravel", "brick"))


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture, (H, W, 3), with the true mask (H, W) of each of its things and the number of its kind.

    The number is -1 for a thing that nobody asks for.
    """

    rgb: Pixels
    masks: Sequence[Mask]
    kinds: Sequence[int]

    def of_kind(self, kind: int) -> list[Mask]:
        return [mask for mask, other in zip(self.masks, self.kinds, strict=True) if other == kind]


def scene(asked: Sequence[Thing], others: Sequence[Thing], ground: Ground, side: int, seed: int) -> Scene:
    """Lay things of the kinds `asked` and some of `others` on a ground, so that none covers another.

    Args:
        side: the mean longer side of a thing in pixels.
    """
    rng = np.random.default_rng(seed)
    rgb = _ground(ground, rng)
    kinds = [kind for kind in range(len(asked)) for _ in range(EACH)] + [-1] * OTHERS
    places = rng.permutation(_COLUMNS * _ROWS)
    masks = []
    for kind, place in zip(kinds, places, strict=True):
        thing = asked[kind] if kind >= 0 else others[int(rng.integers(len(others)))]
        row, column = divmod(int(place), _COLUMNS)
        middle = ((column + 0.5) * SIZE[1] / _COLUMNS, (row + 0.5) * SIZE[0] / _ROWS)
        masks.append(_laid(rgb, _changed(thing, side, rng), middle, rng))
    return Scene(rgb, masks, kinds)


def _changed(thing: Thing, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the thing as it lies in the picture, (h, w, 4) float32: its colours and how opaque it is, 0 to 255."""
    rgba = np.dstack([thing.rgb, np.where(thing.mask, 255, 0).astype(np.uint8)])
    if rng.random() < 0.5:
        rgba = rgba[:, ::-1]
    factor = side * rng.uniform(*_SCALE) / max(thing.mask.shape)
    wide, high = (max(4, round(length * factor * rng.uniform(*_STRETCH))) for length in thing.mask.shape[::-1])
    image = Image.fromarray(np.ascontiguousarray(rgba)).resize((wide, high), Image.Resampling.LANCZOS)
    turned = image.rotate(rng.uniform(-_TURN, _TURN), Image.Resampling.BICUBIC, expand=True)
    changed = np.asarray(turned, np.float32)
    changed[..., :3] *= rng.uniform(*_LIGHT) * rng.uniform(0.95, 1.05, 3)
    return changed


def _laid(rgb: Pixels, thing: NDArray[np.float32], middle: tuple[float, float], rng: np.random.Generator) -> Mask:
    """Lay the thing near a place, and return its true mask over the picture."""
    height, width = thing.shape[:2]
    room = SIZE[1] / _COLUMNS - width, SIZE[0] / _ROWS - height
    x, y = (
        int(min(max(0, at - length / 2 + rng.uniform(-0.5, 0.5) * max(0, free)), whole - length))
        for at, length, free, whole in zip(middle, (width, height), room, SIZE[::-1], strict=True)
    )
    opaque = thing[..., 3:] / 255
    below = rgb[y : y + height, x : x + width]
    below[:] = np.clip(opaque * thing[..., :3] + (1 - opaque) * below, 0, 255)
    mask = np.zeros(SIZE, bool)
    mask[y : y + height, x : x + width] = opaque[..., 0] >= 0.5
    return mask


def _ground(ground: Ground, rng: np.random.Generator) -> Pixels:
    """Return the ground, under light that changes slowly, with a little noise."""
    height, width = SIZE
    if ground.photos:
        name = ground.photos[int(rng.integers(len(ground.photos)))]
        colours = Image.fromarray(photo(name)).convert("RGB")
        # Textures are small: at twice their size, mirrored, they fill the picture without a seam.
        tile = np.asarray(colours.resize((width // 2, height // 2) if ground.name == "textured" else (width, height)))
        tiled = np.pad(tile, ((0, height - len(tile)), (0, width - tile.shape[1]), (0, 0)), mode="symmetric")
        base = tiled * (rng.uniform(0.7, 1.0, 3) if ground.name == "textured" else 1.0)
    else:
        base = np.broadcast_to(rng.uniform(60, 220, 3), (height, width, 3))
    light = (
        np.linspace(*rng.uniform(0.8, 1.1, 2), width)[:, None]
        * np.linspace(*rng.uniform(0.9, 1.1, 2), height)[:, None, None]
    )
    return np.asarray(np.clip(base * light + rng.normal(0, 3, (height, width, 3)), 0, 255), np.uint8)
