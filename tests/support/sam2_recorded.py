"""What Meta's `SAM2ImagePredictor` answered to some prompts, once, in a file of the repository.

`tests/parity/record_sam2.py` writes the file. `sam2` is published as source only, so the tests compare with the record
instead of building it. Weights and embeddings are drawn again from their seeds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.contract.geometry import Size
from tests.support.masks_material import coco_decoded, coco_encoded
from tests.support.sam2_material import drawn_mask_prompt

Floats = NDArray[np.float32]

PATH = Path(__file__).parents[1] / "parity" / "sam2_recorded.npz"

SAMPLES = 64
"""Places of each mask's low-res logits that are recorded."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image that only has a size and an embedding.

    Attributes:
        original: (height, width).
        seed: of its embedding, see `drawn_tensors`.
    """

    original: Size
    seed: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt in pixels of the original.

    Attributes:
        image: name of the image.
        fields: `points`, `labels` and `box`, as `SAM2ImagePredictor.predict` takes them, as lists.
        mask: seed of the mask prompt, see `drawn_mask_prompt`; or None.
        refines: True if the mask prompt is the best mask of the answer before.
    """

    image: str
    fields: dict[str, list[Any]]
    multimask: bool
    mask: int | None = None
    refines: bool = False

    def mask_prompt(self) -> Floats | None:
        """The drawn mask prompt, or None."""
        return None if self.mask is None else drawn_mask_prompt(self.mask)


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Attributes:
    masks: (K, H, W) bool.
    scores: (K,).
    samples: (K, `SAMPLES`), the low-res logits at `sampled_places`.
    """

    masks: NDArray[np.bool_]
    scores: Floats
    samples: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """Attributes:
    versions: of the packages that answered.
    weights_seed: of the decoder's weights, see `drawn_weights`.
    """

    versions: dict[str, str]
    weights_seed: int
    images: dict[str, Image]
    cases: list[tuple[Asked, Answered]]


def sampled_places() -> NDArray[np.int64]:
    """Return the places in (256 * 256) low-res logits that are recorded."""
    return np.random.RandomState(0).randint(0, 256 * 256, SAMPLES)


def write(record: Record) -> None:
    """Write the file."""
    about = {
        "versions": record.versions,
        "weights_seed": record.weights_seed,
        "images": {name: [image.original, image.seed] for name, image in record.images.items()},
        "asked": [[one.image, one.fields, one.multimask, one.mask, one.refines] for one, _ in record.cases],
        "counts": [[coco_encoded(mask) for mask in answer.masks] for _, answer in record.cases],
    }
    np.savez_compressed(
        PATH,
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        scores=np.concatenate([answer.scores for _, answer in record.cases]),
        samples=np.concatenate([answer.samples for _, answer in record.cases]),
    )


def read() -> Record:
    """Read the file."""
    with np.load(PATH, allow_pickle=False) as file:
        about = json.loads(file["about"].tobytes())
        scores, samples = file["scores"], file["samples"]
    images = {name: Image((size[0], size[1]), seed) for name, (size, seed) in about["images"].items()}
    cases, start = [], 0
    for fields, counts in zip(about["asked"], about["counts"], strict=True):
        asked, end = Asked(*fields), start + len(counts)
        size = list(images[asked.image].original)
        masks = np.stack([coco_decoded({"size": size, "counts": one}) for one in counts])
        cases.append((asked, Answered(masks, scores[start:end], samples[start:end])))
        start = end
    return Record(about["versions"], about["weights_seed"], images, cases)
