"""The images of a run, the prompts on them, and the right answers."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import skimage.data
from PIL import Image

from samcache import mask_of_rle
from tests.support.sample_images import animated, huge_png, saved

WIDTH, HEIGHT = 480, 320
"""Size of every image. All are the same size, so a mask of the wrong image is found by its pixels, not by its size."""

LARGE = (6000, 4000)
"""Width and height of a photo that takes long to decode."""

EVERYTHING: Mapping[str, Any] = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
"""The options of all everything jobs: few points, and masks on every scene."""

SCORE_ROUNDING, PIXEL_ROUNDING = 1e-4, 8
"""How much two answers to one question may differ. The first prompt on an image takes another path through the decoder
than later prompts, and floating-point sums depend on their order. A mask of another image differs by thousands of
pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image with known masks. Every copy has different bytes, so the service treats each upload as a new image.

    Attributes:
        questions: requests for masks. The last one is about a region, the others about the whole image.
        search: a request for similar objects.
    """

    number: int
    jpeg: bytes
    questions: Sequence[Mapping[str, Any]]
    search: Mapping[str, Any]

    @property
    def regional(self) -> int:
        """The number of the question about a region."""
        return len(self.questions) - 1

    @property
    def region(self) -> Sequence[int]:
        """[x0, y0, x1, y1] of that region, in pixels."""
        corners: Sequence[int] = self.questions[self.regional]["region"]
        return corners

    def copy(self, text: str) -> bytes:
        """Return the file with `text` in a comment, which decoders ignore."""
        comment = text.encode()
        (length,) = np.frombuffer(self.jpeg[4:6], ">u2")  # length of the JFIF segment, which stays first
        where = 4 + int(length)
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        return self.jpeg[:where] + segment + self.jpeg[where:]


@dataclass(frozen=True, slots=True)
class Mask:
    """One mask of an answer, unchanged."""

    score: float
    area: int
    bbox: str
    rle: Mapping[str, Any]


class Material:
    """Scenes, and the service's answers about them when nothing was broken. Safe for threads."""

    def __init__(self, seed: int, scenes: int) -> None:
        dice = random.Random(seed)
        self._seed = seed
        self._counter = itertools.count(1)
        self._lock = threading.Lock()
        self._answers: dict[tuple[int, int], list[Mask]] = {}
        self._embeddings: dict[int, str] = {}
        self._searches: dict[int, str] = {}
        self._similar: dict[int, list[Mask]] = {}
        self.scenes = [_scene(number, dice) for number in range(scenes)]

    def fresh(self, scene: Scene) -> bytes:
        """Return a copy that was not uploaded before."""
        with self._lock:
            return scene.copy(f"chaos {self._seed} {next(self._counter)}")

    def fresh_large(self) -> bytes:
        """Return a photo of 24 megapixels that was not uploaded before. It is none of the scenes.

        To decode it takes 150 MB and some tenths of a second, because it is a progressive JPEG. A scene takes 1 MB and
        some milliseconds.
        """
        return self.fresh(self._large)

    @cached_property
    def _large(self) -> Scene:
        scene, file = self.scenes[0], io.BytesIO()
        Image.open(io.BytesIO(scene.jpeg)).resize(LARGE).save(file, "JPEG", quality=85, progressive=True)
        return replace(scene, jpeg=file.getvalue())

    def learn(self, scene: Scene, question: int, answer: bytes) -> None:
        """Record `answer`, which was given without faults, as the right one."""
        self._answers[scene.number, question] = masks_of(answer)

    def is_right(self, scene: Scene, question: int, answer: bytes) -> bool:
        """Return whether all scores and RLEs equal the recorded ones, except for rounding."""
        return alike(masks_of(answer), self._answers[scene.number, question])

    def learn_embedding(self, scene: Scene, npy: bytes) -> None:
        self._embeddings[scene.number] = hashlib.sha256(npy).hexdigest()

    def is_right_embedding(self, scene: Scene, npy: bytes) -> bool:
        """Return whether the embedding equals the recorded one bit for bit."""
        return hashlib.sha256(npy).hexdigest() == self._embeddings[scene.number]

    def learn_search(self, scene: Scene, answer: bytes) -> None:
        """Record the masks of an everything job that ran without faults."""
        self._searches[scene.number] = _found_in(answer)

    def is_right_search(self, scene: Scene, answer: bytes) -> bool:
        """Return whether the masks equal the recorded ones in everything."""
        return _found_in(answer) == self._searches[scene.number]

    def learn_similar(self, scene: Scene, answer: bytes) -> None:
        """Record the answer of a search for similar objects that ran without faults."""
        self._similar[scene.number] = found_in(answer)

    def is_right_similar(self, scene: Scene, answer: bytes) -> bool:
        """Return whether the masks are the recorded ones, except for rounding; see `nearly_alike`."""
        return nearly_alike(found_in(answer), self._similar[scene.number])

    def tells_scenes_apart(self) -> bool:
        """Return whether each question has different answers for all scenes. Otherwise a mix-up could go unnoticed."""
        if len(set(self._searches.values()) - {_NO_MASKS}) < len(self.scenes):
            return False
        if any(map(nearly_alike, *zip(*itertools.combinations(self._similar.values(), 2), strict=True))):
            return False
        numbers = [scene.number for scene in self.scenes]
        questions = {question for _, question in self._answers}
        return not any(
            alike(self._answers[one, question], self._answers[other, question])
            for question in questions
            for one, other in itertools.combinations(numbers, 2)
        )


def masks_of(answer: bytes) -> list[Mask]:
    """Return the masks of all prompts in one list."""
    return [
        Mask(mask["score"], mask["area"], json.dumps(mask["bbox"]), mask["rle"])
        for one in json.loads(answer)["results"]
        for mask in one["masks"]
    ]


def found_in(answer: bytes) -> list[Mask]:
    """Return the masks of a search for similar objects."""
    return [
        Mask(mask["score"], mask["area"], json.dumps(mask["bbox"]), mask["rle"]) for mask in json.loads(answer)["masks"]
    ]


_NO_MASKS = "[]"


def _found_in(answer: bytes) -> str:
    """Return the masks of an everything job as text."""
    return json.dumps(json.loads(answer)["masks"])


def alike(these: Sequence[Mask], those: Sequence[Mask]) -> bool:
    """Return whether they are the same masks in the same order, except for rounding."""
    return len(these) == len(those) and all(map(_same, these, those))


def nearly_alike(these: Sequence[Mask], those: Sequence[Mask]) -> bool:
    """Return whether both have the same masks, except for rounding, in any order, and all but a quarter of them.

    A search keeps masks above thresholds, and each prompts the next: a rounded number may change a few of them.
    """
    most = min(len(these), len(those)) // 4
    missed = sum(not any(_same(one, other) for other in those) for one in these)
    return missed <= most and len(those) - (len(these) - missed) <= most


def _same(one: Mask, other: Mask) -> bool:
    if abs(one.score - other.score) > SCORE_ROUNDING:
        return False
    if one.rle == other.rle:
        return (one.area, one.bbox) == (other.area, other.bbox)
    if one.rle["size"] != other.rle["size"]:
        return False
    return int((mask_of_rle(one.rle) != mask_of_rle(other.rle)).sum()) <= PIXEL_ROUNDING


def image_id(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def padded(jpeg: bytes, size: int) -> bytes:
    """The file made at least `size` bytes long with comments, which no decoder looks at."""
    comment = b"\xff\xfe\xff\xff" + bytes(0xFFFF - 2)
    return jpeg[:2] + comment * (size // len(comment) + 1) + jpeg[2:]


def undecodable(scene: Scene) -> dict[str, bytes]:
    """Return files that are not valid images, by what is wrong with them."""
    other = Image.new("RGB", (8, 8))
    return {
        "cut": scene.jpeg[: len(scene.jpeg) // 2],
        "nothing but a header": scene.jpeg[:300],
        "bomb": huge_png(20_000),
        "another format": saved(other, "GIF"),
        "an animation": animated("WEBP"),
        "noise": random.Random(scene.number).randbytes(5_000),
        "empty": b"",
    }


def _scene(number: int, dice: random.Random) -> Scene:
    """Make a scene of a part of a real photo, with its own tint."""
    photo = Image.fromarray(getattr(skimage.data, ("coffee", "astronaut", "chelsea")[number % 3])())
    width = dice.randint(240, 400)
    height = width * HEIGHT // WIDTH
    left, top = dice.randint(0, photo.width - width), dice.randint(0, photo.height - height)
    part = np.asarray(photo.crop((left, top, left + width, top + height)).resize((WIDTH, HEIGHT)))
    tint = np.array([dice.uniform(0.6, 1.0) for _ in range(3)])
    file = io.BytesIO()
    Image.fromarray((part * tint).astype(np.uint8)).save(file, "JPEG", quality=85)
    questions = _questions(dice)
    return Scene(
        number, file.getvalue(), questions, {"examples": questions[0]["prompts"], "min_score": 0, "min_similarity": 0}
    )


def _questions(dice: random.Random) -> list[dict[str, Any]]:
    def point() -> list[int]:
        return [dice.randint(40, WIDTH - 40), dice.randint(40, HEIGHT - 40)]

    x0, y0 = dice.randint(10, WIDTH // 2), dice.randint(10, HEIGHT // 2)
    box = [x0, y0, x0 + dice.randint(80, WIDTH // 2 - 10), y0 + dice.randint(60, HEIGHT // 2 - 10)]
    left, top = dice.randint(0, WIDTH // 2), dice.randint(0, HEIGHT // 2)
    region = [left, top, left + dice.randint(120, WIDTH // 2), top + dice.randint(90, HEIGHT // 2)]
    inside = [(region[0] + region[2]) // 2, (region[1] + region[3]) // 2]
    return [
        {"prompts": [{"points": [point()], "labels": [1]}]},
        {"prompts": [{"points": [point(), point()], "labels": [1, 0]}], "multimask": False},
        {"prompts": [{"box": box}, {"points": [point()], "labels": [1]}]},
        {"prompts": [{"points": [inside], "labels": [1]}], "region": region},
    ]
