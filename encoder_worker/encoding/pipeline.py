"""Runs the three stages of an encoding side by side, so that the encoder never waits while there is work.

threads: load, decode, resize  →  one begins batches  →  one waits for them  →  threads: pack, store, publish
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from encoder_worker.encoding.device_lost import DeviceLost
from encoder_worker.encoding.encode import EncodeImage, Prepared
from shared.contract.errors import EncodeFailed
from shared.contract.keys import EmbeddingKey
from shared.observe.tracing import carried
from shared.tensors.embedding import Tensors

PATIENCE = 0.01
"""Seconds the encoder waits for a batch to fill up while images are on their way to it."""

AHEAD = 2
"""Batches that the encoder is given at once. If it can overlap them, it computes one and has the next one ready."""

BATCHES = 2 + AHEAD
"""That are in flight at once: one is prepared, the encoder has `AHEAD`, one is stored."""

_STORERS = 4

_Finish = Callable[[Prepared, Tensors], None]
_Entry = tuple[Prepared, Future[None], _Finish]
_Wait = Callable[[], list[Tensors]]
"""Waits for the embeddings of a batch."""

_log = logging.getLogger(__name__)


class EncodePipeline:
    """Runs `EncodeImage` on many keys at once. Close it when done.

    An image fails alone: one that cannot be prepared never reaches the encoder, and when the encoder fails on a batch,
    the images of that batch are run again one by one. Only if the device is lost, all that need it end with
    `DeviceLost`.
    """

    def __init__(self, encode: EncodeImage) -> None:
        self._encode = encode
        self._decoders = ThreadPoolExecutor(encode.decoder.at_once, thread_name_prefix="decode")
        self._storers = ThreadPoolExecutor(_STORERS, thread_name_prefix="store")
        self._ready: queue.Queue[_Entry | None] = queue.Queue()
        self._begun: queue.Queue[tuple[Sequence[_Entry], _Wait] | None] = queue.Queue()
        self._free = threading.Semaphore(AHEAD)
        self._lock = threading.Lock()
        self._on_their_way = 0
        self._threads = [
            threading.Thread(target=self._run_encoder, name="encode", daemon=True),
            threading.Thread(target=self._run_collector, name="collect", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Let the threads finish what they do, then end them."""
        self._decoders.shutdown(cancel_futures=True)
        self._ready.put(None)
        for thread in self._threads:
            thread.join()
        self._storers.shutdown()

    @property
    def alone(self) -> EncodeImage:
        """The same use case, for one image at a time in the caller's thread."""
        return self._encode

    @property
    def capacity(self) -> int:
        """Keys that keep every stage busy: a batch in each, and an image for each thread that decodes."""
        batch = self._encode.encoder.batch
        return max(BATCHES * batch, self._encode.decoder.at_once + (BATCHES - 1) * batch)

    @property
    def batches(self) -> int:
        """How many batches `capacity` keys make: the last one has to wait for the others."""
        return -(-self.capacity // self._encode.encoder.batch)

    def submit(self, key: EmbeddingKey) -> Future[None]:
        """Begin to encode an image.

        In every thread that works on it, what is logged and traced belongs to the caller.

        Returns:
            A future that ends when the embedding is stored, or with the error that `EncodeImage` raises.
        """
        done: Future[None] = Future()
        with self._lock:
            self._on_their_way += 1
        try:
            self._decoders.submit(carried(self._prepare), key, done)
        except BaseException:
            with self._lock:
                self._on_their_way -= 1
            raise
        return done

    def _prepare(self, key: EmbeddingKey, done: Future[None]) -> None:
        try:
            prepared = self._encode.prepare(key)
        except BaseException as error:  # the future hands it to the caller
            done.set_exception(error)
        else:
            if prepared is None:
                done.set_result(None)
            else:
                self._ready.put((prepared, done, carried(self._encode.finish)))
        finally:
            with self._lock:
                self._on_their_way -= 1

    def _run_encoder(self) -> None:
        """Begin batches. Each of them is full as late as possible: only when the encoder can take it."""
        while True:
            self._free.acquire()
            batch = self._next_batch()
            if not batch:
                break
            self._begun.put((batch, self._begin(batch)))
        self._begun.put(None)

    def _next_batch(self) -> list[_Entry]:
        """Wait for images. Nothing means that there will be no more."""
        first = self._ready.get()
        if first is None:
            return []
        batch = [first]
        deadline = time.monotonic() + PATIENCE
        while len(batch) < self._encode.encoder.batch:
            patience = max(0.0, deadline - time.monotonic()) if self._on_their_way else 0.0
            try:
                entry = self._ready.get(timeout=patience) if patience else self._ready.get_nowait()
            except queue.Empty:
                break
            if entry is None:
                self._ready.put(None)
                break
            batch.append(entry)
        return batch

    def _begin(self, batch: Sequence[_Entry]) -> _Wait:
        """Give a batch to the encoder. What goes wrong is raised by the function that is returned."""
        try:
            return self._encode.begin([prepared for prepared, _, _ in batch]).results
        except BaseException as error:  # the thread must go on, whatever one image does to the encoder
            return partial(_raise, error)

    def _run_collector(self) -> None:
        """Wait for the batches that were begun, in their order, and hand on each one's embeddings."""
        while (begun := self._begun.get()) is not None:
            batch, wait = begun
            try:
                self._collect(batch, wait)
            except BaseException as error:  # without this thread no image would be encoded any more
                _log.exception("a batch of %d failed", len(batch))
                for _, done, _ in batch:
                    if not done.done():
                        done.set_exception(error)
            finally:
                self._free.release()

    def _collect(self, batch: Sequence[_Entry], wait: _Wait) -> None:
        try:
            results = _all(wait(), len(batch))
        except Exception as error:
            if len(batch) == 1 or isinstance(error, DeviceLost):
                for _, done, _ in batch:
                    done.set_exception(error)
                return
            _log.warning("a batch of %d failed, running its images one by one: %s", len(batch), error)
            for entry in batch:
                self._collect([entry], self._begin([entry]))
            return
        for entry, tensors in zip(batch, results, strict=True):
            self._storers.submit(_end, entry, tensors)


def _all(results: list[Tensors], count: int) -> list[Tensors]:
    if len(results) != count:
        raise EncodeFailed(f"the encoder gave {len(results)} embeddings for {count} images")
    return results


def _raise(error: BaseException) -> list[Tensors]:
    raise error


def _end(entry: _Entry, tensors: Tensors) -> None:
    prepared, done, finish = entry
    try:
        finish(prepared, tensors)
    except BaseException as error:  # the future hands it to the caller
        done.set_exception(error)
    else:
        done.set_result(None)
