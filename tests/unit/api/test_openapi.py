"""The OpenAPI document is valid and describes exactly what the service does."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pycocotools import mask as coco
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from prompt_api.everything.job.key import EverythingKey
from prompt_api.models.interface import DecoderForm
from prompt_api.models.sam1.export_form import in_export_form
from prompt_api.models.sam1.network import NETWORK
from prompt_api.models.two_way.unsplit import build_unsplit
from prompt_api.openapi import label_studio, samapi, samples, x_anylabeling
from prompt_api.openapi.document import build
from prompt_api.openapi.refusals import FRAMEWORK
from prompt_api.wire import problems
from prompt_api.wire.limits import MAX_WAIT
from prompt_api.wire.requests import MAX_POINTS, MAX_PROMPTS, parse_request
from prompt_api.wire.similar import parse_similar_request
from shared.contract.errors import EverythingFailed, InvalidPrompt
from shared.contract.keys import EmbeddingKey
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from tests.support.world import World, png
from tests.unit.decoder_material import random_weights

CONTRACT = Path(__file__).parents[3] / "docs" / "http-api.md"
CLICK = {"points": [[40, 30]], "labels": [1]}
CLICKED = {
    "tasks": [{"id": 1, "data": {"image": "data:image/png;base64," + base64.b64encode(png(60, 40)).decode()}}],
    "label_config": '<View><Image name="i" value="$image"/><BrushLabels name="m" toName="i"/></View>',
    "params": {"context": {"result": [{"type": "keypoint", "to_name": "i", "value": {"x": 40, "y": 40}}]}},
}


@pytest.fixture
def document(world: World) -> dict[str, Any]:
    return dict(world.client.get("/openapi.json").json)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def resolved(document: dict[str, Any], fragment: dict[str, Any]) -> dict[str, Any]:
    for part in fragment.get("$ref", "").split("/")[1:]:
        fragment = document[part] if fragment.get("$ref") else fragment[part]
    return fragment


def schema_of(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with every type closed, so that members it does not describe are errors."""
    strict = copy.deepcopy(document)
    for schema in strict["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return strict


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_the_document_may_be_kept_while_it_does_not_change(world: World) -> None:
    etag = world.client.get("/openapi.json").headers["ETag"]
    assert world.client.get("/openapi.json", headers={"If-None-Match": etag}).status_code == 304


def test_every_route_is_in_the_document_and_the_other_way_round(world: World, document: dict[str, Any]) -> None:
    def described(rule: Rule) -> set[tuple[str, str]]:
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        return {(method, path) for method in (rule.methods or set()) - {"OPTIONS"}}

    rules = [
        rule for rule in world.client.application.url_map.iter_rules() if rule.endpoint.rpartition(".")[2] != "static"
    ]
    served = {route for rule in rules for route in described(rule)}
    documented = {(method, path) for method, path, _ in operations(document)}
    assert documented <= served
    # The document states once, for all paths, that HEAD works wherever GET does.
    assert served - documented == {("HEAD", path) for method, path in documented if method == "GET"} - documented


def test_each_operation_names_the_parameters_of_its_path(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        parameters = [resolved(document, parameter) for parameter in operation.get("parameters", [])]
        assert {p["name"] for p in parameters if p["in"] == "path"} == set(re.findall(r"{(\w+)}", path))


def test_exactly_the_documented_routes_take_model_and_wait(world: World, document: dict[str, Any]) -> None:
    image_id = world.ready_image(png())
    for method, path, operation in operations(document):
        names = {resolved(document, parameter)["name"] for parameter in operation.get("parameters", [])}
        unknown = "0" * 64 if method == "DELETE" else image_id
        url = path.replace("{image_id}", unknown).replace("{name}", "fake")
        for name, code in (("model", "model-not-found"), ("wait", "invalid-parameter")):
            asked = "GET" if method == "HEAD" else method
            answer = world.client.open(f"{url}?{name}=nonsense", method=asked, data=png(), buffered=True)
            refused = code.encode() in answer.data and b"nonsense" in answer.data
            assert refused == (name in names), (method, path, answer.data[:200])


def test_every_error_is_documented_with_its_status_and_an_example(document: dict[str, Any]) -> None:
    documented = set()
    for _, _, operation in operations(document):
        for status, response in operation["responses"].items():
            described = response.get("content", {}).get(problems.MEDIA_TYPE)
            if described:
                codes = described["schema"]["allOf"][1]["properties"]["code"]["enum"]
                assert list(described["examples"]) == codes
                documented |= {(int(status), code) for code in codes}
    known = {(status, kind.code) for kind, status in problems.STATUS.items()}
    framework = {(status, code) for status, (code, _) in FRAMEWORK.items()}
    assert documented - framework == known
    examples = document["components"]["examples"]
    assert {(e["value"]["status"], e["value"]["code"]) for e in examples.values()} == known | framework
    assert set(samples.PROBLEMS) == set(problems.STATUS)


def test_every_example_is_what_its_schema_says(document: dict[str, Any]) -> None:
    strict = closed(document)
    checked = 0
    for _, _, operation in operations(strict):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for fragment in [*bodies, *operation["responses"].values()]:
            for described in fragment.get("content", {}).values():
                for example in described.get("examples", {}).values():
                    schema_of(strict, described["schema"]).validate(resolved(strict, example)["value"])
                    checked += 1
    for group in ("parameters", "headers"):
        for described in strict["components"][group].values():
            if "example" in described:
                Draft202012Validator(described["schema"]).validate(described["example"])
    assert checked > 70


def test_the_example_masks_are_one_mask() -> None:
    rle, polygons = (samples.ANSWERS[f"format: {form}"]["results"][0]["masks"][0] for form in ("rle", "polygons"))
    assert coco.area(rle["rle"]) == rle["area"] == polygons["area"]
    assert coco.toBbox(rle["rle"]).tolist() == list(rle["bbox"])
    flat = [float(number) for point in polygons["polygons"][0]["outer"] for number in point]
    (drawn,) = coco.frPyObjects([flat], *rle["rle"]["size"])
    assert np.array_equal(coco.decode(drawn), coco.decode(rle["rle"]))


def test_the_example_requests_are_accepted() -> None:
    for body in samples.REQUESTS.values():
        parse_request(json.dumps(body).encode())
    for body in samples.SIMILAR_REQUESTS.values():
        parse_similar_request(json.dumps(body).encode())


def test_limits_are_those_of_the_code(document: dict[str, Any]) -> None:
    schemas, parameters = document["components"]["schemas"], document["components"]["parameters"]
    assert schemas["MasksRequest"]["properties"]["prompts"]["maxItems"] == MAX_PROMPTS == 64
    assert schemas["PromptInput"]["properties"]["points"]["anyOf"][0]["maxItems"] == MAX_POINTS == 64
    assert (parameters["wait"]["schema"]["minimum"], parameters["wait"]["schema"]["maximum"]) == (0, MAX_WAIT)
    assert parameters["model"]["schema"] == {"type": "string", "enum": ["fake", "other"], "default": "fake"}
    mine = build(Settings(max_upload_bytes=1_234_567, max_image_pixels=7_654_321), ["fake"])["components"]["schemas"]
    assert mine["ImageFile"]["maxLength"] == 1_234_567
    assert "7,654,321 pixels" in mine["ImageFile"]["description"]


NUMBER = st.integers(-5, 500)
MEMBERS = {
    "points": st.none() | st.lists(st.lists(NUMBER, min_size=1, max_size=3), max_size=3),
    "labels": st.none() | st.lists(st.integers(-1, 2), max_size=3),
    "box": st.none() | st.lists(NUMBER, min_size=3, max_size=5),
    "mask_token": st.none() | st.text(max_size=3),
    "mask_logits": st.none() | st.just("AAAA"),
    "unknown": st.booleans(),
}
DOCUMENT = build(Settings(), ["fake"])
REQUEST = schema_of(DOCUMENT, {"$ref": "#/components/schemas/MasksRequest"})


@given(st.lists(st.fixed_dictionaries({}, optional=MEMBERS), max_size=2))
def test_the_schema_and_the_service_refuse_nearly_the_same_prompts(prompts: list[dict[str, Any]]) -> None:
    body = {"prompts": prompts}
    try:
        parse_request(json.dumps(body).encode())
    except InvalidPrompt as error:
        # JSON Schema cannot express that there are as many labels as points, or the order of a box's corners.
        beyond = any(word in error.detail for word in ("one label per point", "x0 < x1"))
        assert beyond or not REQUEST.is_valid(body)
    else:
        REQUEST.validate(body)


SIMILAR_REQUEST = schema_of(DOCUMENT, {"$ref": "#/components/schemas/SimilarRequest"})
EXAMPLE_MEMBERS = {
    **{name: values for name, values in MEMBERS.items() if name != "mask_logits"},
    "mask": st.none() | st.just({"rle": {"size": [1, 1], "counts": "01"}}) | st.just({}),
    "image_id": st.none() | st.sampled_from(["0" * 64, "x"]),
    "label": st.integers(-1, 2),
}


@given(st.lists(st.fixed_dictionaries({}, optional=EXAMPLE_MEMBERS), max_size=2))
def test_the_schema_and_the_service_refuse_nearly_the_same_examples(examples: list[dict[str, Any]]) -> None:
    body = {"examples": examples}
    try:
        parse_similar_request(json.dumps(body).encode())
    except InvalidPrompt as error:
        beyond = any(word in error.detail for word in ("one label per point", "x0 < x1"))
        assert beyond or not SIMILAR_REQUEST.is_valid(body)
    else:
        SIMILAR_REQUEST.validate(body)


def answers_of_every_route(world: World) -> Iterator[tuple[str, str, TestResponse]]:
    """Yield (method, path of the document, a real answer) for every answer that is JSON."""
    image, call = "/v1/images/{image_id}", world.client.open
    data = png(60, 40)
    yield "POST", "/v1/images", call("/v1/images", method="POST", data=data)
    image_id = world.client.post("/v1/images", data=data).json["image_id"]
    url = f"/v1/images/{image_id}"
    yield "GET", image, call(url)
    yield "GET", f"{image}/embedding", call(f"{url}/embedding")
    yield "GET", f"{image}/preview", call(f"{url}/preview")
    yield "POST", f"{image}/masks", call(f"{url}/masks", method="POST", json={"prompts": [CLICK]})
    world.encode_next()
    yield "POST", "/v1/images", call("/v1/images", method="POST", data=data)
    yield "GET", image, call(url)
    for form in ("rle", "png", "polygons", "logits"):
        for multimask in (True, False):
            body = {"prompts": [CLICK, {"box": [5, 5, 20, 30]}], "format": form, "multimask": multimask}
            yield "POST", f"{image}/masks", call(f"{url}/masks", method="POST", json=body)
    for bad in ({"prompts": []}, {"prompts": [{"points": [[900, 1]], "labels": [1]}]}, {"prompts": [{}] * 20}):
        yield "POST", f"{image}/masks", call(f"{url}/masks", method="POST", json=bad)
    yield "GET", image, call(f"{url}?wait=31")
    yield from _answers_about_regions(world, url)
    yield from _answers_about_everything(world, url)
    yield from _answers_about_similar(world, url)
    yield "GET", image, call("/v1/images/unknown")
    yield "GET", f"{image}/events", call("/v1/images/unknown/events")
    yield "DELETE", image, call("/v1/images/unknown", method="DELETE")
    yield "POST", "/v1/images", call("/v1/images", method="POST")
    yield "POST", "/v1/images", call("/v1/images", method="POST", data=b"Dear annotator")
    yield "POST", "/v1/images", call("/v1/images", method="POST", data=png()[:-20])
    yield "POST", "/v1/images", call("/v1/images", method="POST", data={"photo": "none"})
    yield "GET", "/v1/models", call("/v1/models")
    yield "GET", "/v1/models/{name}", call("/v1/models/other")
    yield "GET", "/v1/models/{name}", call("/v1/models/nope")
    yield "GET", "/v1/models/{name}/decoder", call("/v1/models/fake/decoder")
    path = "/v1/models/{name}/decoder/{digest}/{part}.onnx"
    yield "GET", path, call(f"/v1/models/fake/decoder/{'0' * 32}/image_side.onnx")
    yield "GET", "/v1/models/{name}/decoder.onnx", call("/v1/models/fake/decoder.onnx")
    yield "GET", "/label-studio/health", call("/label-studio/health")
    yield "GET", "/x-anylabeling/health", call("/x-anylabeling/health")
    yield "GET", "/x-anylabeling/v1/models", call("/x-anylabeling/v1/models")
    for name in ("other", "nope"):
        yield "GET", "/x-anylabeling/v1/models/{name}/info", call(f"/x-anylabeling/v1/models/{name}/info")
    for query in ("", "?type=vit_t", "?type=vit_x"):
        yield "GET", "/samapi/sam/weights/", call(f"/samapi/sam/weights/{query}")
    yield "GET", "/samapi/sam/progress/", call("/samapi/sam/progress/")
    for operation in samapi.OPERATIONS:
        if operation.method == "POST" and operation.body is None:
            yield "POST", operation.path, call(operation.path, method="POST", json={})
    encoded = base64.b64encode(data).decode()
    marks = {"marks": [{"type": "point", "data": [40, 30]}]}
    for more in (marks, {}, {"marks": [{"type": "point", "data": [1]}]}):
        body = {"model": "fake", "image": encoded, "params": more}
        yield "POST", "/x-anylabeling/v1/predict", call("/x-anylabeling/v1/predict", method="POST", json=body)
    for more in ({"bbox": [5, 5, 20, 30]}, {"bbox": [5, 5, 20, 30], "type": "vit_t"}, {}):
        body = {"b64img": encoded, "multimask_output": True, **more}
        yield "POST", "/samapi/sam/", call("/samapi/sam/", method="POST", json=body)
    for operation in (*label_studio.OPERATIONS, *x_anylabeling.OPERATIONS, *samapi.OPERATIONS):
        if operation.body is not None:
            for example in operation.body["content"]["application/json"]["examples"].values():
                yield "POST", operation.path, call(operation.path, method="POST", json=example["value"])
            yield "POST", operation.path, call(operation.path, method="POST", json=[])
    yield "POST", "/label-studio/predict", call("/label-studio/predict", method="POST", json=CLICKED)
    yield "GET", "/healthz", call("/healthz")
    yield "GET", "/readyz", call("/readyz")
    yield "GET", "/openapi.json", call("/openapi.json")


def _answers_about_regions(world: World, url: str) -> Iterator[tuple[str, str, TestResponse]]:
    image, call = "/v1/images/{image_id}", world.client.open
    for asked in ({"regions": [[4, 4, 40, 30]]}, {"around": [[0, 0, 10, 10]]}, {"regions": [[0, 0, 99, 99]]}, {}):
        yield "POST", f"{image}/regions", call(f"{url}/regions", method="POST", json=asked)
    world.encode_next()
    yield "POST", f"{image}/regions", call(f"{url}/regions", method="POST", json={"regions": [[4, 4, 40, 30]]})
    yield "GET", image, call(f"{url}?region=4,4,40,30")
    yield "GET", f"{image}/embedding", call(f"{url}/embedding?region=4,4,99,30")
    body = {"prompts": [CLICK], "region": [4, 4, 40, 30]}
    yield "POST", f"{image}/masks", call(f"{url}/masks", method="POST", json=body)


def _answers_about_similar(world: World, url: str) -> Iterator[tuple[str, str, TestResponse]]:
    call, similar = world.client.open, "/v1/images/{image_id}/similar"
    for form in ("rle", "png", "polygons"):
        body = {"examples": [CLICK], "format": form, "min_similarity": 0, "min_score": 0, "size": [0, 100]}
        found = call(f"{url}/similar", method="POST", json=body)
        assert found.json["masks"], found.text
        yield "POST", similar, found
    for bad in ({"examples": []}, {"examples": [{"box": [1, 1, 9, 9], "image_id": "0" * 64}]}, {"examples": [{}]}):
        yield "POST", similar, call(f"{url}/similar", method="POST", json=bad)


def _answers_about_everything(world: World, url: str) -> Iterator[tuple[str, str, TestResponse]]:
    call, every = world.client.open, "/v1/images/{image_id}/everything"
    options = {"points_per_side": 4, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.0}
    queued = call(f"{url}/everything", method="POST", json=options)
    yield "POST", every, queued
    job = queued.json["links"]["self"]
    yield "GET", f"{every}/{{job}}", call(job)
    world.search_next()
    yield "GET", f"{every}/{{job}}", call(job)
    yield "POST", every, call(f"{url}/everything", method="POST", json=options)
    yield "POST", every, call(f"{url}/everything", method="POST", json={"points_per_side": 0})
    yield "GET", f"{every}/{{job}}", call(f"{url}/everything/{'0' * 32}")
    yield "GET", f"{every}/{{job}}/events", call(f"{url}/everything/{'0' * 32}/events")
    yield "DELETE", f"{every}/{{job}}", call(f"{url}/everything/{'0' * 32}", method="DELETE")
    failing = call(f"{url}/everything", method="POST", json=options | {"mode": "fast"})

    def fail(key: EverythingKey) -> None:
        raise EverythingFailed("it is too hard")

    for _ in range(3):
        world.jobs.run_next(fail)
    yield "GET", f"{every}/{{job}}", call(failing.json["links"]["self"])


def test_real_answers_are_what_the_document_says(world: World, document: dict[str, Any]) -> None:
    strict = closed(document)
    seen = set()
    for method, path, answer in answers_of_every_route(world):
        responses = strict["paths"][path][method.lower()]["responses"]
        assert str(answer.status_code) in responses, (method, path, answer.text)
        response = responses[str(answer.status_code)]
        (kind,) = response["content"]
        assert answer.mimetype == kind
        schema_of(strict, response["content"][kind]["schema"]).validate(answer.json)
        for name in response.get("headers", {}):
            assert name in answer.headers, (method, path, answer.status_code, name)
        seen.add((method, path))
    json_routes = {
        (method, path)
        for method, path, operation in operations(document)
        if any("json" in kind for response in operation["responses"].values() for kind in response.get("content", {}))
    }
    # HEAD has no body; pages, metrics and plain text are JSON only where the request is refused.
    text = {("GET", "/samapi/sam/version/"), ("GET", "/samapi/sam/weights/cancel/")}
    refusing = {("GET", "/metrics"), ("GET", "/"), ("GET", "/docs"), *text}
    assert json_routes - seen == {("HEAD", "/v1/images/{image_id}"), *refusing}


def test_the_decoder_can_be_downloaded_as_documented(
    world: World, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    graph = tmp_path / "decoder.onnx"
    graph.write_bytes(bytes(1000))
    files = {DecoderForm.PLAIN: graph}
    monkeypatch.setitem(world.services.decoder_files, "fake", files)  # type: ignore[arg-type]
    path = "/v1/models/{name}/decoder.onnx"
    responses = document["paths"][path]["get"]["responses"]
    etag = world.client.get("/v1/models/fake/decoder.onnx", buffered=True).headers["ETag"]
    for status, headers in {
        200: {},
        206: {"Range": "bytes=10-"},
        304: {"If-None-Match": etag},
        416: {"Range": "bytes=2000-"},
    }.items():
        answer = world.client.get("/v1/models/fake/decoder.onnx", headers=headers, buffered=True)
        assert answer.status_code == status
        response = responses[str(status)]
        assert set(response.get("content", {})) == ({answer.mimetype} if answer.data else set())
        assert set(response.get("headers", {})) <= set(answer.headers.keys())
    assert world.client.get("/v1/models").json["models"][0]["links"]["decoder"] == "/v1/models/fake/decoder.onnx"
    form = world.client.get("/v1/models/fake/decoder.onnx?form=torch")
    assert (form.status_code, form.json["code"]) == (422, "invalid-parameter")
    schema_of(closed(document), responses["416"]["content"][problems.MEDIA_TYPE]["schema"]).validate(answer.json)


def test_the_decoder_comes_in_the_form_of_metas_export(
    world: World, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    graph = tmp_path / "decoder.onnx"
    graph.write_bytes(build_unsplit(NETWORK, random_weights()).SerializeToString())
    exported = tmp_path / "export_form.onnx"
    exported.write_bytes(in_export_form(graph.read_bytes()))
    files = {DecoderForm.PLAIN: graph, DecoderForm.META: exported}
    monkeypatch.setitem(world.services.decoder_files, "fake", files)  # type: ignore[arg-type]
    url = "/v1/models/fake/decoder.onnx"
    plain, meta = (world.client.get(url, query_string={"form": form}, buffered=True) for form in ("plain", "meta"))
    assert plain.data == world.client.get(url, buffered=True).data == graph.read_bytes()
    assert meta.headers["ETag"] != plain.headers["ETag"]
    described = document["paths"]["/v1/models/{name}/decoder.onnx"]["get"]["description"]
    for answer in (plain, meta):
        loaded = onnx.load_from_string(answer.data).graph
        for value in (*loaded.input, *loaded.output):
            assert f"`{value.name}` (" in described
    assert "orig_im_size" in {value.name for value in loaded.input}

    def asked(**headers: str) -> TestResponse:
        return world.client.get(f"{url}?form=meta", headers=headers, buffered=True)

    assert asked(**{"If-None-Match": meta.headers["ETag"]}).status_code == 304
    part = asked(Range="bytes=10-19")
    assert (part.status_code, part.data) == (206, meta.data[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(meta.data)}"
    assert asked(Range=f"bytes={len(meta.data)}-").status_code == 416


def test_a_failed_image_is_what_the_document_says(world: World, document: dict[str, Any]) -> None:
    image_id = world.client.post("/v1/images", data=png()).json["image_id"]

    def fail(key: EmbeddingKey) -> None:
        assert key == EmbeddingKey.of(image_id, FAKE)
        raise RuntimeError

    for _ in range(3):
        world.queue.run_next(fail)
    shown = world.client.get(f"/v1/images/{image_id}").json
    assert shown["status"] == "failed"
    schema_of(closed(document), {"$ref": "#/components/schemas/ImageResource"}).validate(shown)


def test_each_event_carries_an_image_resource(world: World, document: dict[str, Any]) -> None:
    image_id = world.ready_image(png())
    lines = world.client.get(f"/v1/images/{image_id}/events").text.splitlines()
    (event,) = (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))
    schema_of(closed(document), {"$ref": "#/components/schemas/ImageResource"}).validate(event)


def test_the_four_formats_are_as_described(world: World) -> None:
    image_id = world.ready_image(png(60, 40))

    def mask(form: str) -> dict[str, Any]:
        body = {"prompts": [CLICK], "format": form, "multimask": False}
        answer = world.client.post(f"/v1/images/{image_id}/masks", json=body)
        return dict(answer.json["results"][0]["masks"][0])

    assert len(base64.b64decode(mask("logits")["logits"])) == 256 * 256 * 2
    assert mask("rle")["rle"]["size"] == [40, 60]
    assert base64.b64decode(mask("png")["png"]).startswith(b"\x89PNG")


def test_the_contracts_table_of_routes_is_the_documents(document: dict[str, Any]) -> None:
    table = set()
    for cell in re.findall(r"^\| (`(?:GET|POST|DELETE|PUT|PATCH)\b.*?) \|", CONTRACT.read_text(), re.MULTILINE):
        methods: list[str] = []
        for word in re.findall(r"`([^`]+)`", cell):
            method, _, target = word.partition(" ")
            methods.append(method)
            if target:
                path, _, query = target.partition("?")
                table |= {(name, path, tuple(re.findall(r"(\w+)=", query))) for name in methods}
                methods = []

    def in_query(operation: dict[str, Any]) -> tuple[str, ...]:
        parameters = [resolved(document, parameter) for parameter in operation.get("parameters", [])]
        return tuple(parameter["name"] for parameter in parameters if parameter["in"] == "query")

    documented = {
        (method, path.replace("{image_id}", "{id}"), in_query(operation))
        for method, path, operation in operations(document)
    }
    assert table == documented


def test_the_contracts_table_of_errors_is_the_codes() -> None:
    rows = re.findall(r"^\| (\d{3}) \| ([^|]+) \|", CONTRACT.read_text(), re.MULTILINE)
    table = {(int(status), code) for status, codes in rows for code in re.findall(r"`([\w-]+)`", codes)}
    assert table == {(status, kind.code) for kind, status in problems.STATUS.items()}


def test_each_type_has_a_short_name_of_its_own(document: dict[str, Any]) -> None:
    """Of two types with one name, pydantic makes names of whole module paths."""
    assert [name for name in document["components"]["schemas"] if "__" in name] == []
