"""`python -m bench.answer_memory`: the memory of one API process while it writes the largest answers.

Both caches are filled first: embeddings (`SAM_EMBEDDING_LRU_BYTES`) and low-res logits (`SAM_LOGITS_LRU_BYTES`).
Then two clients at once ask for 64 prompts with three masks each on an image of 50 megapixels, as polygons and logits.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from bench.photos import MEGAPIXELS, photos
from shared.contract.settings import Settings
from shared.host.process_memory import resident_bytes
from tests.support.stack import ObservedStack

_MB = 1_000_000
_IMAGE_BYTES = 27 * _MB
"""At most what a prepared image takes. The number of images that fill the cache follows from it."""

_CLIENTS = 2
_TIMEOUT = 300.0
_LOOK_SECONDS = 0.01


class _Watch:
    """Looks at the resident memory of a process until it is stopped.

    Attributes:
        most: the most seen so far, in bytes.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self.most = max(self.most, resident_bytes(self._pid) or 0)


def _post(url: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(url, body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def _grid(height: int, width: int, side: int = 8) -> list[dict[str, object]]:
    places = [
        ((2 * x + 1) * width / (2 * side), (2 * y + 1) * height / (2 * side)) for y in range(side) for x in range(side)
    ]
    return [{"points": [place], "labels": [1]} for place in places]


def main() -> None:
    settings = Settings()
    with ObservedStack({"SAM_CACHE_URL": "", "SAM_QUEUE_URL": ""}) as stack:
        (api,) = stack.pids("api")

        def now() -> str:
            return f"{(resident_bytes(api) or 0) / _MB:.0f} MB"

        def upload(data: bytes) -> str:
            _, answer = _post(f"{stack.url}/v1/images?wait=30", data)
            return str(json.loads(answer)["image_id"])

        def prompt(image_id: str, **request: object) -> tuple[int, bytes]:
            return _post(f"{stack.url}/v1/images/{image_id}/masks?wait=30", json.dumps(request).encode())

        print("started:", now())
        photo = photos()[0]
        large = upload(photo.resized(MEGAPIXELS["50 MP"]).jpeg)
        for number in range(settings.embedding_lru_bytes // _IMAGE_BYTES + 1):
            image_id = upload(photo.resized((600 + number, 900)).jpeg)
            for place in ([100, 100], [500, 300]):
                status, _ = prompt(image_id, prompts=[{"points": [place], "labels": [1]}], logits=True)
                assert status == 200, status
        print("embeddings full:", now())
        height, width = MEGAPIXELS["50 MP"]
        prompt(large, prompts=_grid(height, width), logits=True)
        prompt(large, prompts=_grid(height, width, 7), logits=True)
        print("logits full:", now())
        for form in ("polygons", "png", "rle"):
            with _Watch(api) as watch, ThreadPoolExecutor(_CLIENTS) as clients:
                began = time.monotonic()
                asked = [
                    clients.submit(prompt, large, prompts=_grid(height, width), format=form, logits=True)
                    for _ in range(_CLIENTS)
                ]
                answers = [one.result() for one in asked]
                took = time.monotonic() - began
            sizes = ", ".join(f"{status}: {len(body) / _MB:.1f} MB" for status, body in answers)
            print(f"{form}: {sizes} in {took:.1f} s; most {watch.most / _MB:.0f} MB, afterwards {now()}", flush=True)


if __name__ == "__main__":
    main()
