"""The split decoder compared with the unsplit one, for SAM and for SAM 2.

Random weights show that it is exact for any weights, not just for one model's.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from pathlib import Path
from threading import Barrier, Event
from typing import cast

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from prompt_api.models.interface import Prompt
from prompt_api.models.sam1.decoder import Sam1Decoder, sparse_prompt
from prompt_api.models.sam2.decoder import Sam2Decoder
from prompt_api.models.two_way.graph_cache import DecoderGraphs, cached_graphs
from prompt_api.models.two_way.onnx_decoder import OnnxDecoder
from prompt_api.models.two_way.onnx_image import ImageSide, OnnxImage, Tensors
from tests.support.onnx import session as session_of
from tests.unit.decoder_material import random_tensors, random_weights

Floats = NDArray[np.float32]

SQUARE = (1024, 1024)
LANDSCAPE = (683, 1024)
PORTRAIT = (1024, 500)


@pytest.fixture(scope="module", params=[Sam1Decoder, Sam2Decoder], ids=["sam1", "sam2"])
def kind(request: pytest.FixtureRequest) -> type[OnnxDecoder]:
    return cast(type[OnnxDecoder], request.param)


@pytest.fixture(scope="module")
def graphs(kind: type[OnnxDecoder], tmp_path_factory: pytest.TempPathFactory) -> DecoderGraphs:
    weights = partial(random_weights, network=kind.network)
    return cached_graphs(kind.network, weights, "a" * 64, tmp_path_factory.mktemp("decoders"))


@pytest.fixture(scope="module")
def decoder(kind: type[OnnxDecoder], graphs: DecoderGraphs) -> OnnxDecoder:
    return kind(graphs, weights_digest="a" * 64, threads=1, cores=1)


@pytest.fixture(scope="module")
def image(decoder: OnnxDecoder) -> OnnxImage:
    return prepared(decoder, SQUARE)


def prepared(decoder: OnnxDecoder, resized: tuple[int, int]) -> OnnxImage:
    """Return a prepared image whose image side is computed."""
    image = decoder.prepare(random_tensors(decoder.network), resized)
    image.side()
    return image


def unsplit(decoder: OnnxDecoder, graphs: DecoderGraphs, prompts: list[Prompt]) -> tuple[Floats, Floats]:
    """Return (B, 4, 256, 256) and (B, 4). The prompts have equally many points, and all or none have a mask."""
    session = session_of(graphs.unsplit)
    points, labels = zip(*(decoder.sparse_prompt(prompt) for prompt in prompts), strict=True)
    masks = [prompt.mask for prompt in prompts if prompt.mask is not None]
    tensors = random_tensors(decoder.network)
    inputs = {
        "image_embeddings": tensors.pop("embedding"),
        **tensors,
        "point_coords": np.stack(points),
        "point_labels": np.stack(labels),
        "mask_input": np.stack(masks)[:, None] if masks else np.zeros((1, 1, 256, 256), np.float32),
        "has_mask_input": np.array([bool(masks)], np.float32),
    }
    logits, scores = session.run(["low_res_masks", "iou_predictions"], inputs)
    return logits, scores


def some_prompt(seed: int, points: int, *, box: bool = False, mask: bool = False) -> Prompt:
    rng = np.random.default_rng(seed)
    return Prompt(
        points=rng.uniform(0, 1024, (points, 2)).astype(np.float32),
        labels=rng.integers(0, 2, points),
        box=np.array([100, 150, 700, 600], np.float32) if box else None,
        mask=rng.normal(0, 5, (256, 256)).astype(np.float32) if mask else None,
    )


KINDS = [
    some_prompt(1, 1),
    some_prompt(2, 5),
    some_prompt(3, 0, box=True),
    some_prompt(4, 2, box=True),
    some_prompt(5, 0, mask=True),
    some_prompt(6, 3, mask=True),
    some_prompt(7, 1, box=True, mask=True),
]


@pytest.mark.parametrize("prompt", KINDS, ids=["point", "points", "box", "mix", "mask", "points+mask", "all"])
def test_the_split_decoder_equals_the_unsplit_one(
    prompt: Prompt, decoder: OnnxDecoder, image: OnnxImage, graphs: DecoderGraphs
) -> None:
    logits, scores = unsplit(decoder, graphs, [prompt])
    for multimask in (True, False):
        (masks,) = decoder.decode(image, [prompt], multimask=multimask)
        wanted = answer_of(decoder, logits[0], scores[0], multimask=multimask)
        np.testing.assert_allclose(masks.logits, logits[0, wanted], atol=2e-5 * np.abs(logits).max())
        np.testing.assert_allclose(masks.scores, scores[0, wanted], atol=1e-4)


def answer_of(decoder: OnnxDecoder, logits: Floats, scores: Floats, *, multimask: bool) -> slice:
    """Return which of the four masks of the unsplit graph are the answer."""
    first, last = decoder.computed(multimask=multimask)
    answered = decoder.answered(logits[first:last].reshape(last - first, -1), scores[first:last], multimask=multimask)
    return slice(first + answered[0], first + answered[1])


def test_the_unsplit_graph_takes_batches(decoder: OnnxDecoder, graphs: DecoderGraphs) -> None:
    for mask in (False, True):
        prompts = [some_prompt(seed, 2, mask=mask) for seed in (1, 2, 3)]
        logits, scores = unsplit(decoder, graphs, prompts)
        for index, prompt in enumerate(prompts):
            one_logits, one_scores = unsplit(decoder, graphs, [prompt])
            np.testing.assert_allclose(logits[index], one_logits[0], atol=1e-5 * np.abs(logits).max())
            np.testing.assert_allclose(scores[index], one_scores[0], atol=1e-5)


def test_the_unsplit_graph_uses_standard_operators_only(graphs: DecoderGraphs) -> None:
    model = onnx.load(str(graphs.unsplit))
    assert {node.domain for node in model.graph.node} == {""}
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]


@pytest.mark.parametrize("cores", [1, 2])
def test_a_batch_equals_its_prompts_one_by_one(
    cores: int, kind: type[OnnxDecoder], graphs: DecoderGraphs, image: OnnxImage
) -> None:
    decoder = kind(graphs, weights_digest="a" * 64, threads=1, cores=cores)
    together = decoder.decode(image, KINDS, multimask=True)
    for prompt, masks in zip(KINDS, together, strict=True):
        (alone,) = decoder.decode(image, [prompt], multimask=True)
        np.testing.assert_allclose(masks.logits, alone.logits, atol=1e-5 * np.abs(alone.logits).max())
        np.testing.assert_allclose(masks.scores, alone.scores, atol=1e-5)


FIRST_KINDS = [
    prompt for prompt in KINDS if prompt.mask is None and len(prompt.points) + (2 if prompt.box is not None else 0) <= 3
]


@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("resized", [SQUARE, LANDSCAPE, PORTRAIT])
def test_the_first_prompt_on_an_image_is_answered_like_any_other(
    resized: tuple[int, int], padding: bool, decoder: OnnxDecoder
) -> None:
    later = prepared(decoder, resized)
    later.first_tensors()
    for prompt in FIRST_KINDS:
        new = decoder.prepare(random_tensors(decoder.network), resized)
        for multimask in (True, False):
            (first,) = decoder.decode(new, [prompt], multimask=multimask, padding=padding)
            (again,) = decoder.decode(later, [prompt], multimask=multimask, padding=padding)
            np.testing.assert_allclose(first.logits, again.logits, atol=2e-5 * np.abs(again.logits).max())
            np.testing.assert_allclose(first.scores, again.scores, atol=1e-4)


def test_the_image_side_follows_the_first_answer_by_itself(decoder: OnnxDecoder) -> None:
    computed = Event()

    def compute(_tensors: Tensors, _visible: tuple[int, int]) -> ImageSide:
        computed.set()
        return prepared(decoder, SQUARE).side()

    image = OnnxImage(decoder.network, random_tensors(decoder.network), SQUARE, compute)
    (_,) = decoder.decode(image, FIRST_KINDS[:1], multimask=True)
    assert computed.wait(60)


@pytest.mark.parametrize("prompts", [KINDS[:1] * 2, KINDS[4:5], [some_prompt(9, 20)]], ids=["batch", "mask", "many"])
def test_what_has_no_gain_from_the_embedding_computes_the_image_side_at_once(
    prompts: list[Prompt], decoder: OnnxDecoder
) -> None:
    sides: list[ImageSide] = []

    def compute(_tensors: Tensors, _visible: tuple[int, int]) -> ImageSide:
        sides.append(prepared(decoder, SQUARE).side())
        return sides[-1]

    image = OnnxImage(decoder.network, random_tensors(decoder.network), SQUARE, compute)
    for _ in decoder.decode(image, prompts, multimask=True):
        assert len(sides) == 1


def test_threads_that_need_an_image_side_compute_it_once(decoder: OnnxDecoder) -> None:
    together, computed = Barrier(4), []

    def compute(_tensors: Tensors, _visible: tuple[int, int]) -> ImageSide:
        computed.append(1)
        return prepared(decoder, SQUARE).side()

    def ask(image: OnnxImage) -> ImageSide:
        together.wait(60)
        return image.side()

    image = OnnxImage(decoder.network, random_tensors(decoder.network), SQUARE, compute)
    with ThreadPoolExecutor(4) as pool:
        sides = list(pool.map(ask, [image] * 4))
    assert len(computed) == 1
    assert all(side is sides[0] for side in sides)


@pytest.mark.parametrize("resized", [SQUARE, LANDSCAPE, PORTRAIT, (1, 1024), (1024, 1), (688, 1024)])
def test_leaving_out_the_padding_changes_no_logit_that_the_image_shows(
    resized: tuple[int, int], decoder: OnnxDecoder
) -> None:
    image = prepared(decoder, resized)
    for prompt in KINDS[:6:5]:
        (whole,) = decoder.decode(image, [prompt], multimask=True)
        (part,) = decoder.decode(image, [prompt], multimask=True, padding=False)
        rows, columns = (shown(side) for side in resized)
        expected = whole.logits[:, :rows, :columns]
        np.testing.assert_allclose(part.logits[:, :rows, :columns], expected, atol=1e-5 * np.abs(expected).max())
        np.testing.assert_array_equal(part.scores, whole.scores)
        assert part.logits.shape == (3, 256, 256)


def shown(side: int) -> int:
    """Return how many low-res samples a bilinear resize 256 -> 1024 reads for the first `side` pixels."""
    first = np.maximum((np.arange(side) + 0.5) / 4 - 0.5, 0).astype(int)
    return int(np.minimum(first + 1, 255).max()) + 1


@pytest.mark.parametrize("resized", [SQUARE, LANDSCAPE, PORTRAIT])
def test_an_image_holds_what_it_says(resized: tuple[int, int], decoder: OnnxDecoder) -> None:
    image = prepared(decoder, resized)
    side = image.side()
    parts = [side.placed, side.plain, side.mask_products, side.norms, side.upscaled, *side.details.values()]
    if not np.shares_memory(side.visible_upscaled, side.upscaled):
        parts.append(side.visible_upscaled)
    assert image.nbytes == sum(part.nbytes for part in parts)


def test_preparing_and_decoding_change_no_input(decoder: OnnxDecoder) -> None:
    tensors, prompt = random_tensors(decoder.network), some_prompt(8, 2, mask=True)
    assert prompt.mask is not None
    given = (*tensors.values(), prompt.mask, prompt.points)
    before = [array.copy() for array in given]
    image = decoder.prepare(tensors, SQUARE)
    features = image.side().plain.copy()
    decoder.decode(image, [prompt], multimask=False)
    for was, now in zip((*before, features), (*given, image.side().plain), strict=True):
        np.testing.assert_array_equal(was, now)


def test_threads_share_one_decoder(decoder: OnnxDecoder, image: OnnxImage) -> None:
    def decode(prompt: Prompt) -> Floats:
        (masks,) = decoder.decode(image, [prompt], multimask=True)
        return masks.logits

    image.first_tensors()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(decode, KINDS))
    for prompt, logits in zip(KINDS, together, strict=True):
        np.testing.assert_array_equal(logits, decode(prompt))


def test_no_session_is_made_before_the_first_use(kind: type[OnnxDecoder]) -> None:
    nowhere = Path("nowhere.onnx")
    graphs = DecoderGraphs(*[nowhere] * len(fields(DecoderGraphs)))
    decoder = kind(graphs, weights_digest="a" * 64, threads=2, cores=2)
    assert decoder.weights_digest == "a" * 64


def test_a_prompt_of_points_ends_with_a_padding_point() -> None:
    points, labels = sparse_prompt(some_prompt(1, 2))
    assert points.shape == (3, 2)
    assert labels[-1] == -1
    np.testing.assert_array_equal(points[-1], [0, 0])


def test_a_prompt_with_a_box_ends_with_its_corners() -> None:
    points, labels = sparse_prompt(some_prompt(1, 2, box=True))
    np.testing.assert_array_equal(points[2:], [[100, 150], [700, 600]])
    np.testing.assert_array_equal(labels[2:], [2, 3])


def test_a_mask_alone_has_no_sparse_token() -> None:
    points, labels = sparse_prompt(some_prompt(1, 0, mask=True))
    assert points.shape == (0, 2)
    assert labels.shape == (0,)
    assert points.dtype == labels.dtype == np.float32
