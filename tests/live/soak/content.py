"""Content that tells to which request and place it belongs, and what one end of a connection found out about it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

_BLOCK = random.Random(20261128).randbytes(1 << 16)


def content(serial: int, size: int) -> Iterator[bytes]:
    """Make the content of one request: no two requests, and no two blocks of a request, have equal octets."""
    prefix, count = serial.to_bytes(8, "little"), 0
    while size > 0:
        piece = (prefix + count.to_bytes(8, "little") + _BLOCK)[:size]
        yield piece
        size -= len(piece)
        count += 1


class Digest:
    """Octets that were received: their number and their hash."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    def take(self, data: bytes) -> None:
        """Add octets."""
        self.size += len(data)
        self._hash.update(data)

    def fault(self, serial: int, size: int) -> str:
        """Compare with the content of a request.

        Returns:
            The difference; "" where there is none.
        """
        if self.size != size:
            return f"{self.size} octets in place of {size}"
        expected = hashlib.sha256()
        for piece in content(serial, size):
            expected.update(piece)
        return "" if expected.digest() == self._hash.digest() else f"other octets than the {size} that were sent"


def random_size(rng: random.Random, most: int = 1 << 20) -> int:
    """Choose a size: 0, or a size whose number of digits is uniform."""
    if rng.random() < 0.05:
        return 0
    bits = rng.uniform(0.0, most.bit_length() - 1)
    return min(most, int(2.0**bits))
