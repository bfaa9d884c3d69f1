"""The chunked transfer coding: its reader, and the serialization of chunks (RFC 9112 section 7).

Chunks are decoded and encoded again, without extensions, so that the recipient cannot read another framing.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from enum import Enum

from attrs import define, field

from egress.errors import ProtocolError
from egress.model import OVERRIDES
from egress.wire.fields import Field, override_name

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'


def _size_line(blanks: bytes) -> re.Pattern[bytes]:
    """Compile the pattern of a size line, with these blanks between its parts."""
    value = rb"(?:=" + blanks + rb"(?:" + _TOKEN + rb"|" + _QUOTED + rb")" + blanks + rb")?+"
    extension = rb";" + blanks + _TOKEN + blanks + value
    return re.compile(rb"([0-9A-Fa-f]{1,16})" + blanks + rb"(?:" + extension + rb")*+")


# Excludes the bad whitespace (BWS) of RFC 9112 section 7.1.1, because chunk readers interpret it differently.
_match_strict_size = _size_line(rb"").fullmatch
_match_size = _size_line(rb"[\t ]*+").fullmatch
# A size line of at most 16 octets without extensions, which nearly every chunk has. `int` ignores the blanks.
_match_strict_plain_size = re.compile(rb"([0-9A-Fa-f]{1,16}+)\r\n").match
_match_plain_size = re.compile(rb"([0-9A-Fa-f]{1,8}+(?:[0-9A-Fa-f]{1,8}+|[\t ]{1,8}+)?+)\r\n").match
_match_strict_field = re.compile(rb"(" + _TOKEN + rb"):([\t -~\x80-\xff]*+)").fullmatch
_match_field = re.compile(rb"(" + _TOKEN + rb")[\t ]*+:([\t -~\x80-\xff]*+)").fullmatch
_match_continuation = re.compile(rb"[\t ]++([!-~\x80-\xff][\t -~\x80-\xff]*+)").fullmatch

_LAST_CHUNK = b"0\r\n\r\n"

# What a size line with extensions counts for beyond its octets, because it takes long to read.
_EXTENSIONS_BYTES = 32

# RFC 9110 section 6.5.1: a recipient may merge trailers into the head, after all checks of the head. Fields for
# framing, routing, authentication, control and content handling are therefore not forwarded as trailers.
_FORBIDDEN = frozenset(
    (
        b"accept age allow alt-svc authentication-info authorization cache-control clear-site-data connection "
        b"content-disposition content-encoding content-language content-length content-location content-range "
        b"content-security-policy content-type cookie cookie2 date expect expires forwarded from host "
        b"http2-settings keep-alive location max-forwards origin pragma prefer range referer retry-after "
        b"set-cookie set-cookie2 strict-transport-security te trailer transfer-encoding upgrade user-agent vary "
        b"via warning www-authenticate"
    ).split()
)
_FORBIDDEN_BEGINNINGS = (b"proxy-", b"if-", b"accept-", b"access-control-", b"sec-", b"x-forwarded-")


class _Step(Enum):
    """The states of a reader of chunks (RFC 9112 section 7.1).

    SIZE --size > 0--> DATA --last octet--> DATA_END --CRLF--> SIZE
    SIZE --size = 0--> TRAILER --field--> TRAILER --empty line--> DONE
    """

    SIZE = "size"
    DATA = "data"
    DATA_END = "data end"
    TRAILER = "trailer"
    DONE = "done"

    __hash__ = object.__hash__


@define(eq=False)
class ChunkedBody:
    """Reads a chunked body (RFC 9112 section 7.1).

    A size has 1 to 16 hexadecimal digits. Extensions must match the grammar, and are dropped. Every line ends with
    CRLF. In requests there is no whitespace outside of quotes. In responses blanks may follow a size and surround the
    parts of extensions, and trailer fields may be folded and have blanks before their colon (sections 5.1, 5.2 and
    7.1.1).

    Framing that is far longer than its content is refused: a body may have `excess_limit_bytes` of framing more than
    16 octets and twice the content of each chunk. A size line with extensions counts for 32 octets more. Chunks of one
    octet without extensions are within that.

    Attributes:
        code: of the errors: "bad_framing" for requests, "origin_malformed" for responses.
        line_limit_bytes: the longest line of a size and its extensions, with its CRLF.
        trailer_limit_bytes: the longest trailer section, with the empty line that ends it.
        excess_limit_bytes: see above.
    """

    code: str
    line_limit_bytes: int = 256
    trailer_limit_bytes: int = 8192
    excess_limit_bytes: int = 16_384
    rest: bytes = field(init=False, default=b"")
    trailers: tuple[Field, ...] = field(init=False, default=())
    is_complete: bool = field(init=False, default=False)
    _step: _Step = field(init=False, default=_Step.SIZE)
    # An incomplete line, bounded by the limits.
    _held: bytes = field(init=False, default=b"")
    # The octets missing in this chunk, or still allowed in the trailer section.
    _left: int = field(init=False, default=0)
    _excess: int = field(init=False, default=0)
    _trailers: list[Field] = field(factory=list, init=False)

    @property
    def _is_response(self) -> bool:
        return self.code != "bad_framing"

    def feed(self, data: bytes) -> bytes:
        """Take more bytes; see `BodyReader.feed`."""
        if self._held:
            data = self._held + data
            self._held = b""
        content: list[bytes] = []
        at = 0
        end = len(data)
        while at < end:
            step = self._step
            if step is _Step.DATA:
                # A slice of all octets is the object itself: a piece within one large chunk is not copied.
                piece = data[at : at + self._left]
                content.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._step = _Step.DATA_END
            elif step is _Step.DATA_END:
                if data[at : at + 2] == b"\r\n":
                    at += 2
                    self._step = _Step.SIZE
                elif data[at:] == b"\r":
                    self._held = b"\r"
                    break
                else:
                    raise ProtocolError(self.code, "a chunk is not followed by CRLF")
            elif step is _Step.DONE:
                self.rest += data[at:]
                break
            else:
                if step is _Step.SIZE:
                    at = self._read_small_chunks(data, at, content)
                after = self._line_end(data, at, self.line_limit_bytes if step is _Step.SIZE else self._left)
                if not after:
                    self._held = data[at:]
                    break
                line = data[at : after - 2]
                if step is _Step.SIZE:
                    self._read_size(line)
                else:
                    self._left -= after - at
                    self._read_trailer(line)
                at = after
        return content[0] if len(content) == 1 else b"".join(content)

    def _read_small_chunks(self, data: bytes, at: int, content: list[bytes]) -> int:
        """Read the chunks at `at` that are here as a whole, have no extensions and are not the last.

        The fast path: a peer that sends chunks of an octet would make each of them cost as much as a large one.

        Returns:
            The offset of the first chunk that is none of these.
        """
        match, add = _match_plain_size if self._is_response else _match_strict_plain_size, content.append
        while (found := match(data, at)) is not None:
            begin = found.end()
            stop = begin + int(found[1], 16)
            if stop == begin or data[stop : stop + 2] != b"\r\n":
                break
            add(data[begin:stop])
            at = stop + 2
        return at

    def end_of_input(self) -> None:
        """Raise ProtocolError unless the message is complete (RFC 9112 section 8)."""
        if not self.is_complete:
            raise ProtocolError(self.code, "the body ended before its last chunk and trailer section")

    def _line_end(self, data: bytes, at: int, limit: int) -> int:
        """Return the offset after the line that begins at `at`, or 0 while the line is incomplete."""
        found = data.find(b"\n", at, at + limit)
        if found < 0:
            if len(data) - at >= limit:
                raise ProtocolError(self.code, "a chunk size line or the trailer section is too long")
            return 0
        if found == at or data[found - 1] != 0x0D:
            raise ProtocolError(self.code, "a line in the chunked framing does not end with CRLF")
        return found + 1

    def _read_size(self, line: bytes) -> None:
        match = _match_size(line) if self._is_response else _match_strict_size(line)
        if match is None:
            raise ProtocolError(self.code, "a chunk size line is malformed")
        size = int(match[1], 16)
        octets = len(line) + _EXTENSIONS_BYTES if b";" in line else len(line)
        self._excess = max(0, self._excess + octets - 16 - 2 * size)
        if self._excess > self.excess_limit_bytes:
            raise ProtocolError(self.code, "the chunked framing is far longer than its content")
        if size:
            self._left = size
            self._step = _Step.DATA
        else:
            self._left = self.trailer_limit_bytes
            self._step = _Step.TRAILER

    def _read_trailer(self, line: bytes) -> None:
        if not line:
            self._step = _Step.DONE
            self.trailers = tuple(self._trailers)
            self.is_complete = True
            return
        match = _match_field(line) if self._is_response else _match_strict_field(line)
        if match is not None:
            name, value = match.groups()
            self._trailers.append((name.lower(), name, value.strip(b" \t")))
            return
        match = _match_continuation(line)
        if match is None or not self._is_response or not self._trailers:
            raise ProtocolError(self.code, "a trailer field is malformed")
        lower, name, value = self._trailers[-1]
        self._trailers[-1] = (lower, name, b"%b %b" % (value, match[1].rstrip(b" \t")))


def chunk(payload: bytes) -> bytes:
    """Frame content as one chunk. No content gives b"", because an empty chunk ends the body."""
    if not payload:
        return b""
    return b"".join((b"%x\r\n" % len(payload), payload, b"\r\n"))


def last_chunk(trailers: Iterable[Field] = ()) -> bytes:
    """Serialize the end of a chunked body.

    Args:
        trailers: the fields of a reader that `forwardable_trailers` kept.
    """
    lines = [b"%b: %b\r\n" % (name, value) for _, name, value in trailers]
    return b"0\r\n%b\r\n" % b"".join(lines) if lines else _LAST_CHUNK


def forwardable_trailers(trailers: Iterable[Field], nominated: Container[bytes] = ()) -> tuple[Field, ...]:
    """Return the trailers that may be forwarded (RFC 9110 section 6.5.1).

    Args:
        trailers: the fields of a reader.
        nominated: the names in the Connection field of the message, in lower case; they are not forwarded (RFC 9110
            section 7.6.1).
    """
    return tuple(
        trailer
        for trailer in trailers
        if trailer[0] not in _FORBIDDEN
        and override_name(trailer[0]) not in OVERRIDES
        and not trailer[0].startswith(_FORBIDDEN_BEGINNINGS)
        and trailer[0] not in nominated
    )
