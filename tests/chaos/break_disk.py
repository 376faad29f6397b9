"""No room for temporary files: bodies and answers that are too large for memory are kept there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from tests.chaos.material import image_id, padded
from tests.chaos.scenery import Scenery

LARGE = 2_000_000
"""Bytes of an upload that does not stay in memory."""


@contextmanager
def full_scratch(scenery: Scenery) -> Iterator[None]:
    """Large uploads and large answers come, as whole as ever or with a refusal that says why."""
    scenery.stack.scratch.fill()
    seen = []
    try:
        for kept in scenery.kept[:3]:
            data = padded(scenery.material.fresh(kept.scene), LARGE)
            answer = scenery.client.upload(data)
            if answer.status in (200, 202):
                scenery.load.follow_beside(scenery.ledger.acknowledge(image_id(data)))
            embedding = scenery.client.checked_embedding(scenery.material, kept.scene, kept.image_id)
            seen += [str(answer.code or answer.status), str(embedding.code or embedding.status)]
        ready = _readiness(scenery)
        if ready != "503":
            scenery.injected.broken.append(f"/readyz was answered {ready} without room for temporary files")
        scenery.stay()
    finally:
        scenery.stack.scratch.drain()
    scenery.injected.note = "large uploads and answers: " + ", ".join(seen)
    yield


def _readiness(scenery: Scenery) -> str:
    with closing(HTTPConnection(urlsplit(scenery.stack.url).netloc, timeout=10)) as connection:
        try:
            connection.request("GET", "/readyz")
            return str(connection.getresponse().status)
        except (OSError, HTTPException) as error:
            return type(error).__name__
