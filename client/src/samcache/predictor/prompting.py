"""`SamPredictor`'s arguments as prompts of the contract, and the contract's masks as its return values. No I/O."""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samcache.arrays.frame import LOW_RES_SIZE, Size
from samcache.arrays.logits import full_size_logits, logits_of, logits_text
from samcache.arrays.rle import mask_of_rle
from samcache.errors import UnexpectedAnswer
from samcache.predictor.transform import to_original
from samcache.service.flows import Prompt
from samcache.service.resources import Mask

Predicted = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]
"""Masks (K, H, W) bool, or float32 logits; scores (K,) float32; low-res logits (K, 256, 256) float32."""


class KnownLogits:
    """The mask tokens of low-res logits that were returned earlier. Logits are recognised by their content.

    A token in place of the logits is exact, as the service has them in float32, and is less to send.
    """

    def __init__(self, capacity: int = 64) -> None:
        self._tokens: OrderedDict[bytes, str] = OrderedDict()
        self._capacity = capacity

    def remember(self, logits: NDArray[np.float32], token: str) -> None:
        """`token` stands for `logits`, (256, 256) float32, as they were returned."""
        self._tokens[_digest(logits)] = token
        while len(self._tokens) > self._capacity:
            self._tokens.popitem(last=False)

    def token_of(self, logits: NDArray[np.float32]) -> str | None:
        return self._tokens.get(_digest(logits))

    def clear(self) -> None:
        self._tokens.clear()


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
        ValueError: an array has another shape than documented.
    """
    prompt: dict[str, Any] = {}
    if point_coords is not None:
        assert point_labels is not None, "point_labels must be supplied if point_coords is supplied."
        prompt |= _points(_shaped(point_coords, (-1, 2), "point_coords"), np.asarray(point_labels))
    if box is not None:
        prompt["box"] = _shaped(np.asarray(box).reshape(-1), (4,), "box").tolist()
    if mask_input is not None:
        prompt |= _mask(_shaped(mask_input, (1, LOW_RES_SIZE, LOW_RES_SIZE), "mask_input")[0], known)
    return prompt


def batched_prompts(
    point_coords: Any, point_labels: Any, boxes: Any, mask_input: Any, *, original: Size, known: KnownLogits
) -> list[Prompt]:
    """Prompts from the arguments of `SamPredictor.predict_torch`: tensors or arrays, in SAM's input frame.

    Raises:
        AssertionError: there are points without labels.
        ValueError: an array has another shape than documented, or two batches differ in size.
    """
    columns: list[list[dict[str, Any]]] = []
    if point_coords is not None:
        assert point_labels is not None, "point_labels must be supplied if point_coords is supplied."
        points = to_original(_shaped(array_of(point_coords), (-1, -1, 2), "point_coords"), original)
        labels = array_of(point_labels)
        if len(points) != len(labels):
            raise ValueError(f"{len(points)} batches of points with {len(labels)} of labels")
        columns.append([_points(*pair) for pair in zip(points, labels, strict=True)])
    if boxes is not None:
        corners = to_original(_shaped(array_of(boxes), (-1, 4), "boxes").reshape(-1, 2, 2), original)
        columns.append([{"box": box} for box in corners.reshape(-1, 4).tolist()])
    if mask_input is not None:
        masks = _shaped(array_of(mask_input), (-1, 1, LOW_RES_SIZE, LOW_RES_SIZE), "mask_input")
        columns.append([_mask(mask[0], known) for mask in masks])
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"batches of different sizes: {[len(column) for column in columns]}")
    if not columns:
        return [{}]
    return [{name: value for part in parts for name, value in part.items()} for parts in zip(*columns, strict=True)]


def chunks(prompts: Sequence[Prompt], most: int) -> Iterator[Sequence[Prompt]]:
    """`prompts` in parts of at most `most`."""
    for start in range(0, len(prompts), most):
        yield prompts[start : start + most]


def predicted(answer: Sequence[Mask], original: Size, known: KnownLogits, *, full_logits: bool) -> Predicted:
    """What `SamPredictor.predict` returns for one prompt.

    Args:
        answer: the masks of the prompt, with their logits. They are RLEs, unless `full_logits`.
        full_logits: return full-size logits in place of masks.

    Raises:
        UnexpectedAnswer: a mask cannot be read, or does not have the size of the image.
    """
    try:
        low_res = np.stack([logits_of(mask.logits or "") for mask in answer])
        full = (
            full_size_logits(low_res, original)
            if full_logits
            else np.stack([mask_of_rle(mask.payload) for mask in answer])
        )
    except (ValueError, TypeError, LookupError) as error:
        raise UnexpectedAnswer(f"a mask cannot be read: {error}") from error
    if full.shape != (len(low_res), *original):
        raise UnexpectedAnswer(f"masks of shape {full.shape} for an image of {original}")
    for one, mask in zip(low_res, answer, strict=True):
        known.remember(one, mask.token)
    return full, np.array([mask.score for mask in answer], np.float32), low_res


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


def _points(coords: NDArray[Any], labels: NDArray[Any]) -> dict[str, Any]:
    if not len(coords):
        return {}
    return {"points": coords.tolist(), "labels": [int(label) for label in labels.reshape(-1)]}


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
