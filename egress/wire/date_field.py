"""The Date field that a proxy adds to a response without one (RFC 9110 section 6.6.1)."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate

from attrs import define, field


@define(eq=False)
class DateField:
    """Formats the current time, once a second at most.

    Args:
        now: the time of day, in seconds since the epoch.
    """

    _now: Callable[[], float]
    _second: int = field(default=-1, init=False)
    _line: bytes = field(default=b"", init=False)

    def __call__(self) -> bytes:
        """Return the field line of the current second, with its CRLF."""
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._line = b"Date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii")
        return self._line
