"""The routes of Label Studio's ML backend protocol."""

from __future__ import annotations

from typing import Any

from prompt_api.openapi import samples
from prompt_api.openapi.operation import Fragment, Operation, json_answer
from shared.contract import errors

TAG = "Label Studio"

_CONFIG = """\
<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="mask" toName="image"><Label value="Cup"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Cup" smart="true"/></KeyPointLabels>
</View>"""

_TASK = {"id": 7, "data": {"image": "/data/upload/1/07a24ca1-coffee.jpg"}}

_POINT = {
    "id": "0vyV6P3Dgr",
    "type": "keypointlabels",
    "to_name": "image",
    "image_rotation": 0,
    "value": {"x": 50.3, "y": 50.0, "width": 0.23, "keypointlabels": ["Cup"]},
    "is_positive": True,
}

_VERSION = f"{samples.MODEL}-b5d54c39e666"

_REGION = {
    "id": "9f86d08188",
    "type": "brushlabels",
    "from_name": "mask",
    "to_name": "image",
    "original_width": samples.WIDTH,
    "original_height": samples.HEIGHT,
    "image_rotation": 0,
    "value": {"format": "rle", "rle": [0, 131, 214, 0, 57, 27, 255, 255], "brushlabels": ["Cup"]},
    "score": 0.9871,
}


def _predictions(*results: Any) -> Fragment:
    return {"results": list(results)}


def _body(schema: str, examples: dict[str, Any]) -> Fragment:
    return {
        "required": True,
        "description": "The message of Label Studio. Members that are not described are ignored.",
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{schema}"},
                "examples": {
                    words.lower().replace(" ", "-"): {"summary": words, "value": value}
                    for words, value in examples.items()
                },
            }
        },
    }


OPERATIONS = (
    Operation(
        method="GET",
        path="/label-studio/health",
        name="getLabelStudioHealth",
        tag=TAG,
        summary="Is there an ML backend?",
        description="Label Studio sends this request first, to check that the backend is up.",
        answers={
            200: json_answer(
                "The backend is up.", "BackendHealth", {"Health": {"status": "UP", "model_class": samples.MODEL}}
            )
        },
    ),
    Operation(
        method="POST",
        path="/label-studio/setup",
        name="setUpLabelStudio",
        tag=TAG,
        summary="Connect a project",
        description="Label Studio sends this request when a project is connected and each time a task is opened. "
        "Nothing of it is kept.",
        body=_body("ProjectSetup", {"A project": {"project": "1.1795371371"}}),
        answers={200: json_answer("The version of the model.", "SetupAnswer", {"Model": {"model_version": _VERSION}})},
        errors=(errors.InvalidPrompt, errors.RequestTooLarge),
    ),
    Operation(
        method="POST",
        path="/label-studio/predict",
        name="predictLabelStudio",
        tag=TAG,
        summary="Segment what an annotator pointed at",
        description="With a context, returns regions for the smart keypoints or rectangles in it. The regions belong "
        "to the `BrushLabels` or `PolygonLabels` tag of the same image that has the same label. If the image is not "
        "encoded within some seconds, there are no regions yet. Click again to get them.\n\n"
        "Without a context, as when a task is opened, nothing is predicted, but the task's images are encoded ahead of "
        "time. If `SAM_LABEL_STUDIO_EVERYTHING` is on, a task gets every mask of its images, once they are found.\n\n"
        "An image is a data URL or is on the Label Studio that the service is configured for. Nothing else is fetched.",
        body=_body(
            "PredictRequest",
            {
                "A click": {
                    "tasks": [_TASK],
                    "label_config": _CONFIG,
                    "params": {"context": {"result": [_POINT]}},
                },
                "A task is opened": {"tasks": [_TASK], "label_config": _CONFIG, "params": {"context": None}},
            },
        ),
        answers={
            200: json_answer(
                "One entry per task.",
                "PredictAnswer",
                {
                    "A mask (shortened)": _predictions(
                        {"model_version": _VERSION, "score": 0.9871, "result": [_REGION]}
                    ),
                    "Not encoded yet": _predictions({"model_version": _VERSION, "score": 0.0, "result": []}),
                    "Without a context": _predictions([]),
                },
            )
        },
        errors=(
            errors.InvalidPrompt,
            errors.RequestTooLarge,
            errors.ImageNotFound,
            errors.ImageExpired,
            errors.ImageUnreachable,
            errors.UnsupportedImage,
            errors.InvalidImage,
            errors.ImageTooLarge,
            errors.EncodeFailed,
            errors.StoreUnavailable,
            errors.Overloaded,
        ),
    ),
    Operation(
        method="POST",
        path="/label-studio/webhook",
        name="noteLabelStudioEvent",
        tag=TAG,
        summary="Receive an event",
        description="Label Studio reports events in a connected project. The model does not learn from them.",
        body=_body("AnyEvent", {"An event": {}}),
        answers={200: json_answer("The event was received.", "Noted", {"Noted": {"status": "ok"}})},
        errors=(errors.InvalidPrompt, errors.RequestTooLarge),
    ),
)
