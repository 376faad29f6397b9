"""The routes of samapi's protocol."""

from __future__ import annotations

from prompt_api.openapi import samples
from prompt_api.openapi.operation import Fragment, Operation, answer, json_answer
from prompt_api.openapi.refusals import CARRIED_IMAGE
from shared.contract import errors

TAG = "QuPath"

_FEATURE = {
    "type": "Feature",
    "geometry": {"type": "Polygon", "coordinates": [[[900, 540], [912, 540], [912, 640], [900, 640], [900, 540]]]},
    "properties": {"label": "object", "quality": 0.9871, "sam_model": samples.MODEL},
}

_TEXT: Fragment = {"text/plain": {"schema": {"type": "string"}}}


def _not_served(path: str, name: str, summary: str, method: str = "POST") -> Operation:
    return Operation(
        method=method,
        path=f"/samapi/sam/{path}/",
        name=name,
        tag=TAG,
        summary=summary,
        description="samapi has this, this service does not. The answer is always 404 `not-served`.",
        answers={},
        errors=(errors.NotServed,),
    )


OPERATIONS = (
    Operation(
        method="POST",
        path="/samapi/sam/",
        name="predictSamapi",
        tag=TAG,
        summary="Segment a box or points",
        description="Every request carries the image, in QuPath the part of the slide that is on the screen. It is "
        "recognised by its hash, stored and encoded once. The first request waits for the encoding, at most 25 "
        "seconds; after that it is answered 503 `overloaded`. QuPath tries once more by itself then.\n\n"
        "The outline of a mask is exact: its edges are those of pixels, with holes. An empty mask has no feature.\n\n"
        "A token may stand in the path, as `/samapi/with-token/…/sam/`, because QuPath's extension sends no header of "
        "its own.",
        body={
            "required": True,
            "description": "The message of QuPath. Members that are not described are ignored.",
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/SamRequest"},
                    "examples": {
                        "a-box": {
                            "summary": "A box (the image is shortened)",
                            "value": {
                                "type": "vit_t",
                                "bbox": [890, 530, 920, 650],
                                "b64img": "iVBORw0KGgo…",
                                "multimask_output": False,
                                "checkpoint_url": f"sam-embedding-cache:{samples.MODEL}",
                            },
                        },
                        "points": {
                            "summary": "Points (the image is shortened)",
                            "value": {
                                "type": "vit_t",
                                "point_coords": [[911, 638], [905, 600]],
                                "point_labels": [0, 1],
                                "b64img": "iVBORw0KGgo…",
                                "multimask_output": True,
                            },
                        },
                    },
                }
            },
        },
        answers={
            200: answer(
                "A GeoJSON feature for each mask.",
                {
                    "application/json": {
                        "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Feature"}},
                        "examples": {"one-mask": {"summary": "One mask", "value": [_FEATURE]}},
                    }
                },
            )
        },
        errors=CARRIED_IMAGE,
    ),
    Operation(
        method="GET",
        path="/samapi/sam/version/",
        name="getSamapiVersion",
        tag=TAG,
        summary="Which samapi is this?",
        description="The version of samapi whose protocol is served.",
        answers={200: answer("The version.", _TEXT)},
    ),
    Operation(
        method="GET",
        path="/samapi/sam/weights/",
        name="listSamapiWeights",
        tag=TAG,
        summary="The models to choose from",
        description="For the model type in `type`: its own model first if it is served, then every other served model. "
        "Without `type`: for every type.",
        parameters=("type",),
        answers={
            200: answer(
                "What can be chosen.",
                {
                    "application/json": {
                        "schema": {"type": "array", "items": {"$ref": "#/components/schemas/SamWeights"}},
                        "examples": {
                            "one-model": {
                                "summary": "One model",
                                "value": [
                                    {
                                        "type": "vit_t",
                                        "name": samples.MODEL,
                                        "url": f"sam-embedding-cache:{samples.MODEL}",
                                    }
                                ],
                            }
                        },
                    }
                },
            )
        },
        errors=(errors.InvalidParameter,),
    ),
    Operation(
        method="GET",
        path="/samapi/sam/progress/",
        name="getSamapiProgress",
        tag=TAG,
        summary="The progress of a download",
        description="This service downloads no weights for its clients, so nothing is ever going on.",
        answers={200: json_answer("No progress.", "SamProgress", {"Nothing": {"message": None, "percent": -1}})},
    ),
    Operation(
        method="GET",
        path="/samapi/sam/weights/cancel/",
        name="cancelSamapiDownload",
        tag=TAG,
        summary="Cancel a download",
        description="There is never a download to cancel.",
        answers={200: answer("A sentence that says so.", _TEXT)},
    ),
    _not_served("weights", "registerSamapiWeights", "Add weights"),
    _not_served("automask", "automaskSamapi", "Masks of everything"),
    _not_served("sam3", "predictSamapiSam3", "Prompts of text"),
    _not_served("upload", "uploadSamapiFrame", "Upload a frame"),
    _not_served("video", "predictSamapiVideo", "Follow objects through frames"),
    _not_served("sam3video", "predictSamapiSam3Video", "Follow objects of a text through frames"),
)
