"""Writes `sam2_recorded.npz`: what Meta's `SAM2ImagePredictor` answers to prompts of every kind.

Run it from the repository root, `python -m tests.parity.record_sam2`, where `sam2` is installed. `sam2==1.1.0` is
published as source only:

    SAM2_BUILD_CUDA=0 pip install --no-build-isolation --no-deps sam2==1.1.0
    pip install hydra-core iopath omegaconf tqdm

The image encoder is not asked: the embeddings are drawn, as the weights of the decoder are.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from shared.contract.models import EMBEDDING, HIGH_RES_S0, HIGH_RES_S1
from tests.support.sam2_material import drawn_tensors, drawn_weights
from tests.support.sam2_recorded import Answered, Asked, Image, Record, sampled_places, write

ensure_torchvision_imports()

from sam2.build_sam import build_sam2  # type: ignore[import-not-found]  # noqa: E402  # it cannot be imported earlier
from sam2.sam2_image_predictor import SAM2ImagePredictor  # type: ignore[import-not-found]  # noqa: E402

WEIGHTS_SEED = 3
CONFIGURATION = "configs/sam2.1/sam2.1_hiera_t.yaml"

IMAGES = {
    "photo": Image((1200, 1800), seed=11),
    "portrait": Image((640, 427), seed=12),
    "square": Image((512, 512), seed=13),
    "thumbnail": Image((90, 120), seed=14),
    "strip": Image((37, 700), seed=15),
}
ROUNDS = {"photo": 1, "portrait": 3, "square": 2, "thumbnail": 3, "strip": 3}
"""How often each of the nine kinds of prompts is drawn on each image: 108 prompts."""

REFINEMENTS = 3


def predictor() -> Any:
    """Return `SAM2ImagePredictor` of SAM 2.1 tiny, whose mask decoder has the drawn weights."""
    model = build_sam2(CONFIGURATION, ckpt_path=None, device="cpu")
    weights = {name: torch.from_numpy(array) for name, array in drawn_weights(WEIGHTS_SEED).items()}
    assert not model.load_state_dict(weights, strict=False).unexpected_keys
    return SAM2ImagePredictor(model)


def preset(asked: Any, image: Image) -> None:
    """Give the predictor the embedding of `image`, as `set_image` would."""
    tensors = {name: torch.from_numpy(array) for name, array in drawn_tensors(image.seed).items()}
    high_res = [tensors[HIGH_RES_S0], tensors[HIGH_RES_S1]]
    asked.reset_predictor()
    asked._features = {"image_embed": tensors[EMBEDDING], "high_res_feats": high_res}
    asked._orig_hw = [image.original]
    asked._is_image_set = True


def prompts(name: str, random: np.random.RandomState) -> Iterator[Asked]:
    """Yield the prompts on one image."""
    height, width = IMAGES[name].original

    def points(least: int, most: int) -> dict[str, Any]:
        count = random.randint(least, most + 1)
        places = random.uniform(0, 1, (count, 2)) * (width, height)
        return {"points": places.round(2).tolist(), "labels": [1, *random.randint(0, 2, count - 1).tolist()]}

    def box() -> dict[str, Any]:
        low, high = random.uniform(0, 0.45, 2), random.uniform(0.55, 1, 2)
        return {"box": (np.concatenate([low, high]) * (width, height, width, height)).round(2).tolist()}

    for _ in range(ROUNDS[name]):
        for fields, has_mask in (
            (points(1, 1), False),
            (points(2, 5), False),
            ({**points(3, 3), "labels": [0, 0, 0]}, False),
            (box(), False),
            ({**points(1, 5), **box()}, False),
            ({}, True),
            (points(1, 5), True),
            (box(), True),
            ({**points(1, 3), **box()}, True),
        ):
            mask = int(random.randint(1, 1000)) if has_mask else None
            yield Asked(name, fields, multimask=bool(random.randint(0, 2)), mask=mask)


def answers(name: str, asked: Any, random: np.random.RandomState) -> Iterator[tuple[Asked, Answered]]:
    """Yield the prompts on one image with their answers. At the end, the last answer is refined a few times."""
    preset(asked, IMAGES[name])
    for prompt in prompts(name, random):
        answer, best = answered(asked, prompt, prompt.mask_prompt())
        yield prompt, answer
    for _ in range(REFINEMENTS if name == "portrait" else 0):
        point = {"points": [[200.0, 300.0]], "labels": [1]}
        prompt = Asked(name, point, multimask=False, refines=True)
        answer, best = answered(asked, prompt, best)
        yield prompt, answer


def answered(asked: Any, prompt: Asked, mask: Any) -> tuple[Answered, Any]:
    """Return the predictor's answer, and the low-res logits of its best mask."""
    points, labels, box = (
        np.array(prompt.fields[name]) if name in prompt.fields else None for name in ("points", "labels", "box")
    )
    given = None if mask is None else mask[None]
    masks, scores, logits = asked.predict(points, labels, box, given, multimask_output=prompt.multimask)
    samples = logits.reshape(len(logits), -1)[:, sampled_places()]
    return Answered(masks > 0, scores, samples), logits[int(np.argmax(scores))]


def main() -> None:
    """Ask, and write the record."""
    torch.manual_seed(0)
    asked, random = predictor(), np.random.RandomState(20_261_126)
    cases = [case for name in IMAGES for case in answers(name, asked, random)]
    versions = {package: version(package) for package in ("sam2", "torch", "torchvision", "numpy")}
    write(Record(versions, WEIGHTS_SEED, IMAGES, cases))


if __name__ == "__main__":
    main()
