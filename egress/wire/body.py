"""Readers of bodies (RFC 9112 section 6).

The readers provide `BodyReader`, as `ChunkedBody` does. The content does not depend on the split of the input. `rest`
holds the octets after the message.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define, field

from egress.errors import ProtocolError
from egress.wire.chunked import ChunkedBody
from egress.wire.fields import Field
from egress.wire.framing import Framing, Kind


class BodyReader(Protocol):
    """A reader of one body.

    Attributes:
        is_complete: the whole message has been read.
        rest: the octets that follow the message; b"" before it is complete.
        trailers: the fields after the content, in wire order; only chunked bodies have any.
    """

    is_complete: bool
    rest: bytes
    trailers: tuple[Field, ...]

    def feed(self, data: bytes) -> bytes:
        """Take more bytes.

        Args:
            data: any number of octets, in wire order.

        Returns:
            The content among them, b"" where there is none.

        Raises:
            ProtocolError: the framing is malformed. The reader must not be used afterwards.
        """

    def end_of_input(self) -> None:
        """Signal the end of the input.

        Raises:
            ProtocolError: the message is not complete.
        """


@define(eq=False)
class LengthBody:
    """Reads a body of known length (RFC 9112 section 6.2).

    Attributes:
        code: the code of the error for an incomplete body.
    """

    _missing: int
    code: str = "bad_framing"
    rest: bytes = field(init=False, default=b"")
    trailers: tuple[Field, ...] = field(init=False, default=())
    is_complete: bool = field(init=False)

    @is_complete.default
    def _is_empty(self) -> bool:
        return self._missing == 0

    def feed(self, data: bytes) -> bytes:
        """Take more bytes; see `BodyReader.feed`. A piece that is content as a whole is returned without a copy."""
        missing = self._missing
        size = len(data)
        if size < missing:
            self._missing = missing - size
            return data
        self._missing = 0
        self.is_complete = True
        if size == missing:
            return data
        self.rest += data[missing:]
        return data[:missing]

    def end_of_input(self) -> None:
        """Raise ProtocolError unless the message is complete (RFC 9112 section 8)."""
        if not self.is_complete:
            raise ProtocolError(self.code, "the body ended before its Content-Length")


@define(eq=False)
class NoBody:
    """The reader of a message without body: all octets are rest."""

    rest: bytes = field(init=False, default=b"")
    trailers: tuple[Field, ...] = field(init=False, default=())
    is_complete: bool = field(init=False, default=True)

    def feed(self, data: bytes) -> bytes:
        """Take more bytes; see `BodyReader.feed`."""
        self.rest += data
        return b""

    def end_of_input(self) -> None:
        """Do nothing: the body is complete."""


@define(eq=False)
class CloseBody:
    """Reads a body that lasts until the connection ends (RFC 9112 section 6.3, rule 8)."""

    rest: bytes = field(init=False, default=b"")
    trailers: tuple[Field, ...] = field(init=False, default=())
    is_complete: bool = field(init=False, default=False)

    def feed(self, data: bytes) -> bytes:
        """Take more bytes; see `BodyReader.feed`."""
        return data

    def end_of_input(self) -> None:
        """Complete the message, whose body ends with the input."""
        self.is_complete = True


def body_reader(framing: Framing, code: str) -> BodyReader:
    """Create the reader of a body.

    Args:
        framing: the framing of the message.
        code: of the errors: "bad_framing" for requests, "origin_malformed" for responses.
    """
    kind = framing.kind
    if kind is Kind.NONE:
        return NoBody()
    if kind is Kind.LENGTH:
        return LengthBody(framing.length, code)
    if kind is Kind.CHUNKED:
        return ChunkedBody(code)
    return CloseBody()
