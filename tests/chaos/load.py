"""A steady load: uploads and everything jobs that are followed to their end, and prompts on images that stay."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from tests.chaos.client import Answer, Client
from tests.chaos.ledger import End, Ledger, Search, Upload
from tests.chaos.material import Material, Scene, image_id

IN_MEMORY = "masks, image in memory"
"""The route name under which one client's prompts on one image, always the same image, are recorded."""

LOST_AFTER = 120.0
"""Seconds after which an upload or an everything job without an end counts as lost."""

_LAST_REQUEST = 10.0
"""Seconds to wait for a client's last request."""

_LISTENING = 0.3
"""Fraction of uploads whose clients listen to events before they ask for the status."""

_LISTENING_SECONDS = 10.0

_WHOLE = 0.5
"""Fraction of uploads of which no region is asked for. A region takes a worker as long as an image."""

_AT_ONCE = 0.5
"""Fraction of everything jobs that are asked for before the image is encoded."""

_LONGEST_PAUSE = 0.5
_FAILED = "encode-failed"
"""Code of an upload's answer that means: the upload was accepted, and it failed while the answer was held."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The number of clients of each kind, and the seconds that each pauses between requests."""

    lives: int
    life_pause: float
    prompters: int
    prompt_pause: float
    searchers: int
    search_pause: float


@dataclass(slots=True)
class Kept:
    """An image that is prompted for the whole run. It is uploaded again when it is lost."""

    scene: Scene
    data: bytes

    @property
    def image_id(self) -> str:
        return image_id(self.data)


class Load:
    """Clients in threads; a context manager. On exit it waits until all acknowledged uploads and jobs have ended."""

    def __init__(
        self, url: str, ledger: Ledger, material: Material, *, kept: Sequence[Kept], pace: Pace, seed: int
    ) -> None:
        """
        Args:
            kept: images that the service has already encoded.
        """
        self._url = url
        self._ledger = ledger
        self._material = material
        self._kept = kept
        self._stop = threading.Event()
        self._abandoned = threading.Event()
        self._restoring = {one.image_id: threading.Lock() for one in kept}
        self._threads: list[threading.Thread] = []
        self._broken: list[BaseException] = []
        for number in range(pace.lives):
            self._add(self._live, random.Random(seed + number), pace.life_pause)
        for number in range(pace.prompters):
            self._add(self._prompt, random.Random(seed + 1000 + number), pace.prompt_pause)
        for number in range(pace.searchers):
            self._add(self._search, random.Random(seed + 3000 + number), pace.search_pause)
        self._add(self._prompt_in_memory, random.Random(seed + 2000), pace.prompt_pause)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        if kind is not None:
            self._abandoned.set()
        for thread in self._threads:
            thread.join(_LAST_REQUEST if kind is not None else LOST_AFTER + _LAST_REQUEST)

    def require_whole(self) -> None:
        """Return if no client of the load has failed.

        Raises:
            RuntimeError: a client failed, which is a bug of the load.
        """
        if self._broken:
            raise RuntimeError("a client of the load failed") from self._broken[0]

    def follow_beside(self, upload: Upload) -> None:
        """Follow an upload to its end in a new thread."""

        def follow() -> None:
            client = Client(self._url, self._ledger)
            self.follow(client, upload)
            client.close()

        thread = threading.Thread(target=self._guarded, args=(follow,), name="follow", daemon=True)
        self._threads.append(thread)
        thread.start()

    def upload(self, client: Client, data: bytes, *, wait: float = 0, poison: bool = False) -> Upload | None:
        """Send the image until the service acknowledges it. None if the load ends first or the refusal is final."""
        while not self._stop.is_set():
            answer = client.upload(data, wait)
            if answer.status in (200, 202) or answer.code == _FAILED:
                upload = self._ledger.acknowledge(image_id(data), poison=poison)
                if answer.code is not None:
                    self._ledger.settle(upload, End.FAILED, answer.code)
                elif answer.status == 200:
                    self._ledger.settle(upload, End.READY)
                return upload
            if answer.status is not None and answer.status < 500 and not answer.gone:
                return None
            self._rest(answer)
        return None

    def follow(self, client: Client, upload: Upload, wait: float = 1.0) -> None:
        """Ask for the image's status until its end is known, and record the end. Give up after `LOST_AFTER`."""
        deadline = upload.acknowledged + LOST_AFTER
        while upload.end is None and time.monotonic() < deadline and not self._abandoned.is_set():
            answer = client.status(upload.image_id, wait)
            if answer.gone:
                self._ledger.settle(upload, End.GONE, answer.code)
            elif answer.status == 200 and answer.document["status"] == "ready":
                self._ledger.settle(upload, End.READY)
            elif answer.status == 200 and answer.document["status"] == "failed":
                self._ledger.settle(upload, End.FAILED, answer.document["error"]["code"])
            elif answer.status != 200:
                self._rest(answer)
            elif not wait:
                time.sleep(_LONGEST_PAUSE)

    def search(self, client: Client, image_id: str) -> Search | None:
        """Ask for every mask until the service acknowledges the job. None if the load ends or the image is gone."""
        while not self._stop.is_set():
            answer = client.search(image_id)
            if answer.status in (200, 202):
                return self._ledger.acknowledge_search(image_id, answer.document["job"])
            if answer.status is not None and answer.status < 500:
                return None
            self._rest(answer)
        return None

    def follow_search(self, client: Client, scene: Scene, search: Search, wait: float = 1.0) -> None:
        """Look at the job until its end is known, and record the end. Give up after `LOST_AFTER`."""
        deadline = search.acknowledged + LOST_AFTER
        while search.end is None and time.monotonic() < deadline and not self._abandoned.is_set():
            answer = client.checked_job(self._material, scene, search.image_id, search.job, wait)
            status = answer.document["status"] if answer.status == 200 else None
            if answer.gone:
                self._ledger.settle(search, End.GONE, answer.code)
            elif status == "done":
                self._ledger.settle(search, End.READY)
            elif status == "failed":
                self._ledger.settle(search, End.FAILED, answer.document["error"]["code"])
            elif status == "stopped":
                self._ledger.settle(search, End.STOPPED)
            elif answer.status != 200:
                self._rest(answer)
            elif not wait:
                time.sleep(_LONGEST_PAUSE)

    def _search(self, client: Client, dice: random.Random, pause: float) -> None:
        """Find every mask of one image: upload, ask, follow, delete."""
        scene = dice.choice(self._material.scenes)
        upload = self.upload(client, self._material.fresh(scene))
        if upload is None:
            return
        if dice.random() >= _AT_ONCE:
            self.follow(client, upload)
        search = self.search(client, upload.image_id)
        if search is not None:
            self.follow_search(client, scene, search, wait=dice.choice((0, 1, 2)))
        self.follow(client, upload)
        if upload.end is End.READY:
            self._delete(client, upload.image_id)
        self._stop.wait(pause)

    def _live(self, client: Client, dice: random.Random, pause: float) -> None:
        """Run one image's life: upload, follow, prompt, delete."""
        scene = dice.choice(self._material.scenes)
        upload = self.upload(client, self._material.fresh(scene), wait=dice.choice((0, 0, 1, 3)))
        if upload is None:
            return
        if dice.random() < _LISTENING:
            client.listen(upload.image_id, _LISTENING_SECONDS)
        self.follow(client, upload, wait=dice.choice((0, 1, 2)))
        if upload.end is End.READY:
            for question in range(len(scene.questions)):
                if question == scene.regional and dice.random() < _WHOLE:
                    continue
                client.checked_masks(self._material, scene, upload.image_id, question, wait=dice.choice((0, 2)))
            client.checked_similar(self._material, scene, upload.image_id)
            client.checked_embedding(self._material, scene, upload.image_id)
            self._delete(client, upload.image_id)
        self._stop.wait(pause)

    def _delete(self, client: Client, name: str) -> None:
        while not self._stop.is_set():
            answer = client.delete(name)
            if answer.status == 204 or answer.gone:
                return
            self._rest(answer)

    def _prompt(self, client: Client, dice: random.Random, pause: float) -> None:
        kept = dice.choice(self._kept)
        question = dice.randrange(len(kept.scene.questions))
        answer = client.checked_masks(self._material, kept.scene, kept.image_id, question, wait=dice.choice((0, 0, 1)))
        if answer.gone:
            self._restore(client, kept)
        elif dice.random() < 0.05:
            client.close()  # another process may accept the next connection
        self._stop.wait(pause)

    def _prompt_in_memory(self, client: Client, dice: random.Random, pause: float) -> None:
        kept = self._kept[0]
        question = dice.randrange(kept.scene.regional)  # of the whole image, which stays in memory
        answer = client.checked_masks(self._material, kept.scene, kept.image_id, question)
        if answer.gone:
            self._restore(client, kept)
        self._stop.wait(pause)

    def _restore(self, client: Client, kept: Kept) -> None:
        if self._restoring[kept.image_id].acquire(blocking=False):
            try:
                upload = self.upload(client, kept.data)
                if upload is not None:
                    self.follow(client, upload)
            finally:
                self._restoring[kept.image_id].release()

    def _rest(self, answer: Answer) -> None:
        # Pause for less than the service asks: its promises must also hold for impatient clients.
        time.sleep(min(answer.retry_after or 0.1, _LONGEST_PAUSE))

    def _add(self, act: Callable[[Client, random.Random, float], None], dice: random.Random, pause: float) -> None:
        route = IN_MEMORY if act == self._prompt_in_memory else "masks"
        client = Client(self._url, self._ledger, route)

        def run() -> None:
            while not self._stop.is_set():
                act(client, dice, pause)
            client.close()

        name = act.__name__.strip("_")
        self._threads.append(threading.Thread(target=self._guarded, args=(run,), name=name, daemon=True))

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # the main thread sees it and ends the run
            self._broken.append(error)
