"""The client's flows with scripted answers and a fake clock: which requests, in which order, and when they give up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from samcache.errors import (
    ConnectionDropped,
    EmbeddingPending,
    EncodeFailed,
    EverythingFailed,
    ImageExpired,
    ImageNotFound,
    ImageTooLarge,
    InvalidImage,
    InvalidPrompt,
    ModelNotFound,
    Overloaded,
    RateLimited,
    ServiceUnreachable,
    StoreUnavailable,
    UnexpectedAnswer,
)
from samcache.http.wire import Call, Deadline, Flow, Reply
from samcache.service import flows

DATA = b"an image"
ID = flows.image_id_of(DATA)


class Service:
    """Answers a flow's calls from a script. Its clock moves only when the flow waits."""

    def __init__(self, *script: Reply | Exception) -> None:
        self.calls: list[Call] = []
        self.now = 0.0
        self._script: Iterator[Reply | Exception] = iter(script)

    def deadline(self, seconds: float = 100.0) -> Deadline:
        return Deadline.after(seconds, lambda: self.now)

    def run(self, flow: Flow[Any]) -> Any:
        try:
            call = next(flow)
            while True:
                self.calls.append(call)
                self.now += call.after
                answer = next(self._script)
                call = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
        except StopIteration as end:
            return end.value

    @property
    def asked(self) -> list[str]:
        return [f"{call.method} {call.path.replace(ID, '{id}')}" for call in self.calls]


def image(status: str, http: int = 200, **fields: Any) -> Reply:
    body = {"image_id": ID, "model": "m", "status": status, "width": 4, "height": 3, **fields}
    return Reply(http, {"retry-after": "1"} if status in ("queued", "encoding") else {}, json.dumps(body).encode())


def problem(status: int, code: str, retry: str | None = None, **extra: Any) -> Reply:
    body = {"type": "t", "title": "t", "status": status, "code": code, "detail": f"the {code} sentence", **extra}
    return Reply(status, {} if retry is None else {"retry-after": retry}, json.dumps(body).encode())


def masks(count: int = 1, **fields: Any) -> Reply:
    mask = {"score": 0.5, "area": 1, "bbox": [0, 0, 1, 1], "rle": {"size": [3, 4], "counts": "0"}, "mask_token": "r"}
    body = {"image_id": ID, "model": "m", "width": 4, "height": 3, "results": [{"masks": [mask]}] * count, **fields}
    return Reply(200, {"server-timing": "decode;dur=3"}, json.dumps(body).encode())


NOT_FOUND = problem(404, "image-not-found")


def test_a_known_image_is_not_sent() -> None:
    service = Service(image("ready"))
    found = service.run(flows.upload(DATA, None, service.deadline()))
    assert service.asked == ["GET /v1/images/{id}"]
    assert (found.sent, found.size) == (False, (3, 4))


def test_an_unknown_image_is_sent_once() -> None:
    service = Service(NOT_FOUND, image("queued", 202))
    found = service.run(flows.upload(DATA, "m", service.deadline()))
    assert service.asked == ["GET /v1/images/{id}", "POST /v1/images"]
    assert service.calls[1].body == DATA
    assert all(call.query["model"] == "m" for call in service.calls)
    assert found.sent


@pytest.mark.parametrize("gone", [NOT_FOUND, problem(410, "image-expired")])
def test_waiting_sends_what_the_service_does_not_have(gone: Reply) -> None:
    service = Service(gone, image("queued", 202), image("encoding"), image("ready"))
    assert service.run(flows.ready(ID, DATA, None, service.deadline())).sent
    assert service.asked == ["GET /v1/images/{id}", "POST /v1/images", "GET /v1/images/{id}", "GET /v1/images/{id}"]
    assert [call.after for call in service.calls] == [0, 0, 1, 1]


def test_waiting_without_the_bytes_says_that_the_image_is_unknown() -> None:
    service = Service(NOT_FOUND)
    with pytest.raises(ImageNotFound):
        service.run(flows.ready(ID, None, None, service.deadline()))


def test_waiting_ends_with_the_deadline() -> None:
    service = Service(*[image("queued") for _ in range(20)])
    with pytest.raises(EmbeddingPending, match="still queued"):
        service.run(flows.ready(ID, None, None, service.deadline(10)))
    assert service.now <= 10


def test_a_remembered_failure_is_tried_once_more() -> None:
    failed = image("failed", error={"code": "encode-failed", "detail": "the worker gave up"})
    service = Service(failed, image("ready"))
    service.run(flows.ready(ID, DATA, None, service.deadline()))
    assert service.asked[1] == "POST /v1/images"
    service = Service(failed, image("queued", 202), failed)
    with pytest.raises(EncodeFailed, match="the worker gave up"):
        service.run(flows.ready(ID, DATA, None, service.deadline()))


def test_an_image_that_vanishes_each_time_is_given_up() -> None:
    gone, queued = NOT_FOUND, image("queued", 202)
    service = Service(*[gone, queued] * 3, gone)
    with pytest.raises(ImageNotFound):
        service.run(flows.ready(ID, DATA, None, service.deadline()))


@pytest.mark.parametrize(("code", "kind"), [("store-unavailable", StoreUnavailable), ("overloaded", Overloaded)])
def test_a_busy_service_is_asked_again_when_it_says_and_then_no_more(code: str, kind: type[Exception]) -> None:
    service = Service(problem(503, code, "2"), problem(503, code, "3"), image("ready"))
    service.run(flows.upload(DATA, None, service.deadline()))
    assert [call.after for call in service.calls] == [0, 2, 3]
    service = Service(*[problem(503, code, "7") for _ in range(50)])
    with pytest.raises(kind, match="sentence") as caught:
        service.run(flows.upload(DATA, None, service.deadline(1000)))
    assert service.now <= flows.RETRY_SECONDS
    assert caught.value.retry_after == 7  # type: ignore[attr-defined]


def test_a_client_over_its_rate_goes_on_when_told_until_its_own_time_is_up() -> None:
    service = Service(*[problem(429, "rate-limited", "20")] * 3, image("ready"))
    assert service.run(flows.upload(DATA, None, service.deadline(100))).status == "ready"
    assert service.now == 60
    service = Service(*[problem(429, "rate-limited", "20")] * 5)
    with pytest.raises(RateLimited):
        service.run(flows.upload(DATA, None, service.deadline(50)))
    assert service.now == 40


def test_a_proxy_without_a_service_behind_it_is_asked_again_too() -> None:
    service = Service(Reply(502, {}, b"<h1>Bad gateway</h1>"), image("ready"))
    service.run(flows.upload(DATA, None, service.deadline()))
    assert service.calls[1].after == 1


def test_a_dropped_connection_is_opened_again_once() -> None:
    service = Service(ConnectionDropped("gone"), image("ready"))
    service.run(flows.upload(DATA, None, service.deadline()))
    service = Service(ConnectionDropped("gone"), ConnectionDropped("gone"))
    with pytest.raises(ServiceUnreachable):
        service.run(flows.upload(DATA, None, service.deadline()))


@pytest.mark.parametrize("missing", [problem(410, "image-expired"), NOT_FOUND, problem(409, "embedding-pending", "1")])
def test_a_prompt_on_an_image_without_embedding_has_it_made(missing: Reply) -> None:
    service = Service(missing, NOT_FOUND, image("queued", 202), image("ready"), masks())
    found = service.run(ask(service, DATA))
    assert service.asked[0] == service.asked[-1] == "POST /v1/images/{id}/masks"
    assert "POST /v1/images" in service.asked
    assert found.timing == "decode;dur=3"


def test_a_prompt_without_the_bytes_cannot_bring_an_image_back() -> None:
    service = Service(problem(410, "image-expired"))
    with pytest.raises(ImageExpired):
        service.run(ask(service, None))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(422, "invalid-prompt", InvalidPrompt), (404, "model-not-found", ModelNotFound)],
)
def test_a_refusal_is_the_error_the_service_names(status: int, code: str, kind: type[Exception]) -> None:
    service = Service(problem(status, code, errors=[{"at": "prompts/0"}]))
    with pytest.raises(kind, match=f"the {code} sentence") as caught:
        service.run(ask(service, DATA))
    assert caught.value.extra == {"errors": [{"at": "prompts/0"}]}  # type: ignore[attr-defined]


def test_an_upload_that_is_too_large_says_what_is_accepted() -> None:
    service = Service(NOT_FOUND, problem(413, "image-too-large", max_bytes=10))
    with pytest.raises(ImageTooLarge) as caught:
        service.run(flows.upload(DATA, None, service.deadline()))
    assert caught.value.extra == {"max_bytes": 10}


@pytest.mark.parametrize(
    "reply",
    [
        problem(500, "internal-error"),
        problem(401, "a-code-of-the-future"),
        Reply(500, {}, b"oh no"),
        Reply(404, {}, b'["not a problem"]'),
        Reply(200, {}, b"<html>"),
        Reply(200, {}, b"[]"),
        Reply(200, {}, b'{"results": [{"masks": [{}]}]}'),
        masks(2),
    ],
)
def test_what_the_contract_does_not_know_is_said_to_be_so(reply: Reply) -> None:
    service = Service(reply)
    with pytest.raises(UnexpectedAnswer):
        service.run(ask(service, DATA))


def test_an_unready_service_says_what_fails() -> None:
    body = {"status": "unready", "failing": ["cache"], "checks": {"cache": "no route", "queue": "ok"}}
    found = Service(Reply(503, {}, json.dumps(body).encode())).run(flows.readiness())
    assert not found.ready
    assert found.checks["cache"] == "no route"


def ask(service: Service, data: bytes | None) -> Flow[Any]:
    prompts = [{"points": [[1.0, 1.0]], "labels": [1]}]
    return flows.masks(ID, prompts, None, service.deadline(), multimask=True, form="rle", data=data)


def test_an_image_by_url_is_asked_for_as_json() -> None:
    service = Service(image("queued"))
    found = service.run(flows.upload_url("https://images.example.org/a.jpg", "fake", service.deadline()))
    assert found.status == "queued"
    (call,) = service.calls
    assert (call.method, call.path, call.content_type) == ("POST", "/v1/images", "application/json")
    assert json.loads(call.body or b"") == {"url": "https://images.example.org/a.jpg"}


def test_a_wait_that_no_worker_will_end_says_so_each_time_and_at_the_end() -> None:
    told: list[int | None] = []
    service = Service(*[image("queued", workers=0)] * 99)
    with pytest.raises(EmbeddingPending, match="no worker of m is alive"):
        service.run(flows.ready(ID, None, None, service.deadline(7), lambda found: told.append(found.workers)))
    assert told == [0] * len(service.calls)
    now = 0.0
    for call in service.calls:  # the clock moves by the pauses alone
        now += call.after
        assert float(call.query.get("wait", 0)) <= min(flows.TOLD_EVERY, 7 - now)  # the answer comes in time
    assert now > 5


# Regions.

PART = (0, 0, 2, 2)
COMING = {"finer": {"region": PART, "status": "encoding"}, "region": None}
CLICK = [{"points": [[1, 1]], "labels": [1]}]


def finest(service: Service, seconds: float = 100.0, region: Any = "auto") -> Flow[Any]:
    return flows.finest_masks(ID, CLICK, "m", service.deadline(seconds), multimask=True, form="rle", region=region)


def test_auto_waits_for_the_region_that_suits() -> None:
    service = Service(masks(**COMING), masks(**COMING), masks(region=PART))
    found = service.run(finest(service))
    assert (found.region, found.finer) == (PART, None)
    assert all(json.loads(call.body or b"")["region"] == "auto" for call in service.calls)
    assert [float(call.query["wait"]) for call in service.calls] == [flows.MAX_WAIT] * 3
    assert [call.after for call in service.calls] == [0.0, 1.0, 1.0]


def test_what_is_not_encoded_in_time_is_answered_by_the_whole_image() -> None:
    service = Service(*[masks(**COMING)] * 3)
    found = service.run(finest(service, seconds=4.5))
    assert found.region is None
    assert (found.finer.region, found.finer.is_coming) == (PART, True)
    assert len(service.calls) == 3
    assert float(service.calls[0].query["wait"]) <= 4.5


def test_a_region_that_failed_is_not_waited_for() -> None:
    service = Service(masks(finer={"region": PART, "status": "failed"}))
    assert not service.run(finest(service)).finer.is_coming
    assert len(service.calls) == 1


def test_a_named_region_that_is_not_encoded_yet_is_waited_for() -> None:
    pending = problem(409, "embedding-pending", "1")
    service = Service(pending, image("encoding", region=PART), image("ready", region=PART), masks(region=PART))
    assert service.run(finest(service, region=PART)).region == PART
    assert service.asked == [
        "POST /v1/images/{id}/masks",
        "GET /v1/images/{id}",
        "GET /v1/images/{id}",
        "POST /v1/images/{id}/masks",
    ]
    assert [call.query.get("region") for call in service.calls] == [None, "0,0,2,2", "0,0,2,2", None]
    assert "wait" not in service.calls[0].query


def test_an_image_that_is_sent_again_has_its_region_encoded_too() -> None:
    service = Service(NOT_FOUND, image("queued", 202), image("queued", region=PART), image("ready", region=PART))
    found = service.run(flows.ready(ID, DATA, "m", service.deadline(), region=PART))
    assert found.region == PART
    assert service.asked == ["GET /v1/images/{id}", "POST /v1/images", "GET /v1/images/{id}", "GET /v1/images/{id}"]


def test_a_region_that_failed_raises_its_error() -> None:
    failed = image("failed", region=PART, error={"code": "encode-failed", "detail": "the encoder failed"})
    service = Service(failed)
    with pytest.raises(EncodeFailed, match="the encoder failed"):
        service.run(flows.ready(ID, DATA, "m", service.deadline(), region=PART))


def regions(*statuses: str) -> Reply:
    body = {"image_id": ID, "model": "m", "width": 4, "height": 3}
    found = [{"region": PART, "status": status, "queue_position": None, "error": None} for status in statuses]
    return Reply(200, {}, json.dumps({**body, "regions": found}).encode())


def test_regions_are_asked_for_until_each_is_settled() -> None:
    service = Service(regions("queued", "ready"), regions("ready", "failed"))
    found = service.run(flows.regions_ready(ID, "m", service.deadline(), corners=[PART, PART]))
    assert [one.status for one in found.regions] == ["ready", "failed"]
    assert json.loads(service.calls[0].body or b"") == {"regions": [list(PART)] * 2}


def test_regions_that_take_too_long_are_pending() -> None:
    service = Service(*[regions("queued")] * 3)
    with pytest.raises(EmbeddingPending, match="1 regions are still not encoded"):
        service.run(flows.regions_ready(ID, "m", service.deadline(2.5), around=[(0, 0, 1, 1)]))


def test_an_answer_without_every_region_is_unexpected() -> None:
    service = Service(regions("ready"))
    with pytest.raises(UnexpectedAnswer, match="1 regions"):
        service.run(flows.regions(ID, "m", service.deadline(), corners=[PART, PART]))


EVERY = [{"rle": {"size": [3, 4], "counts": "0"}, "area": 1, "bbox": [0, 0, 1, 1], "predicted_iou": 0.9}]
EVERY[0] |= {"point_coords": [[1.5, 0.5]], "stability_score": 0.97, "crop_box": [0, 0, 4, 3]}


def every(status: str, http: int = 200, **fields: Any) -> Reply:
    """An answer about an everything job."""
    body = {"job": "j" * 32, "image_id": ID, "model": "m", "status": status, "progress": 0.5, "width": 4, "height": 3}
    body |= {"masks": EVERY if status == "done" else [], "links": {"self": f"/v1/images/{ID}/everything/j"}}
    waiting = status in ("queued", "running")
    return Reply(http, {"retry-after": "1"} if waiting else {}, json.dumps(body | fields).encode())


def test_masks_that_are_there_are_one_request() -> None:
    service = Service(every("done"))
    found = service.run(flows.everything(ID, {"mode": "fast"}, "m", service.deadline()))
    assert service.asked == ["POST /v1/images/{id}/everything"]
    assert json.loads(service.calls[0].body or b"") == {"mode": "fast"}
    assert (found.masks[0].area, found.masks[0].point, found.masks[0].crop_box) == (1, (1.5, 0.5), (0, 0, 4, 3))


def test_a_job_is_followed_to_its_end_and_told_of() -> None:
    told: list[str] = []
    service = Service(every("queued", 202), every("running"), every("done"))
    flow = flows.everything(ID, {}, None, service.deadline(), on_progress=lambda job: told.append(job.status))
    assert service.run(flow).status == "done"
    assert service.asked == ["POST /v1/images/{id}/everything"] + ["GET /v1/images/{id}/everything/j"] * 2
    assert told == ["queued", "running"]


def test_an_unknown_image_is_sent_before_its_masks_are_asked_for() -> None:
    service = Service(NOT_FOUND, image("queued", 202), every("done"))
    service.run(flows.everything(ID, {}, None, service.deadline(), data=DATA))
    assert service.asked == [
        "POST /v1/images/{id}/everything",
        "POST /v1/images",
        "POST /v1/images/{id}/everything",
    ]
    service = Service(NOT_FOUND)
    with pytest.raises(ImageNotFound):
        service.run(flows.everything(ID, {}, None, service.deadline()))


def test_a_job_that_was_forgotten_is_asked_for_again() -> None:
    service = Service(every("queued", 202), problem(404, "job-not-found"), every("done"))
    assert service.run(flows.everything(ID, {}, None, service.deadline())).status == "done"
    assert service.asked[-1] == "POST /v1/images/{id}/everything"


def test_the_reason_of_a_failed_or_stopped_job_is_raised() -> None:
    error = {"code": "invalid-image", "detail": "it is cut off"}
    service = Service(every("queued", 202), every("failed", error=error))
    with pytest.raises(InvalidImage, match="it is cut off"):
        service.run(flows.everything(ID, {}, None, service.deadline()))
    service = Service(every("queued", 202), every("stopped"))
    with pytest.raises(EverythingFailed, match="stopped"):
        service.run(flows.everything(ID, {}, None, service.deadline()))


def test_a_job_without_a_mask_worker_is_given_up_at_the_deadline_with_the_reason() -> None:
    service = Service(*[every("queued", 202, workers=0)] * 9)
    with pytest.raises(EmbeddingPending, match="no mask worker of m is alive"):
        service.run(flows.everything(ID, {}, None, service.deadline(6.0)))
    assert len(service.calls) < 9
