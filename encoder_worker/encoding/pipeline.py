"""Runs the three stages of an encoding side by side, so that the encoder never waits while there is work.

threads: load, decode, resize  →  one thread: the encoder, in batches  →  threads: pack, store, publish
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from encoder_worker.encoding.encode import EncodeImage, Prepared
from shared.contract.errors import EncodeFailed
from shared.contract.keys import EmbeddingKey
from shared.observe.tracing import carried
from shared.tensors.embedding import Tensors

PATIENCE = 0.01
"""Seconds the encoder waits for a batch to fill up while images are on their way to it."""

BATCHES = 3
"""That are in flight at once: one in each stage."""

_STORERS = 4

_Finish = Callable[[Prepared, Tensors], None]
_Entry = tuple[Prepared, Future[None], _Finish]

_log = logging.getLogger(__name__)


class EncodePipeline:
    """Runs `EncodeImage` on many keys at once. Close it when done.

    An image fails alone: one that cannot be prepared never reaches the encoder, and when the encoder fails on a batch,
    the images of that batch are run again one by one.
    """

    def __init__(self, encode: EncodeImage) -> None:
        self._encode = encode
        self._decoders = ThreadPoolExecutor(encode.decoder.at_once, thread_name_prefix="decode")
        self._storers = ThreadPoolExecutor(_STORERS, thread_name_prefix="store")
        self._ready: queue.Queue[_Entry | None] = queue.Queue()
        self._lock = threading.Lock()
        self._on_their_way = 0
        self._thread = threading.Thread(target=self._run_encoder, name="encode", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the threads finish what they do, then end them."""
        self._decoders.shutdown(cancel_futures=True)
        self._ready.put(None)
        self._thread.join()
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
        while (first := self._ready.get()) is not None:
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
            try:
                self._embed(batch)
            except BaseException as error:  # without this thread no image would be encoded any more
                _log.exception("a batch of %d failed", len(batch))
                for _, done, _ in batch:
                    if not done.done():
                        done.set_exception(error)

    def _embed(self, batch: Sequence[_Entry]) -> None:
        try:
            results = self._results([prepared for prepared, _, _ in batch])
        except Exception as error:  # the thread must go on, whatever one image does to the encoder
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            _log.warning("a batch of %d failed, running its images one by one: %s", len(batch), error)
            for entry in batch:
                self._embed([entry])
            return
        for entry, tensors in zip(batch, results, strict=True):
            self._storers.submit(_end, entry, tensors)

    def _results(self, batch: Sequence[Prepared]) -> list[Tensors]:
        results = self._encode.embed(batch)
        if len(results) != len(batch):
            raise EncodeFailed(f"the encoder gave {len(results)} embeddings for {len(batch)} images")
        return results


def _end(entry: _Entry, tensors: Tensors) -> None:
    prepared, done, finish = entry
    try:
        finish(prepared, tensors)
    except BaseException as error:  # the future hands it to the caller
        done.set_exception(error)
    else:
        done.set_result(None)
