"""The routes of the models."""

from __future__ import annotations

from prompt_api.openapi import samples
from prompt_api.openapi.operation import Operation, answer, json_answer
from prompt_api.openapi.refusals import problem_response
from shared.contract.errors import ModelNotFound

TAG = "Models"

_GRAPH = {"application/octet-stream": {"schema": {"description": "An ONNX graph, or a part of it."}}}

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/models",
        name="listModels",
        tag=TAG,
        summary="List the models",
        description="What this service serves, the default first.",
        answers={200: json_answer("The models.", "ModelList", {"One model": {"models": [samples.DESCRIPTION]}})},
    ),
    Operation(
        method="GET",
        path="/v1/models/{name}",
        name="getModel",
        tag=TAG,
        summary="Describe a model",
        description="One of them.",
        parameters=("name",),
        answers={200: json_answer("The model.", "ModelDescription", {"MobileSAM": samples.DESCRIPTION})},
        errors=(ModelNotFound,),
    ),
    Operation(
        method="GET",
        path="/v1/models/{name}/decoder.onnx",
        name="getDecoder",
        tag=TAG,
        summary="Download the decoder",
        description="The prompt encoder and mask decoder as one ONNX graph, for decoding an embedding on the "
        "client, in a browser for instance. 404 also where the model has no such graph: `links.decoder` is null "
        "then.",
        parameters=("name", "If-None-Match", "Range"),
        answers={
            200: answer("The graph.", _GRAPH, headers=("ETag", "Cache-Control")),
            206: answer("The bytes asked for.", _GRAPH, headers=("ETag", "Cache-Control", "Content-Range")),
            304: answer("The copy you have is still right.", headers=("ETag", "Cache-Control")),
            416: problem_response(416, ["requested-range-not-satisfiable"], "There are no such bytes."),
        },
        errors=(ModelNotFound,),
    ),
    Operation(
        method="GET",
        path="/v1/models/{name}/decoder",
        name="getBrowserDecoder",
        tag=TAG,
        summary="What browsers decode with",
        description="The split decoder that the service itself runs, for onnxruntime-web: an image side, run once per "
        "image, a mask side for a mask that is refined, and a prompt side per prompt, three times faster than the one "
        "graph of `decoder.onnx`. Its inputs follow the service's own needs: what works with it is the page of the "
        "same service.",
        parameters=("name",),
        answers={200: json_answer("What there is.", "BrowserDecoder", {"MobileSAM": samples.BROWSER_DECODER})},
        errors=(ModelNotFound,),
    ),
    Operation(
        method="GET",
        path="/v1/models/{name}/decoder/{digest}/{part}.onnx",
        name="getBrowserDecoderPart",
        tag=TAG,
        summary="Download a part of it",
        description="One graph of the split decoder. Its content never changes; 404 once the model has another.",
        parameters=("name", "digest", "part", "If-None-Match", "Range"),
        answers={
            200: answer("The graph.", _GRAPH, headers=("ETag", "Cache-Control")),
            206: answer("The bytes asked for.", _GRAPH, headers=("ETag", "Cache-Control", "Content-Range")),
            304: answer("The copy you have is still right.", headers=("ETag", "Cache-Control")),
            416: problem_response(416, ["requested-range-not-satisfiable"], "There are no such bytes."),
        },
        errors=(ModelNotFound,),
    ),
)
