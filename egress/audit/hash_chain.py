"""The hash chain of sealed lines, which shows changes of an audit log.

The run of one writer on one file is a segment. Each line of a segment ends with `seq`, counted from 0, and `prev`, the
SHA-256 of the line before. The first line also has the writer's id. The `prev` of the first line is the hash of the
last line of the previous file, or of the last line that the file already contained. The last line, written when the
segment ends in order, has `sum`: the SHA-256 of the line without `sum`, because no later line contains the hash of the
last line.

The chain has no key: a process that may write the file can compute a new chain. A hash stored elsewhere reveals a new
chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

_EVENT_OFFSET = len(b'{"schema":1,"timestamp":"2026-01-01T00:00:00.000000Z",')
_STOP = b'"event":"stop"'


def digest(line: bytes) -> bytes:
    """Return the hash of a line without its line end, in hex."""
    return sha256(line).hexdigest().encode("ascii")


class Chain:
    """Seals the lines of one segment.

    Seals are provisional until `commit`, because a sink may write fewer lines than requested.

    Args:
        writer: the segment's id: 32 hex digits.
        previous: the hash of the line before the segment; None without such a line.

    Attributes:
        head: the hash of the last committed line; that of the line before the segment while there is none.
        writer: the segment's id.
        count: the number of committed lines.
    """

    def __init__(self, writer: str, previous: bytes | None) -> None:
        self.head = previous
        self.writer = writer
        self.count = 0
        self._proposed: list[bytes] = []

    def seal(self, lines: Sequence[bytes], is_last: bool = False) -> list[bytes]:
        """Seal lines that follow the committed lines.

        Args:
            lines: JSON objects in ASCII that `egress.audit.encoder` made.
            is_last: whether the segment ends with these lines. A line with the event "stop" always ends the segment.
        """
        sealed: list[bytes] = []
        self._proposed = proposed = []
        head, count = self.head, self.count
        for line in lines:
            writer = f',"writer":"{self.writer}"'.encode("ascii") if count == 0 else b""
            prev = b"null" if head is None else b'"%s"' % head
            whole = b'%s%s,"seq":%d,"prev":%s}' % (line[:-1], writer, count, prev)
            if is_last or line.startswith(_STOP, _EVENT_OFFSET):
                whole = b'%s,"sum":"%s"}' % (whole[:-1], digest(whole))
            head = digest(whole)
            count += 1
            proposed.append(head)
            sealed.append(whole)
        return sealed

    def commit(self, taken: int) -> None:
        """Confirm that the first `taken` lines of the last `seal` are written or will be."""
        if taken:
            self.head = self._proposed[taken - 1]
            self.count += taken
