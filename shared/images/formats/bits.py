"""Reads numbers of a few bits each, as video headers pack them."""

from __future__ import annotations


class Bits:
    """Bits from the highest of the first byte on.

    Reading beyond the end raises IndexError.
    """

    def __init__(self, data: bytes) -> None:
        self._left = 8 * len(data)
        self._number = int.from_bytes(data, "big")

    def take(self, count: int) -> int:
        """Return the next `count` bits as a number."""
        self._left -= count
        if self._left < 0:
            raise IndexError("no bits are left")
        return self._number >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """Return the next Exp-Golomb number: ue(v) of ITU-T H.265, section 9.2, and uvlc() of AV1, section 4.10.3."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros == 32:
                raise IndexError("the number has too many bits")
        return (1 << zeros) - 1 + self.take(zeros)
