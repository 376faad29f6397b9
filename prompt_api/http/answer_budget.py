"""Limits the bytes of answers that one process holds at once, and the bytes of one answer.

An answer counts while it is written, while it is sent, and while its client does not read it. A large answer is written
piece by piece into memory of its own, and sent from there without a thread. This memory goes back to the system in one
piece. Answers up to `SMALL` bytes do not count, so prompts are still answered while large answers find no room.
"""

from __future__ import annotations

from io import BytesIO
from threading import Lock
from typing import Any

from shared.contract.errors import AnswerTooLarge, Overloaded

LARGEST = 96 * 1024 * 1024
"""Most bytes of the masks in one answer. Three masks for each of 64 prompts on a photo of 50 megapixels take 87 MB as
polygons and logits."""

MOST = 2 * LARGEST
"""Most bytes of all large answers together."""

SMALL = 64 * 1024

RETRY_AFTER = 2.0


class AnswerBudget:
    """The bytes that all large answers of a process hold together. Thread-safe."""

    def __init__(self, most: int = MOST, largest: int = LARGEST) -> None:
        """Args:
        most: bytes of all large answers together.
        largest: bytes of the largest answer that is written piece by piece.
        """
        self._most = most
        self._largest = largest
        self._taken = 0
        self._lock = Lock()

    @property
    def taken(self) -> int:
        """Bytes held now."""
        return self._taken

    def empty(self) -> HeldAnswer:
        """Return an answer to be written piece by piece."""
        return HeldAnswer(self, self._largest)

    def holding(self, body: bytes) -> HeldAnswer:
        """Return an answer with a finished body. It may be larger than `largest`.

        Raises:
            Overloaded: there is no room for it.
        """
        answer = HeldAnswer(self, max(self._largest, len(body)))
        try:
            answer.write(body)
        except Overloaded:
            answer.close()
            raise
        return answer

    def grow(self, size: int) -> None:
        """Take `size` more bytes.

        Raises:
            Overloaded: there is no room for them. Nothing is taken.
        """
        with self._lock:
            if self._taken + size > self._most:
                raise Overloaded("too many large answers at once; read them faster", retry_after=RETRY_AFTER)
            self._taken += size

    def release(self, size: int) -> None:
        """Give `size` bytes back."""
        with self._lock:
            self._taken -= size


class HeldAnswer(BytesIO):
    """The body of an answer. Its bytes are held until it is closed, which the server does once they are sent."""

    def __init__(self, budget: AnswerBudget, largest: int) -> None:
        super().__init__()
        self._budget = budget
        self._largest = largest
        self._held = 0

    def write(self, data: Any) -> int:
        """Append `data`.

        Raises:
            AnswerTooLarge: the answer would be larger than one may be.
            Overloaded: all answers together would be larger than they may be.
        """
        size = self.tell() + len(data)
        if size > self._largest:
            raise AnswerTooLarge(
                f"the answer has more than {self._largest} bytes; send fewer prompts at once, or ask for `rle` without "
                "`logits`",
                max_bytes=self._largest,
            )
        if size > SMALL:
            self._budget.grow(size - self._held)
            self._held = size
        return super().write(data)

    def close(self) -> None:
        held, self._held = self._held, 0
        if held:
            self._budget.release(held)
        super().close()
