"""The slot for a request that carries an image, and who sends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prompt_api.http.gate import client, namespace, spend
from prompt_api.http.routes.images import UPLOAD_TURN
from prompt_api.http.services import services
from prompt_api.integrations.label_studio.asker import Asker
from shared.contract.errors import Overloaded


@contextmanager
def upload_slot() -> Iterator[None]:
    """Hold one of the upload slots inside the block, so that few images are in memory at once.

    Raises:
        Overloaded: none was free in time.
    """
    slots = services().uploads
    if not slots.acquire(timeout=UPLOAD_TURN):
        raise Overloaded("too many uploads at once", retry_after=2)
    try:
        yield
    finally:
        slots.release()


def asker() -> Asker:
    """Return the client of the current request."""
    return Asker(namespace(), client(), spend)
