"""The files that browsers need to decode: the split decoder of each model, and the runtime.

The runtime is fetched while the service runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from threading import Lock, Thread

from prompt_api.models.browser_runtime import RUNTIME
from prompt_api.models.interface import SplitDecoder
from shared.contract.errors import ModelNotFound, SamCacheError
from shared.contract.models import Model

RETRY_SECONDS = 300.0
"""Seconds after a failed fetch of the runtime during which it is not tried again."""

_log = logging.getLogger(__name__)


class BrowserStatus(StrEnum):
    """Whether browsers can decode."""

    READY = "ready"
    FETCHING = "fetching"
    UNAVAILABLE = "unavailable"


class BrowserDecoding:
    """The decoders and the runtime for browsers, and whether they are ready. Safe for threads."""

    def __init__(
        self,
        decoders: Mapping[str, SplitDecoder],
        locate_runtime: Callable[[], Path],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        decoders: by model name, the split decoder of each model that has one.
        locate_runtime: returns the folder of the runtime's files. It may take minutes, and may raise `SamCacheError`.
        clock: returns monotonic seconds.
        """
        self._decoders = dict(decoders)
        self._locate = locate_runtime
        self._clock = clock
        self._lock = Lock()
        self._fetching: Thread | None = None
        self._folder: Path | None = None
        self._failure = ""
        self._failed_at = 0.0

    def start(self) -> None:
        """Fetch the runtime on a thread of its own, and return at once. Do nothing if no model has a decoder."""
        with self._lock:
            if self._decoders and self._fetching is None and self._folder is None:
                self._fetching = Thread(target=self._fetch, name="fetch the browser runtime", daemon=True)
                self._fetching.start()

    def status(self, model: Model) -> tuple[BrowserStatus, str | None]:
        """Return whether browsers can decode with `model`, and if they cannot (yet), a sentence that says why."""
        if model.name not in self._decoders:
            return BrowserStatus.UNAVAILABLE, f"model {model.name} has no decoder for browsers"
        with self._lock:
            folder, given_up = self._folder, self._fetching is None
            failure = self._failure if self._clock() - self._failed_at < RETRY_SECONDS else ""
        if folder is not None:
            return BrowserStatus.READY, None
        if given_up and failure:
            return BrowserStatus.UNAVAILABLE, failure
        self.start()
        return BrowserStatus.FETCHING, "the service is fetching the files that browsers need"

    def decoder(self, model: Model) -> SplitDecoder | None:
        return self._decoders.get(model.name)

    def part(self, model: Model, digest: str, name: str) -> Path:
        """Return the path of one file of the split decoder.

        Raises:
            ModelNotFound: there is no file of that name, or the model has another decoder now.
        """
        decoder = self._decoders.get(model.name)
        if decoder is None or decoder.digest != digest or name not in decoder.parts:
            raise ModelNotFound(f"model {model.name!r} has no such decoder file, or has another decoder now")
        return decoder.parts[name]

    def runtime_folder(self, version: str) -> Path | None:
        """Return the folder of the runtime's files, or None if that version is not there."""
        with self._lock:
            return self._folder if version == RUNTIME.version else None

    def _fetch(self) -> None:
        folder, failure = None, ""
        try:
            folder = self._locate()
        except SamCacheError as error:
            failure = error.detail
            _log.warning("browsers cannot decode: %s", failure)
        except Exception:
            failure = "the files that browsers need could not be fetched; the service's log says why"
            _log.exception("browsers cannot decode")
        with self._lock:
            self._folder, self._failure, self._failed_at, self._fetching = folder, failure, self._clock(), None
