"""A stand-in for Label Studio: a server with scripted answers, and the requests the real one sends to ML backends."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from shared.contract.keys import image_key
from tests.support.world import World, png

Answer = tuple[int, dict[str, str], bytes]


class Asked(list[tuple[str, str, str | None]]):
    """(method, path, Authorization) of each request."""


class Background(ThreadPoolExecutor):
    """One thread that fetches images ahead of time. A test can wait for it."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)

    def finish(self) -> None:
        """Return once all work submitted so far is done."""
        self.submit(int).result()


@contextmanager
def studio(answer: Callable[[str, str, str | None], Answer]) -> Iterator[tuple[str, Asked]]:
    """Run a server on a free port that answers with `answer`. Yields its address and the requests it received."""
    asked = Asked()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.command, self.path, self.headers["Authorization"]))
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            status, headers, body = answer(*asked[-1])
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that the server looks for

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


WIDTH, HEIGHT = 120, 80
PICTURE = png(WIDTH, HEIGHT)
IMAGE_ID = hashlib.sha256(PICTURE).hexdigest()
DATA_URL = "data:image/png;base64," + base64.b64encode(PICTURE).decode()

BRUSH = """<View>
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="mask" toName="image"><Label value="Cup"/><Label value="Spoon"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Cup" smart="true"/></KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true"><Label value="Cup" smart="true"/></RectangleLabels>
</View>"""

# As Label Studio 1.23.2 sends them, with the coordinates of the picture above.
TASK: dict[str, Any] = {
    "id": 3,
    "data": {"image": DATA_URL},
    "annotations": [],
    "drafts": [{"id": 2, "user": "annotator@example.com", "result": [], "lead_time": 13.066, "task": 3}],
}
STORED: dict[str, Any] = {**TASK, "data": {"image": "/data/upload/1/a.png"}}
POINT: dict[str, Any] = {
    "original_width": WIDTH,
    "original_height": HEIGHT,
    "image_rotation": 0,
    "value": {"x": 40.0, "y": 37.5, "width": 0.2302820955670697, "labels": ["Cup"], "keypointlabels": ["Cup"]},
    "is_positive": True,
    "id": "0vyV6P3Dgr",
    "from_name": "point",
    "to_name": "image",
    "type": "keypointlabels",
    "origin": "manual",
}
RECTANGLE: dict[str, Any] = {
    "original_width": WIDTH,
    "original_height": HEIGHT,
    "image_rotation": 0,
    "value": {"x": 20.0, "y": 20.0, "width": 40.0, "height": 40.0, "rotation": 0, "rectanglelabels": ["Cup"]},
    "id": "UzEBGKbrCD",
    "from_name": "box",
    "to_name": "image",
    "type": "rectanglelabels",
    "origin": "manual",
}


def request(
    *drawn: dict[str, Any], task: dict[str, Any] = TASK, config: str = BRUSH, context: bool = True
) -> dict[str, Any]:
    return {
        "tasks": [task],
        "project": "3.1795371596",
        "label_config": config,
        "params": {"login": None, "password": None, "context": {"result": [*drawn]} if context else None},
    }


def task_of(picture: bytes) -> dict[str, Any]:
    return {**TASK, "data": {"image": "data:image/png;base64," + base64.b64encode(picture).decode()}}


def taken_in(world: World, pictures: Iterable[bytes]) -> int:
    """How many of `pictures` the service has stored."""
    return sum(world.store.exists(image_key(hashlib.sha256(one).hexdigest())) for one in pictures)
