"""Compares both mask decoders with segment_anything's own `SamPredictor`: real weights and photos, random prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prompt_api.models.interface import Prompt
from prompt_api.models.sam1.decoder import Sam1Decoder, sparse_prompt
from prompt_api.models.two_way.graph_cache import DecoderGraphs
from shared.contract.geometry import Size
from shared.contract.models import SAM1
from tests.parity.conftest import Photo
from tests.support.onnx import session as session_of
from tests.support.reference import Answer, Click, Reference

ROUNDS = 3
"""How often each kind of prompt is drawn on each photo: 3 x 9 kinds x 4 photos are 108 prompts."""

LOGITS_TOLERANCE = 1e-3
SCORES_TOLERANCE = 1e-4
LEAST_IOU = 0.9999
"""The least IoU of masks of 10,000 pixels or more. In a smaller mask, one pixel may differ.

If a logit is within rounding of 0, its sign is chance."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A prompt on a photo, segment_anything's answer, and the prompt as the service's decoder takes it."""

    photo: str
    click: Click
    answer: Answer
    prompt: Prompt


Decode = Callable[[Case], tuple[Floats, Floats]]
Report = Callable[[str, object], None]


@pytest.fixture
def report(record_testsuite_property: Report) -> Report:
    """Return the function that writes the measured differences to the run's XML report."""
    return record_testsuite_property


@pytest.fixture(scope="module")
def reference(decoder_weights: Mapping[str, Floats]) -> Reference:
    return Reference(decoder_weights)


@pytest.fixture(scope="module")
def cases(reference: Reference, photos: Mapping[str, Photo]) -> list[Case]:
    rng = np.random.default_rng(20_240_607)
    return [case for name, photo in photos.items() for case in _cases_on(name, photo, reference, rng)]


@pytest.fixture(scope="module")
def split(graphs: DecoderGraphs, photos: Mapping[str, Photo]) -> Decode:
    decoder = Sam1Decoder(graphs, weights_digest="0" * 64, threads=1, cores=1)
    images = {name: decoder.prepare({"embedding": photo.embedding}, photo.original) for name, photo in photos.items()}

    def decode(case: Case) -> tuple[Floats, Floats]:
        (masks,) = decoder.decode(images[case.photo], [case.prompt], multimask=case.click.multimask)
        return masks.logits, masks.scores

    return decode


@pytest.fixture(scope="module")
def unsplit(graphs: DecoderGraphs, photos: Mapping[str, Photo]) -> Decode:
    session = session_of(graphs.unsplit)

    def decode(case: Case) -> tuple[Floats, Floats]:
        inputs = _stock_inputs(case.prompt, photos[case.photo].embedding)
        logits, scores = session.run(["low_res_masks", "iou_predictions"], inputs)
        wanted = slice(1, 4) if case.click.multimask else slice(0, 1)
        return logits[0, wanted], scores[0, wanted]

    return decode


def test_there_are_more_than_a_hundred_prompts_of_every_kind(cases: list[Case]) -> None:
    assert len(cases) > 100
    assert {case.click.multimask for case in cases} == {True, False}
    assert any(case.click.mask is not None and case.click.points is None for case in cases)


def test_the_split_decoder_equals_segment_anything(
    split: Decode, cases: list[Case], reference: Reference, photos: Mapping[str, Photo], report: Report
) -> None:
    _assert_equal(split, cases, reference, photos, lambda name, value: report(f"split: {name}", value))


def test_the_unsplit_graph_equals_segment_anything(
    unsplit: Decode, cases: list[Case], reference: Reference, photos: Mapping[str, Photo], report: Report
) -> None:
    _assert_equal(unsplit, cases, reference, photos, lambda name, value: report(f"unsplit: {name}", value))


def _assert_equal(
    decode: Decode, cases: list[Case], reference: Reference, photos: Mapping[str, Photo], report: Report
) -> None:
    worst_logits = worst_scores = 0.0
    least_iou = 1.0
    for case in cases:
        logits, scores = decode(case)
        reference.preset(photos[case.photo].embedding, photos[case.photo].original)
        worst_logits = max(worst_logits, float(np.abs(logits - case.answer.logits).max()))
        worst_scores = max(worst_scores, float(np.abs(scores - case.answer.scores).max()))
        least_iou = min(least_iou, _least_iou(reference.masks(logits), case.answer.masks))
    report("logits, largest difference", worst_logits)
    report("scores, largest difference", worst_scores)
    report("mask IoU, least", least_iou)
    assert worst_logits <= LOGITS_TOLERANCE
    assert worst_scores <= SCORES_TOLERANCE
    assert least_iou >= LEAST_IOU


def test_the_unsplit_graph_equals_the_stock_export(
    weights: Path, graphs: DecoderGraphs, cases: list[Case], photos: Mapping[str, Photo]
) -> None:
    """The export returns one mask: the single mask from three sparse tokens on, otherwise the best of three."""
    stock, ours = (session_of(path) for path in (weights / "sam.onnx", graphs.unsplit))
    for case in cases[::9]:
        inputs = _stock_inputs(case.prompt, photos[case.photo].embedding)
        size = np.array(photos[case.photo].original, np.float32)
        expected, expected_score = stock.run(["low_res_masks", "iou_predictions"], {**inputs, "orig_im_size": size})
        logits, scores = ours.run(["low_res_masks", "iou_predictions"], inputs)
        index = 0 if inputs["point_coords"].shape[1] >= 3 else 1 + int(np.argmax(scores[0, 1:]))
        np.testing.assert_allclose(logits[:, index], expected[:, 0], atol=LOGITS_TOLERANCE)
        np.testing.assert_allclose(scores[:, index], expected_score[:, 0], atol=SCORES_TOLERANCE)


@pytest.mark.parametrize("photo", ["astronaut", "coffee", "portrait"])
def test_masks_without_the_padding_are_the_same_masks(
    photo: str, cases: list[Case], reference: Reference, photos: Mapping[str, Photo], graphs: DecoderGraphs
) -> None:
    decoder = Sam1Decoder(graphs, weights_digest="0" * 64, threads=1, cores=1)
    original = photos[photo].original
    image = decoder.prepare({"embedding": photos[photo].embedding}, original)
    reference.preset(photos[photo].embedding, original)
    for case in [case for case in cases if case.photo == photo][::5]:
        (masks,) = decoder.decode(image, [case.prompt], multimask=case.click.multimask, padding=False)
        assert _least_iou(reference.masks(masks.logits), case.answer.masks) >= LEAST_IOU


def test_refining_again_and_again_stays_with_segment_anything(
    split: Decode, reference: Reference, photos: Mapping[str, Photo]
) -> None:
    """Each side refines its own logits, padding included, so differences could add up."""
    photo = photos["coffee"]
    reference.preset(photo.embedding, photo.original)
    points, labels = np.array([[300.0, 200.0]]), np.array([1])
    theirs, ours = None, None
    for step in range(4):
        click = Click(points, labels, mask=theirs, multimask=step == 0)
        answer = reference.predict(click)
        logits, scores = split(Case("coffee", click, answer, _prompt(Click(points, labels, mask=ours), photo.original)))
        np.testing.assert_allclose(logits, answer.logits, atol=LOGITS_TOLERANCE)
        best = int(np.argmax(answer.scores))
        assert best == int(np.argmax(scores))
        theirs, ours = answer.logits[best], logits[best]


def _cases_on(name: str, photo: Photo, reference: Reference, rng: np.random.Generator) -> Iterator[Case]:
    reference.preset(photo.embedding, photo.original)
    height, width = photo.original
    earlier = None
    for click in _clicks(photo.original, rng):
        refined = click
        if click.mask is not None:
            assert earlier is not None
            refined = Click(click.points, click.labels, click.box, earlier, click.multimask)
        answer = reference.predict(refined)
        earlier = answer.logits[int(np.argmax(answer.scores))]
        assert answer.masks.shape[1:] == (height, width)
        yield Case(name, refined, answer, _prompt(refined, photo.original))


def _clicks(original: Size, rng: np.random.Generator) -> Iterator[Click]:
    """Yield one click of each kind per round. A `mask` stands for the logits of the answer before."""
    height, width = original
    earlier = np.zeros((256, 256), np.float32)

    def points(least: int, most: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        count = int(rng.integers(least, most + 1))
        labels = rng.integers(0, 2, count)
        labels[0] = 1
        return rng.uniform(0, 1, (count, 2)) * (width, height), labels

    def box() -> NDArray[np.float64]:
        low, high = rng.uniform(0, 0.45, 2), rng.uniform(0.55, 1, 2)
        return np.concatenate([low, high]) * (width, height, width, height)

    for _ in range(ROUNDS):
        for click in (
            Click(*points(1, 1)),
            Click(*points(2, 5)),
            Click(points(3, 3)[0], np.zeros(3, np.int64)),
            Click(box=box()),
            Click(*points(1, 5), box=box()),
            Click(mask=earlier),
            Click(*points(1, 5), mask=earlier),
            Click(box=box(), mask=earlier),
            Click(*points(1, 3), box=box(), mask=earlier),
        ):
            yield Click(click.points, click.labels, click.box, click.mask, multimask=bool(rng.integers(0, 2)))


def _stock_inputs(prompt: Prompt, embedding: Floats) -> dict[str, Floats]:
    """Return the inputs of the unsplit graph, which segment_anything's own export takes as well."""
    points, labels = sparse_prompt(prompt)
    return {
        "image_embeddings": embedding,
        "point_coords": points[None],
        "point_labels": labels[None],
        "mask_input": np.zeros((1, 1, 256, 256), np.float32) if prompt.mask is None else prompt.mask[None, None],
        "has_mask_input": np.array([prompt.mask is not None], np.float32),
    }


def _prompt(click: Click, original: Size) -> Prompt:
    points = np.zeros((0, 2)) if click.points is None else click.points
    box = None if click.box is None else SAM1.frame.points(click.box.reshape(2, 2), original).reshape(4)
    labels = np.zeros(0, np.int64) if click.labels is None else click.labels
    return Prompt(SAM1.frame.points(points, original), labels, box, click.mask)


def _least_iou(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    """Return the least IoU of the pairs of masks. A pair that differs in one pixel or none counts as 1."""
    ious = [1.0]
    for one, other in zip(ours, theirs, strict=True):
        if int((one ^ other).sum()) > 1:
            ious.append(float((one & other).sum() / (one | other).sum()))
    return min(ious)
