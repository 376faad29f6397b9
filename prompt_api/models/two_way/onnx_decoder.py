"""The split mask decoder on ONNX Runtime."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import DecodedMasks, Prompt
from prompt_api.models.onnx.session import OnnxSession
from prompt_api.models.sam1.boundary import mask_runs
from prompt_api.models.sam1.folding import FIRST_COLUMNS
from prompt_api.models.sam1.graph_cache import DecoderGraphs
from prompt_api.models.sam1.image_side import FIRST_FEATURES, PLACES
from prompt_api.models.sam1.onnx_image import ImageSide, OnnxImage, image_side_of
from prompt_api.models.sam1.prompt_tokens import GRID
from shared.contract.geometry import Size
from shared.contract.models import EMBEDDING, SAM1

Floats = NDArray[np.float32]

_FEW_POINTS = 4
"""The most sparse tokens of a first prompt that is decoded from the embedding."""

_ANSWER_TIME = 0.05
"""Seconds in which a first answer's masks are encoded and sent, before the image side takes the processor."""

_MULTIMASK, _SINGLE = np.array([1, 4]), np.array([0, 1])
_PADDING_LABEL = np.array([-1], np.float32)
_CORNER_LABELS = np.array([2, 3], np.float32)
_NO_MASK: dict[str, Floats] = {
    "mask_rows": np.zeros((0, PLACES), np.float32),
    "base_mask": np.zeros((0, PLACES), np.float32),
    "second_mask": np.zeros((0, PLACES), np.float32),
    "mask_updates": np.zeros((0, sum(FIRST_COLUMNS)), np.float32),
}


class OnnxDecoder:
    """A `Decoder` for any SAM weights. Sessions are made at their first use, so a process may fork before that.

    Preparing an image costs twice as much as a prompt. So the first prompt on an image is decoded from the embedding
    itself, which costs less. The image side is computed after its answer is sent, or when the next prompt needs it.

    Prompts of one request run in parallel, one prompt per run. Prompts of different lengths could share a batch only
    with padding, which changes results. The working memory (about 40 MB per prompt) stays that of one prompt per core.
    """

    def __init__(self, graphs: DecoderGraphs, *, weights_digest: str, threads: int, cores: int) -> None:
        """Args:
        weights_digest: digest of the weights that the graphs were built from. Embeddings carry the digest of theirs.
        threads: how many threads one prompt may use.
        cores: how many threads may be used by the first prompt on an image, by preparing an image, and by all prompts
            of one request together.
        """
        self.weights_digest = weights_digest
        self._image_side = OnnxSession(graphs.image_side, cores)
        self._mask_side = OnnxSession(graphs.mask_side, 1)
        self._first_prompt = OnnxSession(graphs.first_prompt, cores)
        self._prompt_side = OnnxSession(graphs.prompt_side, threads)
        self._one_of_many = self._prompt_side if threads == 1 else OnnxSession(graphs.prompt_side, 1)
        self._ahead = cores
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="decode")
        self._preparing = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._may_prepare = BoundedSemaphore(1)

    def prepare(self, tensors: Mapping[str, Floats], original: Size) -> OnnxImage:
        return OnnxImage(np.ascontiguousarray(tensors[EMBEDDING]), SAM1.frame.inside(original), self._compute)

    def mask_runs(self, logits: Floats, original: Size) -> ColumnRuns:
        return mask_runs(logits, original)

    def decode(
        self, image: OnnxImage, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        if len(prompts) == 1:
            (prompt,) = prompts
            if _is_small(prompt) and (embedding := image.first_embedding()) is not None:
                masks = self._decode_first(embedding, image.visible, prompt, multimask, padding)
                self._prepare_soon(image)
                return iter([masks])
            return iter([self._decode(self._prompt_side, image, prompt, multimask, padding)])

        def one_of_many(prompt: Prompt) -> DecodedMasks:
            return self._decode(self._one_of_many, image, prompt, multimask, padding)

        return self._in_order(one_of_many, prompts)

    def _in_order(self, decode: Callable[[Prompt], DecodedMasks], prompts: Sequence[Prompt]) -> Iterator[DecodedMasks]:
        """Yield the masks of each prompt. At most one prompt for each core is decoded ahead."""
        ahead: deque[Future[DecodedMasks]] = deque()
        try:
            for prompt in prompts:
                ahead.append(self._pool.submit(decode, prompt))
                if len(ahead) > self._ahead:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def _compute(self, embedding: Floats, visible: Size) -> ImageSide:
        outputs = self._image_side.run(
            ["placed", "plain", "mask_products", "norms", "upscaled"], {"embedding": embedding}
        )
        return image_side_of(outputs, visible)

    def _prepare_soon(self, image: OnnxImage) -> None:
        """Compute the image side in the background, unless another image is being prepared.

        In that case, the next prompt on this image computes it.
        """
        if not self._may_prepare.acquire(blocking=False):
            return

        def prepare() -> None:
            try:
                time.sleep(_ANSWER_TIME)
                image.side()
            finally:
                self._may_prepare.release()

        self._preparing.submit(prepare)

    def _decode_first(
        self, embedding: Floats, visible: Size, prompt: Prompt, multimask: bool, padding: bool
    ) -> DecodedMasks:
        area = (GRID, GRID) if padding else visible
        inputs = _prompt_inputs(prompt, multimask, area) | _NO_MASK
        return _decoded(self._first_prompt, inputs | {"embedding": embedding}, area)

    def _decode(
        self, session: OnnxSession, image: OnnxImage, prompt: Prompt, multimask: bool, padding: bool
    ) -> DecodedMasks:
        side = image.side()
        area, upscaled = ((GRID, GRID), side.upscaled) if padding else (image.visible, side.visible_upscaled)
        inputs = _prompt_inputs(prompt, multimask, area) | side.features()
        inputs |= {"norms": side.norms, "upscaled": upscaled}
        inputs |= _NO_MASK if prompt.mask is None else self._mask_inputs(side, prompt.mask)
        return _decoded(session, inputs, area)

    def _mask_inputs(self, side: ImageSide, mask: Floats) -> dict[str, Floats]:
        names = [feature.name.lower() for feature in FIRST_FEATURES]
        first = {name: part for name, part in side.features().items() if name in names}
        rows, updates, *changed = self._mask_side.run(
            ["mask_rows", "mask_updates", *(f"{name}_with_mask" for name in names)],
            {"mask": np.ascontiguousarray(mask)[None, None], **first},
        )
        base, second = side.mask_products
        inputs = {"mask_rows": rows, "base_mask": base, "second_mask": second, "mask_updates": updates}
        return inputs | dict(zip(names, changed, strict=True))


def _is_small(prompt: Prompt) -> bool:
    """Return True if `prompt` has few tokens and no mask, so that decoding it from the embedding costs less."""
    return prompt.mask is None and len(sparse_prompt(prompt)[0]) <= _FEW_POINTS


def _prompt_inputs(prompt: Prompt, multimask: bool, area: Size) -> dict[str, NDArray[Any]]:
    points, labels = sparse_prompt(prompt)
    wanted = _MULTIMASK if multimask else _SINGLE
    return {"points": points, "labels": labels, "area": np.array(area), "wanted": wanted}


def _decoded(session: OnnxSession, inputs: Mapping[str, NDArray[Any]], area: Size) -> DecodedMasks:
    logits, scores = session.run(["logits", "scores"], inputs)
    return DecodedMasks(arranged(logits, area), scores)


def sparse_prompt(prompt: Prompt) -> tuple[Floats, Floats]:
    """Return points (N, 2) and labels (N,) of all sparse tokens, in the order of `PromptEncoder.forward`.

    Points without a box are followed by a padding point. A box may also be among the points, with labels 2 and 3. The
    corners of a box come last. A mask alone gives N = 0.
    """
    points = [np.asarray(prompt.points, np.float32).reshape(-1, 2)]
    labels = [np.asarray(prompt.labels, np.float32)]
    if prompt.box is not None:
        points.append(np.asarray(prompt.box, np.float32).reshape(2, 2))
        labels.append(_CORNER_LABELS)
    elif prompt.points.size and not (prompt.labels > 1).any():
        points.append(np.zeros((1, 2), np.float32))
        labels.append(_PADDING_LABEL)
    return np.concatenate(points), np.concatenate(labels)


def arranged(logits: Floats, area: Size) -> Floats:
    """Put logits from the prompt side, (K, 16 rows * columns), into a frame (K, 256, 256) that is 0 elsewhere.

    Args:
        area: rows and columns of the embedding that were upscaled, from the top left.
    """
    rows, columns = area
    frame = np.zeros((len(logits), SAM1.low_res_side, SAM1.low_res_side), np.float32)
    # The axes are mask, row, column, y and x of the first upscaling, y of the second. The x of the second stays in
    # place: its two floats are copied as one double, which takes a third of the time.
    pairs = logits.view(np.float64).reshape(-1, rows, columns, 2, 2, 2).transpose(0, 1, 3, 5, 2, 4)
    frame.view(np.float64).reshape(-1, GRID, 2, 2, GRID, 2)[:, :rows, :, :, :columns] = pairs
    return frame
