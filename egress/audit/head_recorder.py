"""Records the head of a sink's chain outside of the sink, where a change of the audit log does not reach it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from egress.audit.chain_head import ChainHead
from egress.audit.hash_chain import Chain
from egress.audit.journald import send_head

FILE_SECONDS = 1.0
"""The longest time in which the last lines of a log that grows are vouched for by no file."""

JOURNAL_SECONDS = 60.0
"""The same for journald."""


class HeadRecorder:
    """Keeps the head of one sink's chain, and records it in a file and with journald.

    The sink's writer thread calls `take` and `record`. Any thread may read `head`.

    Args:
        place: the sink: the path of its file, "stdout" or "journald".
        path: the file for the head, which is replaced as a whole.
        send: sends a head to journald; raises OSError.
        monotonic: a clock, in seconds.

    Attributes:
        head: the last one taken; None before the first line.
        problem: why the file could not be written the last time; "" where it was.
    """

    def __init__(
        self,
        place: str,
        path: str,
        send: Callable[[ChainHead], None] = send_head,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.head: ChainHead | None = None
        self.problem = ""
        self._place = place
        self._path = path
        self._send = send
        self._monotonic = monotonic
        self._filed: ChainHead | None = None
        self._sent: ChainHead | None = None
        self._file_due = self._journal_due = monotonic()

    @property
    def due_seconds(self) -> float | None:
        """Seconds until the head has to be recorded; None where it is recorded."""
        due = [
            *([self._file_due] if self._filed != self.head else []),
            *([self._journal_due] if self._sent != self.head else []),
        ]
        return max(0.0, min(due) - self._monotonic()) if due else None

    def take(self, chain: Chain, is_urgent: bool = False) -> None:
        """Take the head of a chain after lines were written, and record it where that is due.

        Args:
            chain: has a line.
            is_urgent: see `record`.
        """
        self.head = ChainHead((chain.head or b"").decode("ascii"), self._place, chain.writer, chain.count - 1)
        self.record(is_urgent)

    def record(self, is_urgent: bool = False) -> None:
        """Record the head where that is due.

        Args:
            is_urgent: it is due now: the segment has begun or has ended.
        """
        head, now = self.head, self._monotonic()
        if head is None:
            return
        if self._filed != head and (is_urgent or now >= self._file_due):
            self._file_due = now + FILE_SECONDS
            self._write(head)
        if self._sent != head and (is_urgent or now >= self._journal_due):
            self._journal_due = now + JOURNAL_SECONDS
            # A host need not have journald, and a busy one gets the next head.
            with suppress(OSError):
                self._send(head)
            self._sent = head

    def _write(self, head: ChainHead) -> None:
        new = f"{self._path}.new"
        try:
            # The log itself is not synchronised with the disk either: a head must not outlive its line.
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            with open(os.open(new, flags, 0o600), "wb") as stream:
                stream.write(head.encode())
            os.replace(new, self._path)
        except OSError as error:
            self.problem = error.strerror or type(error).__name__
            return
        self._filed, self.problem = head, ""
