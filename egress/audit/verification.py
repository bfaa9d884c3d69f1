"""Checks a sealed audit log: whole, cut off, or altered, and where."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from typing import BinaryIO

from attrs import define, frozen

from egress.audit.hash_chain import digest
from egress.errors import AuditLogCorrupt

LINE_LIMIT_BYTES = 1024 * 1024

_HASH = rb"[0-9a-f]{64}"
_SEAL = re.compile(
    rb'(?:,"writer":"(?P<writer>[0-9a-f]{32})")?,"seq":(?P<seq>\d{1,18}),"prev":(?:null|"(?P<prev>'
    + _HASH
    + rb')")(?P<end>,"sum":"(?P<sum>'
    + _HASH
    + rb')")?\}\Z'
)
# Longer than any seal; the search need not read the whole line.
_SEAL_LIMIT_BYTES = 320


@frozen
class Summary:
    """What a whole audit log is made of.

    Attributes:
        lines: how many it has.
        unsealed: how many at its beginning carry no seal and cannot be checked.
        segments: how many runs of a writer.
        previous: the hash that its first sealed line gives for the file before, "" for none.
        head: the hash of its last line, to be kept elsewhere.
    """

    lines: int
    unsealed: int
    segments: int
    previous: str
    head: str


@define
class _Reading:
    """What is known after some lines.

    Attributes:
        number: of the line read last.
        head: its hash.
        sequence: its place in its segment, None where it has no seal.
        is_ended: it ended its segment.
        suspect: the number of a line without seal after a sealed one, which only the next line can explain.
        cut: where the first segment ended out of order, and how.
    """

    number: int = 0
    head: bytes | None = None
    sequence: int | None = None
    is_ended: bool = False
    suspect: int = 0
    unsealed: int = 0
    segments: int = 0
    previous: str = ""
    cut: tuple[int, str] | None = None


def verify(stream: BinaryIO, file: str) -> Summary:
    """Read an audit log from its beginning to its end, once.

    Args:
        stream: its octets.
        file: its name, for errors.

    Returns:
        What it is made of, if it is whole. `segments` is 0 where no line carries a seal.

    Raises:
        AuditLogCorrupt: problem "altered" wherever a line is; else "truncated", where lines may be missing: a segment
            ends without its last line. The last segment of an audit log that is being written does so too.
    """
    reading = _Reading()
    for line, is_whole in _lines(stream):
        reading.number += 1
        _take(reading, line, is_whole, file)
    if not reading.segments:
        return Summary(reading.number, reading.number, 0, "", "")
    if reading.suspect:
        raise AuditLogCorrupt(file, reading.suspect, "altered", "the line carries no valid seal")
    if reading.cut is None and not reading.is_ended:
        reading.cut = reading.number, "the audit log is whole so far, but its last line does not end it"
    if reading.cut is not None:
        number, detail = reading.cut
        raise AuditLogCorrupt(file, number, "truncated", detail)
    head = (reading.head or b"").decode("ascii")
    return Summary(reading.number, reading.unsealed, reading.segments, reading.previous, head)


def _take(reading: _Reading, line: bytes, is_whole: bool, file: str) -> None:
    seal = _SEAL.search(line, max(0, len(line) - _SEAL_LIMIT_BYTES)) if is_whole else None
    number = reading.number
    if seal is None:
        _take_unsealed(reading, line, is_whole, file)
        return
    sequence, prev = int(seal["seq"]), seal["prev"]
    if seal["sum"] is not None:
        bare = line[: seal.start("end")] + b"}"
        if not hmac.compare_digest(digest(bare), seal["sum"]):
            raise AuditLogCorrupt(file, number, "altered", "the line does not match its own sum")
    if (seal["writer"] is not None) != (sequence == 0):
        raise AuditLogCorrupt(file, number, "altered", "only the first line of a segment names its writer")
    if sequence == 0:
        _open_segment(reading, prev, file)
    else:
        _continue_segment(reading, sequence, prev, file)
    reading.head, reading.sequence, reading.is_ended = digest(line), sequence, seal["sum"] is not None


def _take_unsealed(reading: _Reading, line: bytes, is_whole: bool, file: str) -> None:
    number = reading.number
    if reading.segments and not is_whole:
        # The last line of the file: only there can a line have no end.
        reading.cut = reading.cut or (number, "the audit log ends in the middle of a line")
        reading.is_ended = False
        return
    if reading.suspect or (reading.segments and reading.is_ended):
        raise AuditLogCorrupt(file, reading.suspect or number, "altered", "the line carries no valid seal")
    if reading.segments:
        # A crash in the middle of a line leaves this; then the next line begins a segment and vouches for it.
        reading.suspect = number
    else:
        reading.unsealed = number
    reading.head, reading.sequence = digest(line), None


def _open_segment(reading: _Reading, prev: bytes | None, file: str) -> None:
    number = reading.number
    if reading.head is None:
        reading.previous = prev.decode("ascii") if prev else ""
    elif prev != reading.head:
        raise AuditLogCorrupt(file, number - 1, "altered", _other_hash(number))
    elif reading.suspect:
        reading.cut = reading.cut or (reading.suspect, "a writer was cut off in the middle of a line")
    elif reading.segments and not reading.is_ended:
        reading.cut = reading.cut or (number - 1, "a writer did not end in order: lines may be missing after it")
    reading.suspect = 0
    reading.segments += 1


def _continue_segment(reading: _Reading, sequence: int, prev: bytes | None, file: str) -> None:
    number = reading.number
    if reading.suspect:
        raise AuditLogCorrupt(file, reading.suspect, "altered", "the line carries no valid seal")
    if reading.sequence is None:
        raise AuditLogCorrupt(file, number, "altered", "lines before it are missing or not sealed")
    if reading.is_ended:
        raise AuditLogCorrupt(file, number, "altered", "the line follows one that ended its segment")
    if sequence != reading.sequence + 1:
        problem = f"its number is {sequence} where {reading.sequence + 1} is due: removed, repeated or moved lines"
        raise AuditLogCorrupt(file, number, "altered", problem)
    if prev is None or reading.head is None or not hmac.compare_digest(prev, reading.head):
        raise AuditLogCorrupt(file, number - 1, "altered", _other_hash(number))


def _other_hash(number: int) -> str:
    """Say what it means that this line holds another hash than that of the line before it."""
    before = f"line {number - 1} was changed, or lines are missing or moved around it"
    return f"{before}: its hash is not the one that line {number} holds"


def _lines(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Give each line without its end, and whether it had one. A longer line than any of ours comes in pieces."""
    while line := stream.readline(LINE_LIMIT_BYTES):
        if line.endswith(b"\n"):
            yield line[:-1], True
        else:
            yield line, len(line) == LINE_LIMIT_BYTES
