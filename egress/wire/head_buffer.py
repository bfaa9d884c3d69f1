"""Collects the octets of one head that comes in pieces, and tells its first fault in wire order.

Each octet is looked at a bounded number of times, however slowly the head grows. What is told does not depend on how
the octets were cut: every check belongs to a place in the stream, and the earliest place wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import define, field, frozen

from egress.errors import ProtocolError

_FIELD_LINE = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n"
FIELD_LINES = rb"((?:" + _FIELD_LINE + rb")*+)"
"""A pattern with one group: any number of field lines (RFC 9112 section 5)."""

_is_field_line = re.compile(_FIELD_LINE).fullmatch
_is_token = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_has_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search


@frozen(eq=False)
class Start:
    """How the first line of a head is judged.

    Attributes:
        judge_octet: raises ProtocolError for an octet that cannot begin a head.
        judge_line: raises ProtocolError for a bad line; it is given with its CRLF.
        limit_bytes: of the line; a longer one is target_too_long. None leaves it to the limit of the head.
        can_follow_empty_line: one empty line may come before it (RFC 9112 section 2.2).
    """

    judge_octet: Callable[[int], None]
    judge_line: Callable[[bytes], None]
    limit_bytes: int | None
    can_follow_empty_line: bool


@define(eq=False)
class HeadBuffer:
    """The octets of one head so far.

    Args:
        start: how its first line is judged.
        limit_bytes: of the head, its blank line counted.
        field_limit: field lines in it.
    """

    _start: Start
    _limit_bytes: int
    _field_limit: int
    _held: bytearray = field(factory=bytearray, init=False)
    _is_empty_line_skipped: bool = field(default=False, init=False)
    _judged: int = field(default=0, init=False)
    _searched: int = field(default=0, init=False)
    _lines: int = field(default=0, init=False)

    @property
    def is_begun(self) -> bool:
        """Octets of a head are held."""
        return bool(self._held)

    @property
    def is_idle(self) -> bool:
        """Nothing was taken since the last head, not even an empty line."""
        return not self._held and not self._is_empty_line_skipped

    def add(self, data: bytes) -> bytes | None:
        """Take more octets.

        Returns:
            The head with its blank line once it is whole, every line of it judged; else None.

        Raises:
            ProtocolError: the first fault; more octets raise it again.
        """
        held = self._held
        held += data
        if self._lines == 0 and not self._has_start():
            return None
        while (at := held.find(b"\n", self._searched)) >= 0:
            end = at + 1
            self._check_length(end)
            line = bytes(held[self._judged : end])
            if line == b"\r\n":
                return bytes(held[:end])
            self._judge(line)
            self._lines += 1
            self._judged = self._searched = end
        self._searched = len(held)
        self._check_length(len(held))
        return None

    def take_rest(self) -> bytes:
        """Give what followed the head that `add` returned, and be ready for the next."""
        rest = bytes(self._held[self._judged + 2 :])
        self._held = bytearray()
        self._is_empty_line_skipped = False
        self._judged = self._searched = self._lines = 0
        return rest

    def _has_start(self) -> bool:
        """Skip the empty line that may come first and judge the first octet, where it is there."""
        held = self._held
        if held[:1] == b"\r" and self._start.can_follow_empty_line and not self._is_empty_line_skipped:
            if len(held) == 1:
                return False
            if held[1] == 0x0A:
                del held[:2]
                self._is_empty_line_skipped = True
        if not held:
            return False
        self._start.judge_octet(held[0])
        return True

    def _check_length(self, octets: int) -> None:
        """Judge how far the head has come: to the end of a line, or of what is held."""
        line_limit = self._start.limit_bytes
        if self._lines == 0 and line_limit is not None and octets > line_limit <= self._limit_bytes:
            raise ProtocolError("target_too_long", "the request line is too long")
        if octets > self._limit_bytes:
            raise ProtocolError("head_too_large", "the head is too large")

    def _judge(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise ProtocolError("bad_head", "a line ends in LF without CR")
        if self._lines == 0:
            self._start.judge_line(line)
            return
        if self._lines > self._field_limit:
            raise ProtocolError("head_too_large", "the head has too many fields")
        if not _is_field_line(line):
            raise ProtocolError("bad_head", _field_fault(line[:-2]))


def _field_fault(line: bytes) -> str:
    """Say what is wrong with a field line (RFC 9112 section 5)."""
    if b"\r" in line:
        return "a line holds CR without LF"
    if _has_control(line):
        return "a field line holds a control byte"
    if line[:1] in (b" ", b"\t"):
        return "a field is folded over more than one line"
    name, colon, _ = line.partition(b":")
    if not colon:
        return "a field line has no colon"
    if not name:
        return "a field has no name"
    if name.endswith((b" ", b"\t")):
        return "blanks stand between a field's name and its colon"
    if not _is_token(name):
        return "a field's name is not a token"
    return "a field line is malformed"
