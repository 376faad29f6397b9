"""Compares SAM 2's mask decoders with the recorded answers of Meta's `SAM2ImagePredictor`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from prompt_api.models.interface import DecodedMasks, Prompt
from prompt_api.models.sam2.boundary import mask_runs
from prompt_api.models.sam2.decoder import Sam2Decoder
from prompt_api.models.sam2.network import NETWORK
from prompt_api.models.sam2.weights import from_checkpoint
from prompt_api.models.two_way.graph_cache import DecoderGraphs, cached_graphs
from prompt_api.service.prompts import ImagePrompt, to_decoder_frame
from shared.contract.models import SAM2
from tests.support.masks_material import logits_of_sam2, painted
from tests.support.onnx import session as session_of
from tests.support.sam2_material import drawn_tensors, drawn_weights
from tests.support.sam2_recorded import Answered, Asked, Record, read, sampled_places

SCORES_TOLERANCE = 1e-4
LOGITS_TOLERANCE = 1e-3
LEAST_IOU = 0.9999

Floats = NDArray[np.float32]
Decode = Callable[[str, Prompt, bool], DecodedMasks]
"""Answers a prompt on the image of a name, with or without multimask."""


@pytest.fixture(scope="module")
def record() -> Record:
    return read()


@pytest.fixture(scope="module")
def graphs(record: Record, tmp_path_factory: pytest.TempPathFactory) -> DecoderGraphs:
    weights = drawn_weights(record.weights_seed)
    return cached_graphs(NETWORK, partial(from_checkpoint, weights), "0" * 64, tmp_path_factory.mktemp("decoders"))


@pytest.fixture(scope="module")
def decoder(graphs: DecoderGraphs) -> Sam2Decoder:
    return Sam2Decoder(graphs, weights_digest="0" * 64, threads=1, cores=1)


@pytest.fixture(scope="module")
def split(decoder: Sam2Decoder, record: Record) -> Decode:
    images = {name: decoder.prepare(drawn_tensors(image.seed), image.original) for name, image in record.images.items()}

    def decode(name: str, prompt: Prompt, multimask: bool) -> DecodedMasks:
        (masks,) = decoder.decode(images[name], [prompt], multimask=multimask)
        return masks

    return decode


@pytest.fixture(scope="module")
def unsplit(decoder: Sam2Decoder, graphs: DecoderGraphs, record: Record) -> Decode:
    session = session_of(graphs.unsplit)

    def decode(name: str, prompt: Prompt, multimask: bool) -> DecodedMasks:
        points, labels = decoder.sparse_prompt(prompt)
        tensors = drawn_tensors(record.images[name].seed)
        inputs = {
            "image_embeddings": tensors.pop("embedding"),
            **tensors,
            "point_coords": points[None],
            "point_labels": labels[None],
            "mask_input": np.zeros((1, 1, 256, 256), np.float32) if prompt.mask is None else prompt.mask[None, None],
            "has_mask_input": np.array([prompt.mask is not None], np.float32),
        }
        (logits,), (scores,) = session.run(["low_res_masks", "iou_predictions"], inputs)
        wanted = slice(1, 4)
        if not multimask:
            wanted = slice(*decoder.answered(logits.reshape(4, -1), scores, multimask=False))
        return DecodedMasks(logits[wanted], scores[wanted], NETWORK.limit)

    return decode


def test_the_record_has_more_than_a_hundred_prompts_of_every_kind(record: Record) -> None:
    assert record.versions["sam2"] == "1.1.0"
    asked = [one for one, _ in record.cases]
    assert len(asked) > 100
    kinds = {("points" in one.fields, "box" in one.fields, one.mask is not None) for one in asked}
    assert len(kinds) == 7
    assert {one.multimask for one in asked} == {True, False}
    for _, answer in record.cases:
        assert 0.05 < answer.masks.mean() < 0.95


def test_single_masks_of_both_kinds_are_recorded(record: Record, unsplit: Decode) -> None:
    """Some single masks are stable, and some are replaced by the best of the other three."""
    replaced = set()
    for asked, answer in [case for case in record.cases if not case[0].multimask and not case[0].refines][:12]:
        others = unsplit(asked.image, prompt_of(asked, record), True).scores
        replaced.add(bool(np.abs(others - answer.scores).min() < SCORES_TOLERANCE))
    assert replaced == {True, False}


@pytest.mark.parametrize("kind", ["split", "unsplit"])
def test_the_decoder_equals_meta_s(
    kind: str, record: Record, request: pytest.FixtureRequest, record_testsuite_property: Callable[[str, object], None]
) -> None:
    decode: Decode = request.getfixturevalue(kind)
    worst_scores = worst_logits = 0.0
    least_iou = 1.0
    best: Floats | None = None
    cases = record.cases if kind == "split" else [case for case in record.cases if not case[0].refines][::4]
    for asked, answer in cases:
        prompt = prompt_of(asked, record)
        masks = decode(asked.image, replace(prompt, mask=best) if asked.refines else prompt, asked.multimask)
        limited = masks.limited()
        best = limited[int(np.argmax(masks.scores))]
        samples = limited.reshape(len(limited), -1)[:, sampled_places()]
        worst_scores = max(worst_scores, float(np.abs(masks.scores - answer.scores).max()))
        worst_logits = max(worst_logits, float(np.abs(samples - answer.samples).max()))
        least_iou = min(least_iou, least_iou_of(masks, answer, asked, record))
    record_testsuite_property(f"sam2 {kind}: scores, largest difference", worst_scores)
    record_testsuite_property(f"sam2 {kind}: logits, largest difference", worst_logits)
    record_testsuite_property(f"sam2 {kind}: mask IoU, least", least_iou)
    assert worst_scores <= SCORES_TOLERANCE
    assert worst_logits <= LOGITS_TOLERANCE
    assert least_iou >= LEAST_IOU


def prompt_of(asked: Asked, record: Record) -> Prompt:
    prompt = ImagePrompt(
        points=tuple((x, y) for x, y in asked.fields.get("points", [])),
        labels=tuple(asked.fields.get("labels", [])),
        box=tuple(asked.fields["box"]) if "box" in asked.fields else None,
    )
    return to_decoder_frame(prompt, SAM2.frame, record.images[asked.image].original, asked.mask_prompt())


def least_iou_of(masks: DecodedMasks, answer: Answered, asked: Asked, record: Record) -> float:
    """Return the least IoU of the masks. A pixel whose logit is within rounding of 0 does not count."""
    original = record.images[asked.image].original
    ious = []
    for logits, theirs in zip(masks.logits, answer.masks, strict=True):
        ours = painted(mask_runs(logits, original))
        counts = (ours == theirs) | (np.abs(logits_of_sam2(logits, original)) > LOGITS_TOLERANCE)
        ious.append(float((ours & theirs & counts).sum() / ((ours | theirs) & counts).sum()))
    return min(ious)
