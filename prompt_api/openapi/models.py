"""The routes of the models."""

from __future__ import annotations

from prompt_api.openapi import samples
from prompt_api.openapi.operation import Operation, answer, json_answer
from prompt_api.openapi.refusals import problem_response
from shared.contract.errors import InvalidParameter, ModelNotFound

TAG = "Models"

_GRAPH = {"application/octet-stream": {"schema": {"description": "An ONNX graph, or a part of it."}}}

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/models",
        name="listModels",
        tag=TAG,
        summary="List the models",
        description="Returns the models that this service serves, the default model first, each with the number of its "
        "workers that are alive.",
        answers={200: json_answer("The models.", "ModelList", {"One model": {"models": [samples.DESCRIPTION]}})},
    ),
    Operation(
        method="GET",
        path="/v1/models/{name}",
        name="getModel",
        tag=TAG,
        summary="Describe a model",
        description="Returns the description of one model.",
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
        description="Returns the prompt encoder and mask decoder as one ONNX graph, for decoding an embedding on the "
        "client, for example in a browser. The answer is 404 if the model has no such graph; its `links.decoder` is "
        "then null.\n\n"
        "All inputs and outputs are float32. B is the number of prompts on one image, N their number of points. "
        "Inputs:\n\n"
        "- `image_embeddings` (1, 256, 64, 64): the embedding.\n"
        "- `point_coords` (B, N, 2): x and y in pixels of the image, times 1024 / its longer side.\n"
        "- `point_labels` (B, N): 1 foreground, 0 background, 2 and 3 the corners of a box, -1 padding. Points without "
        "a box are followed by one padding point at (0, 0).\n"
        "- `mask_input` (B or 1, 1, 256, 256): low-res logits to refine, and `has_mask_input` (B or 1): 1 to use them, "
        "0 to ignore them.\n\n"
        "A model of the architecture `sam2` also takes `high_res_s1` and `high_res_s0`, the other tensors of the "
        "embedding. Its x is in pixels times 1024 / width and its y in pixels times 1024 / height. The corners of a "
        "box come first, and one padding point follows all points and corners.\n\n"
        "Outputs of the form `plain`: `low_res_masks` (B, 4, 256, 256), the single mask first, then the three of "
        "`multimask`; `iou_predictions` (B, 4).\n\n"
        "The form `meta` is that of segment_anything's ONNX export with one mask, so code written for Meta's notebook "
        "runs with it. Only models of the architecture `sam1` have it. "
        "It has one more input, `orig_im_size` (2): height and width of the image. Outputs: `masks` "
        "(B, 1, height, width), logits to threshold at 0; `iou_predictions` (B, 1); `low_res_masks` (B, 1, 256, 256).",
        parameters=("name", "form", "If-None-Match", "Range"),
        answers={
            200: answer("The graph.", _GRAPH, headers=("ETag", "Cache-Control")),
            206: answer("The bytes asked for.", _GRAPH, headers=("ETag", "Cache-Control", "Content-Range")),
            304: answer("The copy you have is still right.", headers=("ETag", "Cache-Control")),
            416: problem_response(416, ["requested-range-not-satisfiable"], "The graph does not have these bytes."),
        },
        errors=(InvalidParameter, ModelNotFound),
    ),
    Operation(
        method="GET",
        path="/v1/models/{name}/decoder",
        name="getBrowserDecoder",
        tag=TAG,
        summary="Describe the browser decoder",
        description="Describes the split decoder that the service itself runs, for onnxruntime-web. It has three "
        "graphs: the image side runs once per image, the mask side once per mask that is refined, and the prompt side "
        "once per prompt. It is three times faster than the single graph of `decoder.onnx`. The inputs of the graphs "
        "are internal and may change: only the page of the same service is made for them.",
        parameters=("name",),
        answers={200: json_answer("The browser decoder.", "BrowserDecoder", {"MobileSAM": samples.BROWSER_DECODER})},
        errors=(ModelNotFound,),
    ),
    Operation(
        method="GET",
        path="/v1/models/{name}/decoder/{digest}/{part}.onnx",
        name="getBrowserDecoderPart",
        tag=TAG,
        summary="Download a part of the browser decoder",
        description="Returns one graph of the split decoder. Its content never changes. The answer is 404 once the "
        "model has another decoder.",
        parameters=("name", "digest", "part", "If-None-Match", "Range"),
        answers={
            200: answer("The graph.", _GRAPH, headers=("ETag", "Cache-Control")),
            206: answer("The bytes asked for.", _GRAPH, headers=("ETag", "Cache-Control", "Content-Range")),
            304: answer("The copy you have is still right.", headers=("ETag", "Cache-Control")),
            416: problem_response(416, ["requested-range-not-satisfiable"], "The graph does not have these bytes."),
        },
        errors=(ModelNotFound,),
    ),
)
