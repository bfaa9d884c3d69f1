"""Verifies a sealed audit log: whole, truncated, cut off, or altered, and at which line."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from attrs import define, frozen

from egress.audit.chain_head import ChainHead, parse_hash
from egress.audit.hash_chain import digest
from egress.errors import AuditLogCorrupt

LINE_LIMIT_BYTES = 1024 * 1024

_CONVERTED_END = b"\r\n"

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
    """The contents of an audit log that is whole.

    Attributes:
        lines: number of lines.
        unsealed: lines at the beginning that carry no seal and cannot be checked.
        segments: number of runs of a writer.
        previous: the hash of the previous file's last line, as the first sealed line has it; "" for none.
        head: the hash of the last line, to be stored elsewhere.
        is_converted: the line ends are CRLF, which no writer makes: a program has converted the file. The chain does
            not cover line ends.
        vouched: the number of the line that the given head names; 0 where none was given.
        is_ended: whether the last segment ended in order.
    """

    lines: int
    unsealed: int
    segments: int
    previous: str
    head: str
    is_converted: bool = False
    vouched: int = 0
    is_ended: bool = True


@define
class _Reading:
    """The state of a verification after some lines.

    Attributes:
        number: the number of the last line.
        head: the hash of the last line.
        sequence: the last line's place in its segment; None where it has no seal.
        is_ended: whether the last line ended its segment.
        is_partial: whether the last line has no line end.
        suspect: the number of a line without seal after a sealed one; only the next line can explain it.
        cut: the line at which the first segment ended out of order, and how.
        is_converted: whether the first line ends with CRLF.
        expected: the line that must be there.
        writer: the id of the segment.
        vouched: the number of the expected line; 0 while it has not been read.
        is_vouched: whether the expected line is in the segment.
        missing: the line that says that an earlier head was missing, and that head.
    """

    number: int = 0
    head: bytes | None = None
    sequence: int | None = None
    is_ended: bool = False
    is_partial: bool = False
    suspect: int = 0
    unsealed: int = 0
    segments: int = 0
    previous: str = ""
    cut: tuple[int, str] | None = None
    is_converted: bool = False
    expected: ChainHead | None = None
    writer: str = ""
    vouched: int = 0
    is_vouched: bool = False
    missing: tuple[int, str] | None = None


def verify(stream: BinaryIO, file: str, head: ChainHead | None = None, is_growing: bool = False) -> Summary:
    """Read an audit log from its beginning to its end, once.

    Args:
        stream: the octets of the audit log.
        file: the file's name, for errors.
        head: a line that the audit log held at some time; None where none is known.
        is_growing: a process is writing the audit log, so that the last segment need not be ended if `head` is in it.

    Returns:
        The contents, if the audit log is whole. `segments` is 0 where no line carries a seal.

    Raises:
        AuditLogCorrupt: problem "altered" if any line is; else "cut off" if lines are missing that were there, because
            the line of a head is missing; else "truncated" if lines may be missing, because a segment ends without its
            last line. So does the last segment of an audit log that is being written.
    """
    reading = _Reading(expected=head)
    for line in _lines(stream):
        reading.number += 1
        if reading.number == 1:
            reading.is_converted = line.endswith(_CONVERTED_END)
        # A line with another end than the first line keeps its CR or LF, so its seal is not valid.
        is_whole = line.endswith(b"\n") or len(line) == LINE_LIMIT_BYTES
        _take(reading, line.removesuffix(_CONVERTED_END if reading.is_converted else b"\n"), is_whole, file)
    if reading.suspect:
        raise AuditLogCorrupt(file, reading.suspect, "altered", "the line carries no valid seal")
    if head is not None and not reading.vouched:
        raise AuditLogCorrupt(file, reading.number, "cut off", f"the file does not hold {_named(head)}")
    if reading.missing is not None:
        number, detail = reading.missing
        raise AuditLogCorrupt(file, number, "cut off", detail)
    if not reading.segments:
        return Summary(reading.number, reading.number, 0, "", "", reading.is_converted)
    is_open = not reading.is_ended and is_growing and reading.is_vouched
    if reading.cut is None and not reading.is_ended and not is_open:
        how = (
            "ends in the middle of a line"
            if reading.is_partial
            else "is whole so far, but its last line does not end it"
        )
        reading.cut = reading.number, f"the audit log {how}"
    if reading.cut is not None:
        number, detail = reading.cut
        raise AuditLogCorrupt(file, number, "truncated", detail)
    return Summary(
        reading.number,
        reading.unsealed,
        reading.segments,
        reading.previous,
        (reading.head or b"").decode("ascii"),
        reading.is_converted,
        reading.vouched,
        reading.is_ended,
    )


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
        reading.writer = seal["writer"].decode("ascii")
        _read_missing(reading, line)
    else:
        _continue_segment(reading, sequence, prev, file)
    reading.head, reading.sequence, reading.is_ended = digest(line), sequence, seal["sum"] is not None
    if reading.expected is not None:
        _compare(reading, reading.expected, reading.head.decode("ascii"), file)


def _take_unsealed(reading: _Reading, line: bytes, is_whole: bool, file: str) -> None:
    number = reading.number
    if reading.segments and not is_whole:
        # Only the last line of a file can have no line end.
        reading.is_ended, reading.is_partial = False, True
        return
    if reading.suspect or (reading.segments and reading.is_ended):
        raise AuditLogCorrupt(file, reading.suspect or number, "altered", "the line carries no valid seal")
    if reading.segments:
        # A crash within a line leaves this; the next line then begins a segment and vouches for it.
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
    reading.suspect, reading.is_vouched = 0, False
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


def _compare(reading: _Reading, expected: ChainHead, found: str, file: str) -> None:
    """Look for the expected line; a line of its place in the chain must be that line."""
    if found == expected.hash:
        reading.vouched, reading.is_vouched = reading.number, True
    elif (reading.writer, reading.sequence) == (expected.writer, expected.seq):
        detail = "the line was changed: its hash is not that of the recorded head"
        raise AuditLogCorrupt(file, reading.number, "altered", detail)


def _read_missing(reading: _Reading, line: bytes) -> None:
    """Read in the first line of a segment whether the file lacked the head that its writer had recorded before."""
    try:
        head = parse_hash(json.loads(line).get("missing_head", ""))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return
    detail = f"when this run began, the file did not hold {_named(head)}"
    reading.missing = reading.missing or (reading.number, detail)


def _named(head: ChainHead) -> str:
    place = f" (line {head.seq} of the run {head.writer})" if head.writer else ""
    return f"the recorded line with the hash {head.hash}{place}"


def _other_hash(number: int) -> str:
    """Describe a line whose `prev` is not the hash of the line before it."""
    before = f"line {number - 1} was changed, or lines are missing or moved around it"
    return f"{before}: its hash is not the one that line {number} holds"


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Give each line with its end. A line beyond the limit comes in pieces."""
    while line := stream.readline(LINE_LIMIT_BYTES):
        yield line
