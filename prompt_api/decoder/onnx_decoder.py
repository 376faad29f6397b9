"""The split mask decoder on ONNX Runtime."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.decoder.folding import FIRST_COLUMNS, HEADS, INTERNAL, WIDTH
from prompt_api.decoder.graph_cache import DecoderGraphs
from prompt_api.decoder.image_side import FIRST_FEATURES, PLACES, Feature
from prompt_api.decoder.interface import DecodedMasks, Prompt
from prompt_api.decoder.onnx_session import OnnxSession
from prompt_api.decoder.prompt_tokens import GRID
from shared.geometry import Size
from shared.models import LOW_RES_SIZE

Floats = NDArray[np.float32]

_MULTIMASK, _SINGLE = np.array([1, 4]), np.array([0, 1])
_PADDING_LABEL = np.array([-1], np.float32)
_CORNER_LABELS = np.array([2, 3], np.float32)
_NO_MASK: dict[str, Floats] = {
    "mask_rows": np.zeros((0, PLACES), np.float32),
    "base_mask": np.zeros((0, PLACES), np.float32),
    "second_mask": np.zeros((0, PLACES), np.float32),
    "mask_updates": np.zeros((0, sum(FIRST_COLUMNS)), np.float32),
}


@dataclass(frozen=True, slots=True, eq=False)
class OnnxImage:
    """What the prompt side needs of one image, with P = 4096 places of the embedding.

    Attributes:
        placed: (2, 8, 16, P), the first two of `Feature`.
        plain: (9, 8, 16, P), the others.
        mask_products: (2, 17, P).
        norms: (3, P).
        upscaled: (P, 256).
        visible: rows and columns of the embedding that the image's own logits come from.
        visible_upscaled: (their product, 256), a part of `upscaled` and mostly a view of it.
    """

    placed: Floats
    plain: Floats
    mask_products: Floats
    norms: Floats
    upscaled: Floats
    visible: Size
    visible_upscaled: Floats

    @property
    def nbytes(self) -> int:
        own = 0 if np.shares_memory(self.visible_upscaled, self.upscaled) else self.visible_upscaled.nbytes
        parts = (self.placed, self.plain, self.mask_products, self.norms, self.upscaled)
        return own + sum(part.nbytes for part in parts)

    def features(self) -> dict[str, Floats]:
        """(8, 16, P) each, under their names as inputs of the prompt side."""
        return {feature.name.lower(): part for feature, part in zip(Feature, (*self.placed, *self.plain), strict=True)}


class OnnxDecoder:
    """A `Decoder` for any SAM weights. Sessions are made at their first use, so a process may fork before it.

    Prompts of one request run side by side, each on its own: prompts of different lengths cannot share a batch without
    padding, which changes results, and the working memory (about 40 MB each) stays that of one per core.
    """

    def __init__(self, graphs: DecoderGraphs, *, weights_digest: str, threads: int, cores: int) -> None:
        """Args:
        weights_digest: names the weights the graphs were built from, as embeddings name theirs.
        threads: threads one prompt may use.
        cores: threads that preparing an image, and the prompts of one request side by side, may use.
        """
        self.weights_digest = weights_digest
        self._image_side = OnnxSession(graphs.image_side, cores)
        self._mask_side = OnnxSession(graphs.mask_side, 1)
        self._prompt_side = OnnxSession(graphs.prompt_side, threads)
        self._one_of_many = self._prompt_side if threads == 1 else OnnxSession(graphs.prompt_side, 1)
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="decode")

    def prepare(self, embedding: Floats, resized: Size) -> OnnxImage:
        placed, plain, mask_products, norms, upscaled = self._image_side.run(
            ["placed", "plain", "mask_products", "norms", "upscaled"], {"embedding": np.ascontiguousarray(embedding)}
        )
        rows, columns = visible = _visible(resized)
        grid = np.ascontiguousarray(upscaled.reshape(GRID, GRID, WIDTH)[:rows, :columns])
        # Reshaped here and not in the graph, where it would copy 22 MB.
        placed, plain = (part.reshape(-1, HEADS, INTERNAL // HEADS, PLACES) for part in (placed, plain))
        return OnnxImage(placed, plain, mask_products, norms, upscaled, visible, grid.reshape(-1, WIDTH))

    def decode(
        self, image: OnnxImage, prompts: Sequence[Prompt], *, multimask: bool, padding: bool = True
    ) -> Iterator[DecodedMasks]:
        if len(prompts) == 1:
            return iter([self._decode(self._prompt_side, image, prompts[0], multimask, padding)])

        def one_of_many(prompt: Prompt) -> DecodedMasks:
            return self._decode(self._one_of_many, image, prompt, multimask, padding)

        return self._pool.map(one_of_many, prompts)

    def _decode(
        self, session: OnnxSession, image: OnnxImage, prompt: Prompt, multimask: bool, padding: bool
    ) -> DecodedMasks:
        points, labels = sparse_prompt(prompt)
        area, upscaled = ((GRID, GRID), image.upscaled) if padding else (image.visible, image.visible_upscaled)
        inputs: dict[str, NDArray[Any]] = {
            **image.features(),
            "points": points,
            "labels": labels,
            "norms": image.norms,
            "area": np.array(area),
            "upscaled": upscaled,
            "wanted": _MULTIMASK if multimask else _SINGLE,
        }
        inputs |= _NO_MASK if prompt.mask is None else self._mask_inputs(image, prompt.mask)
        logits, scores = session.run(["logits", "scores"], inputs)
        return DecodedMasks(arranged(logits, area), scores)

    def _mask_inputs(self, image: OnnxImage, mask: Floats) -> dict[str, Floats]:
        names = [feature.name.lower() for feature in FIRST_FEATURES]
        first = {name: part for name, part in image.features().items() if name in names}
        rows, updates, *changed = self._mask_side.run(
            ["mask_rows", "mask_updates", *(f"{name}_with_mask" for name in names)],
            {"mask": np.ascontiguousarray(mask)[None, None], **first},
        )
        base, second = image.mask_products
        inputs = {"mask_rows": rows, "base_mask": base, "second_mask": second, "mask_updates": updates}
        return inputs | dict(zip(names, changed, strict=True))


def sparse_prompt(prompt: Prompt) -> tuple[Floats, Floats]:
    """Points (N, 2) and labels (N,) of all sparse tokens, in the order of `PromptEncoder.forward`.

    Points without a box are followed by a padding point; the corners of a box come last; a mask alone has none.
    """
    points = [np.asarray(prompt.points, np.float32).reshape(-1, 2)]
    labels = [np.asarray(prompt.labels, np.float32)]
    if prompt.box is not None:
        points.append(np.asarray(prompt.box, np.float32).reshape(2, 2))
        labels.append(_CORNER_LABELS)
    elif prompt.points.size:
        points.append(np.zeros((1, 2), np.float32))
        labels.append(_PADDING_LABEL)
    return np.concatenate(points), np.concatenate(labels)


def _visible(resized: Size) -> Size:
    """Rows and columns of the embedding whose upscaling shows in the image, padding left out.

    Bilinear 256 -> 1024 reads, for the last pixel of a side, the low-res sample at (side - 0.5) / 4 - 0.5 and the next.
    """
    height, width = (math.floor(max(side / 4 - 0.625, 0)) + 2 for side in resized)
    return min(GRID, math.ceil(height / 4)), min(GRID, math.ceil(width / 4))


def arranged(logits: Floats, area: Size) -> Floats:
    """Logits as the prompt side gives them, (K, 16 rows * columns), in a frame (K, 256, 256) that is 0 elsewhere.

    Args:
        area: rows and columns of the embedding that were upscaled, from the top left.
    """
    rows, columns = area
    frame = np.zeros((len(logits), LOW_RES_SIZE, LOW_RES_SIZE), np.float32)
    # Axes: mask, row, column, y and x of the first upscaling, y of the second. Its x is not moved: two floats
    # are copied as one double, in a third of the time.
    pairs = logits.view(np.float64).reshape(-1, rows, columns, 2, 2, 2).transpose(0, 1, 3, 5, 2, 4)
    frame.view(np.float64).reshape(-1, GRID, 2, 2, GRID, 2)[:, :rows, :, :, :columns] = pairs
    return frame
