"""The search for similar objects: its request and its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from samcache.errors import EmbeddingPending, ImageExpired, ImageNotFound
from samcache.http.wire import Call, Deadline, Flow, parsed
from samcache.service.flows import TRIES, answered, query_of, ready

Example = Mapping[str, Any]
"""One example as in the contract's JSON: `points` with `labels`, `box`, or `mask_token`, or `mask`; and `image_id`,
`label`."""


@dataclass(frozen=True, slots=True)
class SimilarMask:
    """One object that looks like the examples.

    Attributes:
        similarity: how much it looks like them, 0 to 1.
        score: the IoU that the model predicts for its mask.
        area: pixels that it covers.
        bbox: (x, y, width, height) of those pixels.
        payload: the mask in the format that was asked for; docs/http-api.md describes each.
        token: a later prompt refines this mask with it, as its `mask_token`. A later search takes it as an example.
        point: (x, y) of the point that gave it, in pixels of the original.
    """

    similarity: float
    score: float
    area: int
    bbox: tuple[int, int, int, int]
    payload: Any
    token: str
    point: tuple[float, float]

    @classmethod
    def parse(cls, document: Mapping[str, Any], form: str) -> Self:
        left, top, width, height = (int(value) for value in document["bbox"])
        x, y = document["point"]
        return cls(
            similarity=float(document["similarity"]),
            score=float(document["score"]),
            area=int(document["area"]),
            bbox=(left, top, width, height),
            payload=document[form],
            token=str(document["mask_token"]),
            point=(float(x), float(y)),
        )


@dataclass(frozen=True, slots=True)
class Similar:
    """The answer to a search.

    Attributes:
        width: pixels of the original, EXIF orientation applied.
        height: pixels of the original, EXIF orientation applied.
        masks: by falling similarity.
        truncated: whether there may be more: `limit`, the time limit of a search or the rate limit ended it.
        timing: the `Server-Timing` header: how many milliseconds each stage took in the service.
    """

    image_id: str
    model: str
    width: int
    height: int
    masks: list[SimilarMask]
    truncated: bool
    timing: str = ""

    @classmethod
    def parse(cls, document: Mapping[str, Any], form: str, timing: str = "") -> Self:
        return cls(
            image_id=str(document["image_id"]),
            model=str(document["model"]),
            width=int(document["width"]),
            height=int(document["height"]),
            masks=[SimilarMask.parse(mask, form) for mask in document["masks"]],
            truncated=bool(document["truncated"]),
            timing=timing,
        )


def find_similar(
    image_id: str,
    examples: Sequence[Example],
    model: str | None,
    deadline: Deadline,
    *,
    form: str,
    options: Mapping[str, Any],
    data: bytes | None = None,
    others: Mapping[str, bytes] | None = None,
) -> Flow[Similar]:
    """What looks like the examples. If an embedding is missing, wait for it, or upload that image again.

    Args:
        options: the other members of the request; docs/http-api.md has them.
        data: the file's bytes of the image that is searched, to upload if the service does not have it.
        others: those of the examples' images, by id.

    Raises:
        InvalidPrompt: an example, an excluded mask or an option is invalid.
        ImageNotFound, ImageExpired: the service does not have one of the images, and its bytes were not given.
    """
    files = {**(others or {}), **({} if data is None else {image_id: data})}
    images = dict.fromkeys([image_id, *(str(one["image_id"]) for one in examples if one.get("image_id") is not None)])
    request = {"examples": list(examples), "format": form, **options}
    body = json.dumps(request, separators=(",", ":")).encode()
    call = Call(
        "POST",
        f"/v1/images/{image_id}/similar",
        query_of(model),
        body,
        "application/json",
        seconds=deadline.left(),
    )
    tries = TRIES
    while True:
        tries -= 1
        try:
            reply = yield from answered(call, deadline)
            break
        except EmbeddingPending:
            if tries == 0:
                raise
        except (ImageNotFound, ImageExpired):
            if tries == 0 or not files:
                raise
        for one in images:
            yield from ready(one, files.get(one), model, deadline)
    timing = reply.headers.get("server-timing", "")
    return parsed(reply, lambda document: Similar.parse(document, form, timing))
