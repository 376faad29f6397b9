"""`SamPredictor`'s arguments as prompts of the contract, and the contract's masks as its return values. No I/O."""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from samcache.arrays.frame import LOW_RES_SIZE, Size
from samcache.arrays.given_mask import mask_prompt
from samcache.arrays.logits import full_size_logits, logits_of, logits_text, placed
from samcache.arrays.rle import mask_of_rle
from samcache.errors import InvalidPrompt, UnexpectedAnswer
from samcache.service.flows import AUTO, Part, Prompt
from samcache.service.resources import Corners, Mask

Predicted = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]
"""Masks (K, H, W) bool, or float32 logits; scores (K,) float32; low-res logits (K, 256, 256) float32."""

ToPixels = Callable[[NDArray[np.float64]], NDArray[np.float64]]

MAX_POINTS = 64
"""Most points of one prompt that the service takes."""

_PADDING, _FIRST_CORNER, _SECOND_CORNER = -1, 2, 3
_LABELS = (1, 0, _PADDING, _FIRST_CORNER, _SECOND_CORNER)


class KnownLogits:
    """The mask tokens of low-res logits that were returned earlier. Logits are recognised by their content.

    A token in place of the logits is exact, as the service has them in float32, and is less to send.
    """

    def __init__(self, capacity: int = 64) -> None:
        self._tokens: OrderedDict[bytes, str] = OrderedDict()
        self._regions: dict[str, Corners | None] = {}
        self._capacity = capacity

    def remember(self, logits: NDArray[np.float32], token: str, region: Corners | None = None) -> None:
        """`token` stands for `logits`, (256, 256) float32, as they were returned. They are of `region`."""
        self._tokens[_digest(logits)] = token
        self._regions[token] = region
        while len(self._tokens) > self._capacity:
            _, oldest = self._tokens.popitem(last=False)
            self._regions.pop(oldest, None)

    def token_of(self, logits: NDArray[np.float32]) -> str | None:
        return self._tokens.get(_digest(logits))

    def part_for(self, prompt: Prompt, asked: Corners | Literal["auto"] | None) -> Part:
        """The part of the image that answers `prompt`. Logits are answered from the part that they are of.

        Args:
            asked: what the caller named.

        Raises:
            InvalidPrompt: the caller named another part than the logits are of.
        """
        token = prompt.get("mask_token")
        if token not in self._regions:
            return asked
        region = self._regions[token]
        if asked not in (AUTO, region):
            of = "the whole image" if region is None else f"the region {list(region)}"
            raise InvalidPrompt(f"these logits are of {of}: give the same region again, or 'auto'")
        return region

    def clear(self) -> None:
        self._tokens.clear()
        self._regions.clear()


def _digest(logits: NDArray[np.float32]) -> bytes:
    return hashlib.sha256(logits.tobytes()).digest()


def single_prompt(
    point_coords: NDArray[Any] | None,
    point_labels: NDArray[Any] | None,
    box: NDArray[Any] | None,
    mask_input: NDArray[Any] | None,
    known: KnownLogits,
) -> Prompt:
    """A prompt from the arguments of `SamPredictor.predict`, which are in pixels of the original.

    Raises:
        AssertionError: there are points without labels. The words are SamPredictor's.
        ValueError: an array has another shape than documented, or labels have no meaning.
        InvalidPrompt: there are more points than the service takes.
    """
    prompt: dict[str, Any] = {}
    if point_coords is not None:
        assert point_labels is not None, "point_labels must be supplied if point_coords is supplied."
        points = _shaped(point_coords, (-1, 2), "point_coords")
        prompt = _points(points, np.asarray(point_labels).reshape(-1), has_box=box is not None)
    if box is not None:
        prompt = _with_box(prompt, _shaped(np.asarray(box).reshape(-1), (4,), "box"))
    if mask_input is not None:
        prompt |= _mask(_shaped(mask_input, (1, LOW_RES_SIZE, LOW_RES_SIZE), "mask_input")[0], known)
    return _affordable(prompt)


def batched_prompts(
    point_coords: Any, point_labels: Any, boxes: Any, mask_input: Any, *, to_pixels: ToPixels, known: KnownLogits
) -> list[Prompt]:
    """Prompts from the arguments of `SamPredictor.predict_torch`: tensors or arrays, and B prompts in each.

    `to_pixels` brings points (..., 2) to pixels of the original.

    A batch whose prompts have different numbers of points is padded with the label -1, as for the original, or is a
    list of arrays (N, 2) and (N,), which the original does not take.

    Raises:
        AssertionError: there are points without labels.
        ValueError: an array has another shape than documented, labels have no meaning, or two batches differ in size.
        InvalidPrompt: a prompt has more points than the service takes.
    """
    rows: list[Any] = []
    labels: list[Any] = []
    if point_coords is not None:
        assert point_labels is not None, "point_labels must be supplied if point_coords is supplied."
        rows, labels = [*point_coords], [*point_labels]
        if len(rows) != len(labels):
            raise ValueError(f"{len(rows)} batches of points with {len(labels)} of labels")
    corners = None if boxes is None else _shaped(array_of(boxes), (-1, 4), "boxes").reshape(-1, 2, 2)
    masks = None
    if mask_input is not None:
        masks = _shaped(array_of(mask_input), (-1, 1, LOW_RES_SIZE, LOW_RES_SIZE), "mask_input")
    sizes = [len(part) for part in (None if point_coords is None else rows, corners, masks) if part is not None]
    if len({*sizes}) > 1:
        raise ValueError(f"batches of different sizes: {sizes}")
    prompts: list[Prompt] = []
    for number in range(sizes[0] if sizes else 1):
        prompt: dict[str, Any] = {}
        if rows:
            points = to_pixels(_shaped(array_of(rows[number]), (-1, 2), "a prompt of point_coords"))
            prompt = _points(points, array_of(labels[number]).reshape(-1), has_box=corners is not None)
        if corners is not None:
            prompt = _with_box(prompt, to_pixels(corners[number]).reshape(4))
        if masks is not None:
            prompt |= _mask(masks[number][0], known)
        prompts.append(_affordable(prompt))
    return prompts


def given_mask(mask: NDArray[Any] | None, original: Size) -> dict[str, Any]:
    """The member `mask` of a prompt; nothing without a mask.

    Args:
        original: (height, width) of the image.

    Raises:
        ValueError: the mask has another size.
    """
    if mask is None:
        return {}
    if np.shape(mask) != original:
        raise ValueError(f"mask has shape {np.shape(mask)}; expected that of the image, {original}")
    return {"mask": mask_prompt(mask)}


def chunks(prompts: Sequence[Prompt], most: int) -> Iterator[Sequence[Prompt]]:
    """`prompts` in parts of at most `most`."""
    for start in range(0, len(prompts), most):
        yield prompts[start : start + most]


def predicted(
    answer: Sequence[Mask],
    original: Size,
    known: KnownLogits,
    *,
    full_logits: bool,
    region: Corners | None = None,
) -> Predicted:
    """What `SamPredictor.predict` returns for one prompt.

    Args:
        answer: the masks of the prompt, with their logits. They are RLEs, unless `full_logits`.
        full_logits: return full-size logits in place of masks.
        region: the part of the image that answered, of which the low-res logits are; None for the whole image.

    Raises:
        UnexpectedAnswer: a mask cannot be read, or does not have the size of the image.
    """
    try:
        low_res = np.stack([logits_of(mask.logits or "") for mask in answer])
        full = (
            _full_logits(low_res, original, region)
            if full_logits
            else np.stack([mask_of_rle(mask.payload) for mask in answer])
        )
    except (ValueError, TypeError, LookupError) as error:
        raise UnexpectedAnswer(f"a mask cannot be read: {error}") from error
    if full.shape != (len(low_res), *original):
        raise UnexpectedAnswer(f"masks of shape {full.shape} for an image of {original}")
    for one, mask in zip(low_res, answer, strict=True):
        known.remember(one, mask.token, region)
    return full, np.array([mask.score for mask in answer], np.float32), low_res


def _full_logits(low_res: NDArray[np.float32], original: Size, region: Corners | None) -> NDArray[np.float32]:
    if region is None:
        return full_size_logits(low_res, original)
    x0, y0, x1, y1 = region
    return placed(full_size_logits(low_res, (y1 - y0, x1 - x0)), region, original)


def stacked(answers: Sequence[Predicted]) -> Predicted:
    """The answers to a batch of B prompts as one: each array gets a leading axis B."""
    masks, scores, low_res = (np.stack(part) for part in zip(*answers, strict=True))
    return masks, scores, low_res


def array_of(value: Any) -> NDArray[Any]:
    """A numpy array from an array, or from a torch tensor on any device."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def like_the_arguments(arrays: Predicted, *arguments: Any) -> tuple[Any, ...]:
    """`arrays` as torch tensors on the device of the first argument that is a tensor. If none is, they stay arrays."""
    for argument in arguments:
        if hasattr(argument, "detach"):
            # The client never imports torch. It is imported already, as there is a tensor.
            torch = sys.modules["torch"]
            return tuple(torch.from_numpy(array).to(argument.device) for array in arrays)
    return arrays


def _points(coords: NDArray[Any], labels: NDArray[Any], *, has_box: bool) -> dict[str, Any]:
    """The members of a prompt for points (N, 2) with labels (N,).

    The labels 2 and 3 are the corners of a box. SamPredictor itself gives them no meaning; segment_anything's ONNX
    export does.
    """
    if not len(coords):
        return {}
    if len(coords) != len(labels):
        raise ValueError(f"{len(coords)} points with {len(labels)} labels")
    kinds = [int(label) for label in labels]
    corners = [kinds.count(_FIRST_CORNER), kinds.count(_SECOND_CORNER)]
    if any(kind not in _LABELS for kind in kinds) or (corners != [0, 0] and (corners != [1, 1] or has_box)):
        raise ValueError(
            "labels are 1 (foreground), 0 (background) and -1 (padding), or one 2 and one 3 for the corners of a box; "
            f"these are {kinds}"
        )
    # The place of padding means nothing, so it may be anything, and not even a number.
    points = np.where(labels[:, None] == _PADDING, 0.0, coords)
    return {"points": points.tolist(), "labels": kinds}


def _with_box(prompt: dict[str, Any], box: NDArray[np.float64]) -> dict[str, Any]:
    """`prompt` with a box. SamPredictor takes corners in any order, and order matters to SAM."""
    x0, y0, x1, y1 = box.tolist()
    if x0 < x1 and y0 < y1:
        return {**prompt, "box": [x0, y0, x1, y1]}
    points, labels = prompt.get("points", []), prompt.get("labels", [])
    return {
        **prompt,
        "points": [*points, [x0, y0], [x1, y1]],
        "labels": [*labels, _FIRST_CORNER, _SECOND_CORNER],
    }


def _affordable(prompt: Prompt) -> Prompt:
    count = len(prompt.get("points", []))
    if count > MAX_POINTS:
        raise InvalidPrompt(
            f"a prompt has {count} points, padding and corners included; the service takes at most {MAX_POINTS}, "
            "and one prompt cannot be split"
        )
    return prompt


def _mask(logits: NDArray[Any], known: KnownLogits) -> dict[str, Any]:
    exact = np.asarray(logits, np.float32)
    token = known.token_of(exact)
    return {"mask_logits": logits_text(exact)} if token is None else {"mask_token": token}


def _shaped(array: NDArray[Any], shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    """`array` as float64. Its shape must be `shape`, in which -1 stands for any number."""
    found = np.asarray(array, np.float64)
    if found.ndim != len(shape) or any(want not in (-1, got) for want, got in zip(shape, found.shape, strict=True)):
        raise ValueError(f"{name} has shape {found.shape}; expected {shape}, -1 being any number")
    return found
