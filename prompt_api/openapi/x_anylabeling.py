"""The routes of X-AnyLabeling's remote server protocol."""

from __future__ import annotations

from typing import Any

from prompt_api.openapi import samples
from prompt_api.openapi.operation import Fragment, Operation, json_answer
from prompt_api.openapi.refusals import CARRIED_IMAGE
from shared.contract import errors

TAG = "X-AnyLabeling"

_WIDGETS = ("button_add_point", "button_add_rect", "mask_fineness_slider")

_MODEL: Fragment = {
    "display_name": samples.DESCRIPTION["title"],
    "widgets": [{"name": name, "value": 10 if name == "mask_fineness_slider" else None} for name in _WIDGETS],
    "params": {},
    "capabilities": {},
    "batch_processing_mode": None,
    "available_tasks": [
        {
            "id": "polygon",
            "name": "Polygon",
            "active_widgets": {name: {} for name in _WIDGETS},
            "batch_processing_mode": None,
        }
    ],
}

_SHAPE = {
    "label": "AUTOLABEL_OBJECT",
    "shape_type": "polygon",
    "points": [[900.0, 540.0], [912.0, 540.0], [912.0, 640.0], [900.0, 640.0], [900.0, 540.0]],
    "score": 0.9871,
    "direction": 0.0,
}


def _asked(*marks: Fragment, **more: Any) -> Fragment:
    return {
        "model": samples.MODEL,
        "image": "data:image/jpeg;base64,/9j/4AAQ…",
        "params": {"epsilon_factor": 0.001, "marks": [*marks], **more},
    }


def _found(*shapes: Fragment) -> Fragment:
    return {"success": True, "data": {"shapes": [*shapes], "description": "", "replace": False}}


_BODY: Fragment = {
    "required": True,
    "description": "The message of X-AnyLabeling. Members that are not described are ignored.",
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/AnyLabelingPredictRequest"},
            "examples": {
                "a-click": {
                    "summary": "A click (the image is shortened)",
                    "value": _asked({"type": "point", "data": [905, 600], "label": 1}, current_task="polygon"),
                },
                "a-rectangle": {
                    "summary": "A rectangle (the image is shortened)",
                    "value": _asked({"type": "rectangle", "data": [890, 530, 920, 650], "label": 1}),
                },
            },
        }
    },
}

OPERATIONS = (
    Operation(
        method="GET",
        path="/x-anylabeling/health",
        name="getXAnyLabelingHealth",
        tag=TAG,
        summary="Is there a server?",
        description="Needs no token.",
        answers={
            200: json_answer(
                "The server is up.",
                "AnyLabelingHealth",
                {"Health": {"status": "healthy", "models_loaded": 1, "timestamp": "2026-11-26T22:00:00.000000Z"}},
            )
        },
    ),
    Operation(
        method="GET",
        path="/x-anylabeling/v1/models",
        name="listXAnyLabelingModels",
        tag=TAG,
        summary="The models to choose from",
        description="X-AnyLabeling fills its list of models from this, and shows the controls that a model names.",
        answers={
            200: json_answer(
                "The served models by name.",
                "AnyLabelingModels",
                {"One model (shortened)": {"success": True, "data": {samples.MODEL: _MODEL}}},
            )
        },
    ),
    Operation(
        method="GET",
        path="/x-anylabeling/v1/models/{name}/info",
        name="getXAnyLabelingModel",
        tag=TAG,
        summary="One model",
        description="The same as in the list, with its name.",
        parameters=("name",),
        answers={
            200: json_answer(
                "The model.",
                "AnyLabelingModelAnswer",
                {"A model (shortened)": {"success": True, "data": {"model_id": samples.MODEL, **_MODEL}}},
            )
        },
        errors=(errors.ModelNotFound,),
    ),
    Operation(
        method="POST",
        path="/x-anylabeling/v1/predict",
        name="predictXAnyLabeling",
        tag=TAG,
        summary="Segment what an annotator pointed at",
        description="Every request carries the image. It is recognised by its hash, stored and encoded once. The first "
        "request waits for the encoding, at most 25 seconds; after that it is answered 503 `overloaded`.\n\n"
        "Each rectangle makes one mask, together with all points; points alone make one. `current_task` chooses "
        "polygons, a rectangle, or a rotated rectangle. Without marks the image is only taken in and encoded.\n\n"
        "A token may also be sent in the header `Token`, as X-AnyLabeling does. The reason in the status line of an "
        "error is its `detail`, because X-AnyLabeling shows people that line.",
        body=_BODY,
        answers={
            200: json_answer(
                "The shapes.",
                "AnyLabelingPredictAnswer",
                {"A polygon": _found(_SHAPE), "Without marks, or an empty mask": _found()},
            )
        },
        errors=CARRIED_IMAGE,
    ),
)
