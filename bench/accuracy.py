"""(g), (h): how far our masks differ from the reference's for each stored dtype, and how many bytes each takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
import redis
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco

from bench.clicks import KINDS, SEED, Clicks
from bench.material import Material
from bench.photos import STANDARD, Photo
from bench.record import Bound, Quantity, Row, Section
from bench.sides import Ours, ious, threads
from encoder_worker.backends.load import load_encoder
from prompt_api.masks.encode import encode_masks
from prompt_api.masks.interface import EncodedMask, MaskFormat
from prompt_api.models.sam1.boundary import mask_runs
from prompt_api.models.sam1.weights import read_export
from shared.contract.keys import EmbeddingKey
from shared.contract.models import EMBEDDING, MOBILE_SAM, SAM1, TensorDtype
from shared.tensors.embedding import decode_embedding, encode_embedding
from shared.weights.locate import locate_weights
from tests.support.reference import Answer, Click, Reference

LEAST_IOU: dict[TensorDtype, float] = {"float32": 0.9999, "int16": 0.999, "float16": 0.999, "int8": 0.99}

Floats = NDArray[np.float32]


@dataclass(slots=True)
class _Differences:
    """How our answers with one stored dtype differ from the reference's. `pixels`: most wrong ones in any one mask."""

    ious: list[float] = field(default_factory=list)
    logits: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    pixels: int = 0
    prompts: int = 0
    redis_bytes: int = 0
    prepared_bytes: int = 0

    def add(self, masks: Sequence[NDArray[np.bool_]], logits: Floats, scores: Floats, answer: Answer) -> None:
        """Count one prompt's masks (K, H, W), logits and scores against the reference's answer."""
        self.prompts += 1
        self.ious += ious(masks, list(answer.masks))
        wrong = [int((one != other).sum()) for one, other in zip(masks, answer.masks, strict=True)]
        self.pixels = max(self.pixels, *wrong)
        self.logits.append(float(np.abs(logits - answer.logits).max()))
        self.scores.append(float(np.abs(scores - answer.scores).max()))


def accuracy(material: Material) -> tuple[Section, Section]:
    """Measure (g) and (h) in this process, on the photos at their own sizes."""
    count = material.thread_counts[-1]
    found = {dtype: _Differences() for dtype in LEAST_IOU}
    noise, ours_exactly, theirs_exactly = _Differences(), _Differences(), _Differences()
    exact = Reference(read_export(locate_weights(MOBILE_SAM, material.settings).decoder), double=True)
    client = redis.Redis.from_url(material.service.valkey_url)
    with threads(count), client:
        encoder, ours = load_encoder(MOBILE_SAM, material.settings), Ours(material.settings, threads=count)
        for number, photo in enumerate(map(_bounded, material.photos)):
            embedding = encoder.encode([SAM1.frame.resize(photo.rgb)])[0][EMBEDDING]
            exact.preset(embedding, photo.size)
            answered = list(_reference_answers(material, photo, embedding, SEED + number))
            truths = [exact.predict(click) for click, _ in answered]
            for (click, answer), truth in zip(answered, truths, strict=True):
                noise.add(*_reordered(material, click), answer)
                theirs_exactly.add(list(answer.masks), answer.logits, answer.scores, truth)
            for dtype, differences in found.items():
                key = EmbeddingKey.of(f"{number:064x}", MOBILE_SAM)
                value = encode_embedding(
                    key, {EMBEDDING: embedding}, specs=SAM1.tensors, dtypes={EMBEDDING: dtype}, original=photo.size
                )
                client.set(key.redis_key, value)
                differences.redis_bytes = client.memory_usage(key.redis_key) or 0
                client.delete(key.redis_key)
                stored = decode_embedding(value, key, SAM1.tensors)
                differences.prepared_bytes = ours.preset(stored.tensors[EMBEDDING], photo.size).nbytes
                for (click, answer), truth in zip(answered, truths, strict=True):
                    given = _served(ours, photo, click)
                    differences.add(*given, answer)
                    if dtype == "float32":
                        ours_exactly.add(*given, truth)
    others = {
        "SamPredictor, sums in another order": noise,
        "cache of float32, against float64": ours_exactly,
        "SamPredictor, against float64": theirs_exactly,
    }
    return _masks(found, others), _bytes(found)


def _reference_answers(
    material: Material, photo: Photo, embedding: Floats, seed: int
) -> Iterator[tuple[Click, Answer]]:
    """Random prompts of every kind, each with `SamPredictor`'s answer."""
    predictor, clicks = material.theirs.predictor, Clicks(photo.size, seed)
    predictor.preset(embedding, photo.size)
    earlier = None
    for _ in range(material.plan.mask_rounds):
        for kind in KINDS:
            click = clicks.of_kind(kind, earlier)
            answer = predictor.predict(click)
            earlier = answer.logits[int(np.argmax(answer.scores))]
            yield click, answer


def _reordered(material: Material, click: Click) -> tuple[list[NDArray[np.bool_]], Floats, Floats]:
    """`SamPredictor`'s answer when torch adds in another order. It shows what float32 rounding alone does to a mask."""
    onednn = torch.backends.mkldnn
    onednn.enabled = False  # type: ignore[assignment]  # a bool, which torch's annotations do not know
    try:
        answer = material.theirs.predictor.predict(click)
    finally:
        onednn.enabled = True  # type: ignore[assignment]
    return list(answer.masks), answer.logits, answer.scores


def _served(ours: Ours, photo: Photo, click: Click) -> tuple[list[NDArray[np.bool_]], Floats, Floats]:
    """Masks as the service answers them: a first prompt is decoded without the padding, and masks are sent as RLE."""
    whole = ours.decode(click, padding=True)
    shown = whole if click.mask is not None else ours.decode(click, padding=False)
    masks = [_pixels(mask) for mask in encode_masks(mask_runs, shown.logits, photo.size, MaskFormat.RLE)]
    return masks, whole.logits, whole.scores


def _pixels(mask: EncodedMask) -> NDArray[np.bool_]:
    counts = {"size": mask.payload["size"], "counts": mask.payload["counts"].encode()}
    return np.asarray(np.ascontiguousarray(coco.decode(counts)), dtype=bool)


def _masks(found: dict[TensorDtype, _Differences], others: dict[str, _Differences]) -> Section:
    rows = [
        Row(f"cache of {dtype}", _numbers(differences, LEAST_IOU[dtype]), Bound("least IoU", least=LEAST_IOU[dtype]))
        for dtype, differences in found.items()
    ]
    rows += [Row(name, _numbers(differences, LEAST_IOU["float32"])) for name, differences in others.items()]
    every = found["float32"]
    note = (
        f"{every.prompts} random prompts (points, boxes, refined masks and mixes), {len(every.ious)} masks, each pixel "
        "compared with SamPredictor's on the float32 embedding. What rounding does: torch without oneDNN; and both "
        "sides against segment_anything computed in float64."
    )
    return Section("g", "The masks, against SamPredictor's", rows, note)


def _numbers(differences: _Differences, bound: float) -> dict[str, Quantity]:
    below = float(np.mean([iou < bound for iou in differences.ious]))
    return {
        "least IoU": Quantity(min(differences.ious), ""),
        "mean IoU": Quantity(float(np.mean(differences.ious)), ""),
        "masks below": Quantity(100 * below, "%"),
        "most wrong in a mask": Quantity(differences.pixels, "pixels"),
        "logits, most": Quantity(max(differences.logits), ""),
        "scores, most": Quantity(max(differences.scores), ""),
    }


def _bytes(found: dict[TensorDtype, _Differences]) -> Section:
    rows = [
        Row(
            dtype,
            {
                "in Redis": Quantity(differences.redis_bytes / 2**20, "MiB"),
                "in an API process": Quantity(differences.prepared_bytes / 2**20, "MiB"),
                "least IoU": Quantity(min(differences.ious), ""),
                "mean IoU": Quantity(float(np.mean(differences.ious)), ""),
            },
        )
        for dtype, differences in found.items()
    ]
    assert set(LEAST_IOU) == set(get_args(TensorDtype))
    note = "In Redis: MEMORY USAGE of the key. In an API process: the prepared image, whatever was stored."
    return Section("h", "Bytes per cached image", rows, note)


def _bounded(photo: Photo) -> Photo:
    """The photo, made no larger than the standard size, because every pixel of its masks is compared."""
    height, width = photo.size
    return photo if height * width <= STANDARD[0] * STANDARD[1] else photo.resized(STANDARD)
