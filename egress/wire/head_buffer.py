"""Buffers the octets of one head that arrives in pieces, and reports its first fault in wire order.

Each octet is examined a bounded number of times, however slowly the head arrives. The reported fault does not depend on
how the octets were split: every check belongs to a position in the stream, and the earliest position wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import define, field, frozen

from egress.errors import ProtocolError

_NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
_FIELD_LINE = _NAME + rb":" + _VALUE + rb"\r\n"
FIELD_LINES = rb"((?:" + _FIELD_LINE + rb")*+)"
"""A pattern with one group: any number of field lines (RFC 9112 section 5)."""

# What `egress.wire.response_repair` repairs: blanks before the colon, and continuations of the line before.
_REPAIRABLE_LINE = rb"(?:" + _NAME + rb"[\t ]*+:|[\t ]++[\x21-\x7e\x80-\xff])" + _VALUE

_is_field_line = re.compile(_FIELD_LINE).fullmatch
_match_lines = {end: re.compile(rb"(?:" + _REPAIRABLE_LINE + end + rb")*+").match for end in (b"\r\n", b"\n")}
_is_repairable_line = re.compile(_REPAIRABLE_LINE + rb"\r\n").fullmatch
_is_token = re.compile(_NAME).fullmatch
_has_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search


@frozen(eq=False)
class HeadRules:
    """The checks of a head.

    Attributes:
        check_octet: raises ProtocolError for an octet that cannot begin a head.
        check_line: raises ProtocolError for a malformed first line; its argument ends in CRLF.
        line_limit_bytes: the longest first line; a longer line is target_too_long. None: only the limit of the head
            applies.
        field_limit: the largest number of field lines; None: only the limit of the head applies.
        allows_empty_line: one empty line may precede the first line (RFC 9112 section 2.2).
        allows_repair: the head may have the faults that `egress.wire.response_repair` repairs.
    """

    check_octet: Callable[[int], None]
    check_line: Callable[[bytes], None]
    line_limit_bytes: int | None
    field_limit: int | None
    allows_empty_line: bool
    allows_repair: bool


@define(eq=False)
class HeadBuffer:
    """The octets of one incomplete head.

    Args:
        rules: the checks of the head.
        limit_bytes: the largest number of octets of the head, blank line included.
    """

    _rules: HeadRules
    _limit_bytes: int
    _held: bytearray = field(factory=bytearray, init=False)
    _is_empty_line_skipped: bool = field(default=False, init=False)
    # Offsets: the end of the last line that was checked, and where the search for the next LF begins.
    _checked: int = field(default=0, init=False)
    _searched: int = field(default=0, init=False)
    _lines: int = field(default=0, init=False)
    # How every line of the head ends, as the first line does.
    _line_end: bytes = field(default=b"\r\n", init=False)

    @property
    def is_begun(self) -> bool:
        """Whether octets of a head are buffered. A preceding empty line does not count."""
        return bool(self._held)

    def add(self, data: bytes) -> bytes | None:
        """Add octets.

        Returns:
            The head with its blank line, once it is complete and every line was checked; else None.

        Raises:
            ProtocolError: the first fault. Each further call raises the error again.
        """
        held = self._held
        held += data
        if self._lines == 0 and not self._check_start():
            return None
        while (at := held.find(b"\n", self._searched)) >= 0:
            end = at + 1
            self._check_length(end)
            line = bytes(held[self._checked : end])
            if line == self._line_end:
                return bytes(held[:end])
            self._check_line(line)
            self._lines += 1
            self._checked = self._searched = end
            if self._rules.allows_repair and self._rules.field_limit is None:
                self._skip_lines()
        self._searched = len(held)
        self._check_length(len(held))
        return None

    def rest(self) -> bytes:
        """Return the octets that followed the head that `add` returned."""
        return bytes(self._held[self._checked + len(self._line_end) :])

    def _check_start(self) -> bool:
        """Skip one empty line where the rules allow it, and check the first octet; False while that is missing."""
        held = self._held
        if held[:1] == b"\r" and self._rules.allows_empty_line and not self._is_empty_line_skipped:
            if len(held) == 1:
                return False
            if held[1] == 0x0A:
                del held[:2]
                self._is_empty_line_skipped = True
        if not held:
            return False
        self._rules.check_octet(held[0])
        return True

    def _check_length(self, octets: int) -> None:
        """Check the length of the head up to the end of a line, or of the buffered octets."""
        line_limit = self._rules.line_limit_bytes
        if self._lines == 0 and line_limit is not None and octets > line_limit <= self._limit_bytes:
            raise ProtocolError("target_too_long", "the request line is too long")
        if octets > self._limit_bytes:
            raise ProtocolError("head_too_large", "the head is too large")

    def _skip_lines(self) -> None:
        """Pass over all complete lines without fault at once: a head without limit of its fields may have many."""
        held, begin = self._held, self._checked
        end = min(held.rfind(b"\n", begin) + 1, self._limit_bytes)
        # `_check_line` refuses a first field line that continues nothing.
        if begin < end and not (self._lines == 1 and held[begin] in b" \t"):
            match = _match_lines[self._line_end](held, begin, end)
            assert match is not None, "the pattern matches no line too"
            if match.end() > begin:
                self._lines += 1
                self._checked = self._searched = match.end()

    def _check_line(self, line: bytes) -> None:
        allows_repair = self._rules.allows_repair
        if self._lines == 0 and allows_repair and not line.endswith(b"\r\n"):
            self._line_end = b"\n"
            line = line[:-1] + b"\r\n"
        elif self._line_end == b"\n":
            if b"\r" in line:
                raise ProtocolError("bad_head", "a line holds CR although the first line ends in LF alone")
            line = line[:-1] + b"\r\n"
        elif not line.endswith(b"\r\n"):
            raise ProtocolError("bad_head", "a line ends in LF without CR")
        if self._lines == 0:
            self._rules.check_line(line)
            return
        limit = self._rules.field_limit
        if limit is not None and self._lines > limit:
            raise ProtocolError("head_too_large", "the head has too many fields")
        if _is_field_line(line):
            return
        is_repairable = allows_repair and not (self._lines == 1 and line[:1] in b" \t")
        if not is_repairable or not _is_repairable_line(line):
            raise ProtocolError("bad_head", _field_fault(line[:-2]))


def _field_fault(line: bytes) -> str:
    """Describe the fault of a malformed field line (RFC 9112 section 5)."""
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
        return "there are blanks between a field's name and its colon"
    if not _is_token(name):
        return "a field's name is not a token"
    return "a field line is malformed"
