"""CVAT's interactor as a nuclio function. It takes clicks and boxes on a frame, and returns the object's mask.

CVAT sends the frame with every click. The function asks the API by the frame's hash first, so it uploads a frame only
once. It uses only the standard library, so the function's image needs no packages.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

WAIT = 25
"""Seconds that a first click waits for the encoding. CVAT itself waits 120 s for the function."""

TIMEOUT = 40.0

REGIONS_ABOVE = 2048
"""Pixels: frames with a longer side are answered from the region that suits the click. It shows small things better."""

MOST_SIZES = 1_000
"""Frames whose sizes a worker remembers."""

NOTHING: dict[str, Any] = {"mask": [[0]], "bounds": [0, 0, 0, 0], "points": [], "shapes": []}
"""The answer where nothing is selected."""


_FORGOTTEN = (404, 410)
"""The statuses with which the API says that it does not have an image (any more)."""


class Refused(Exception):
    """The service cannot answer. The text says why, and `status` is the HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class MaskService:
    """The API of one sam-embedding-cache."""

    def __init__(
        self,
        url: str,
        token: str = "",
        model: str = "",
        regions_above: int = REGIONS_ABOVE,
        clean: Mapping[str, Any] | None = None,
    ) -> None:
        """Args:
        url: address of the API.
        token: access token for the API; empty for none.
        model: a model that the API serves; empty for its default.
        regions_above: frames whose longer side has more pixels are answered from the region that suits; 0: none are.
        clean: the API's `clean`, which says how masks are cleaned; None or empty: not at all.
        """
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._model = f"&model={quote(model)}" if model else ""
        self._regions_above = regions_above
        self._clean = clean
        self._longer_sides: dict[str, int] = {}

    def mask(self, image: bytes, prompt: dict[str, Any]) -> dict[str, Any]:
        """Return the best mask for `prompt`, as the API sends it.

        Raises:
            Refused: the API does not answer with masks.
        """
        image_id = hashlib.sha256(image).hexdigest()
        # As SAM's authors advise: ask for three masks if one point may mean a part or the whole object.
        ambiguous = len(prompt.get("points", ())) == 1 and "box" not in prompt
        request: dict[str, Any] = {"prompts": [prompt], "multimask": ambiguous}
        if 0 < self._regions_above < self._longer_side(image_id, image):
            request["region"] = "auto"
        if self._clean:
            request["clean"] = self._clean
        body = json.dumps(request).encode()
        path = f"/v1/images/{image_id}/masks?wait={WAIT}{self._model}"
        try:
            answer = self._ask("POST", path, body, "application/json")
        except Refused as refused:
            if refused.status not in _FORGOTTEN:
                raise
            self._upload(image)
            answer = self._ask("POST", path, body, "application/json")
        masks: list[dict[str, Any]] = answer["results"][0]["masks"]
        return max(masks, key=lambda mask: float(mask["score"]))

    def _longer_side(self, image_id: str, image: bytes) -> int:
        """Return the longer side of a frame in pixels. The API is asked once for each frame; it has the frame then."""
        known = self._longer_sides.get(image_id)
        if known is not None or not self._regions_above:
            return known or 0
        try:
            found = self._ask("GET", f"/v1/images/{image_id}?wait=0{self._model}")
        except Refused as refused:
            if refused.status not in _FORGOTTEN:
                raise
            found = self._upload(image)
        side = max(int(found["width"]), int(found["height"]))
        if len(self._longer_sides) >= MOST_SIZES:
            self._longer_sides.pop(next(iter(self._longer_sides)))
        self._longer_sides[image_id] = side
        return side

    def _upload(self, image: bytes) -> dict[str, Any]:
        return self._ask("POST", f"/v1/images?wait={WAIT}{self._model}", image, "application/octet-stream")

    def _ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> dict[str, Any]:
        headers = {**self._headers, **({"Content-Type": kind} if kind else {})}
        request = urllib.request.Request(self._url + path, body, headers, method=method)  # noqa: S310 - the operator's
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise Refused(error.code, _detail(error)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Refused(503, f"{self._url} does not answer: {error}") from None


def init_context(context: Any) -> None:
    """Create the worker's `MaskService`. Nuclio calls this once per worker."""
    environ = os.environ
    context.user_data.service = MaskService(
        environ["SAM_CACHE_API"],
        environ.get("SAM_CACHE_TOKEN", ""),
        environ.get("SAM_CACHE_MODEL", ""),
        int(environ.get("SAM_CACHE_REGIONS_ABOVE") or REGIONS_ABOVE),
        json.loads(environ.get("SAM_CACHE_CLEAN") or "{}"),
    )


def handler(context: Any, event: Any) -> Any:
    """Answer one request. Nuclio calls this with `image` in base64, `pos_points`, `neg_points` and maybe `obj_bbox`."""
    try:
        status, answer = 200, interact(context.user_data.service, body_of(event.body))
    except Refused as refused:
        context.logger.warn(f"no mask: {refused}")
        status, answer = refused.status, {"message": str(refused)}
    return context.Response(body=json.dumps(answer), headers={}, content_type="application/json", status_code=status)


def body_of(body: Any) -> Mapping[str, Any]:
    """Return the request's JSON. Nuclio parses it only if its type is exactly `application/json`.

    Raises:
        Refused: it is not an object.
    """
    try:
        parsed = json.loads(body) if isinstance(body, (bytes, str)) else body
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, Mapping):
        raise Refused(400, "not an interactor's request: the body is not a JSON object")
    return parsed


def interact(service: MaskService, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer that CVAT's page expects from an interactor.

    Returns:
        `mask`: rows of 0 and 1, only the part within `bounds`; `bounds`: its [left, top, right, bottom], inclusive.
        `shapes`: the same mask as the one shape of a list, which the page of 2026 reads. If there is no object, the
        list is empty, and there is an empty `points`. Without it, CVAT draws points around the mask by itself.

    Raises:
        Refused: the request is malformed, or the service cannot answer.
    """
    try:
        image = base64.b64decode(body["image"], validate=True)
        prompt = prompt_of(body.get("pos_points") or [], body.get("neg_points") or [], body.get("obj_bbox") or [])
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(400, f"not an interactor's request: {error!r}") from None
    if selects_nothing(prompt):
        return dict(NOTHING)
    best = service.mask(image, prompt)
    if not best["area"]:
        return dict(NOTHING)
    left, top, width, height = best["bbox"]
    rows = cropped(best["rle"], best["bbox"])
    bounds = [left, top, left + width - 1, top + height - 1]
    return {"mask": rows, "bounds": bounds, "shapes": [shape_of(rows, bounds)]}


def selects_nothing(prompt: dict[str, Any]) -> bool:
    """Return whether a prompt says only what is not part of the object. SAM would select just that."""
    return "box" not in prompt and bool(prompt.get("labels")) and not any(prompt["labels"])


def prompt_of(positive: list[list[float]], negative: list[list[float]], box: list[list[float]]) -> dict[str, Any]:
    """Convert CVAT's points and box (two corners in any order) to a prompt of the API."""
    prompt: dict[str, Any] = {}
    if positive or negative:
        prompt["points"] = [[float(x), float(y)] for x, y in [*positive, *negative]]
        prompt["labels"] = [1] * len(positive) + [0] * len(negative)
    if box:
        (x0, y0), (x1, y1) = box
        prompt["box"] = [float(min(x0, x1)), float(min(y0, y1)), float(max(x0, x1)), float(max(y0, y1))]
    return prompt


def cropped(rle: dict[str, Any], bbox: list[int]) -> list[list[int]]:
    """Return the rows of a mask inside its box.

    Args:
        rle: COCO's compressed run-length encoding.
        bbox: [x, y, width, height].
    """
    rows, columns = rle["size"]
    pixels = bytearray(rows * columns)  # column after column
    at = 0
    for number, count in enumerate(counts_of(rle["counts"])):
        if number % 2:
            pixels[at : at + count] = b"\x01" * count
        at += count
    x, y, width, height = bbox
    within = pixels[x * rows : (x + width) * rows]
    return [list(within[row::rows]) for row in range(y, y + height)]


def shape_of(rows: list[list[int]], bounds: list[int]) -> dict[str, Any]:
    """Return a mask as CVAT's own shape: the lengths of alternating runs, row by row, background first, and the bounds.

    It has no confidence, because the page would hide masks whose confidence is low.
    """
    runs, inside = [0], 0
    for row in rows:
        for pixel in row:
            if pixel != inside:
                runs.append(0)
                inside = pixel
            runs[-1] += 1
    return {"type": "mask", "points": [*runs, *bounds], "attributes": []}


def counts_of(text: str) -> list[int]:
    """Return the lengths of alternating runs of background and mask.

    Source: rleFrString in common/maskApi.c of cocodataset/cocoapi. Each count is in base 32 in printable characters,
    lowest digit first. From the fourth count on, the text holds the difference to the count two places before.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        value |= (digit & 0x1F) << shift
        shift += 5
        if digit & 0x20:
            continue
        if digit & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def _detail(error: urllib.error.HTTPError) -> str:
    """Return the service's own error message, or the status if there is no message."""
    try:
        return str(json.load(error)["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"the service answers with status {error.code}"
