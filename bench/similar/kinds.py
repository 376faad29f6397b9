"""Things cut out of photos that packages carry, in two sets that share no photo: one to tune on, one to judge by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.cbook
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from bench.regions.scenes import Thing, one_piece
from bench.regions.scenes import photo as photo_of_skimage
from bench.similar.subject import Subject, pixels

_Box = tuple[int, int, int, int]

TUNING: Mapping[str, Sequence[_Box]] = {
    "coffee": [(145, 15, 405, 300), (325, 240, 405, 325)],
    "astronaut": [(132, 347, 211, 426), (350, 0, 460, 290), (277, 343, 511, 511), (150, 15, 300, 190)],
    "chelsea": [(133, 81, 216, 149), (227, 224, 291, 270)],
}
"""Boxes around a cup, the bowl of a spoon, a badge, a shuttle, a helmet, hair, an eye and a nose: what the search was
tuned on."""

JUDGING: Mapping[str, Sequence[_Box]] = {
    "stereo_motorcycle": [
        (320, 150, 485, 240),
        (120, 235, 285, 405),
        (505, 125, 568, 188),
        (545, 180, 617, 252),
        (528, 8, 592, 102),
        (140, 155, 350, 235),
    ],
    "grace_hopper": [(150, 20, 375, 160), (320, 486, 458, 528), (75, 481, 170, 520), (155, 160, 370, 345)],
    "camera": [(255, 130, 335, 185)],
}
"""Boxes around a tank, a wheel, a headlight, a red box, a cardboard box, a seat, a cap, ribbons, a name plate, a face
and a film camera: what the numbers in the documents come from."""


def things(subject: Subject, boxes: Mapping[str, Sequence[_Box]]) -> list[Thing]:
    """Cut things out of their photos, along the outlines that the model finds. These are then true by definition."""
    found = []
    for name, of_photo in boxes.items():
        rgb = photo(name)
        encoded = subject.encoded(rgb)
        for box in of_photo:
            mask = one_piece(pixels(subject.in_box(encoded, box)))
            (place,) = ndimage.find_objects(mask.astype(np.int8))
            found.append(Thing(rgb[place], mask[place]))
    return found


def photo(name: str) -> NDArray[np.uint8]:
    """A photo of scikit-image, or matplotlib's `grace_hopper`, (H, W, 3)."""
    if name != "grace_hopper":
        return photo_of_skimage(name)
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file, Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
