"""Reads a ClientHello without terminating TLS (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2, RFC 6066 section 3).

The reader extracts the server name and whether an encrypted ClientHello is present. It skips all other parts by their
lengths, which must add up. A server may be more lenient than this reader, so a hello that a server could interpret
differently is refused.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from struct import Struct
from struct import error as StructError

from attrs import define, field, frozen

from egress.errors import ProtocolError
from egress.wire.tls_record import HANDSHAKE, HEADER_BYTES, MAJOR_VERSION

_CLIENT_HELLO = 1
_RECORD_LIMIT = 1 << 14
_SERVER_NAME = 0
_ENCRYPTED_CLIENT_HELLO = 0xFE0D
_HOST_NAME = 0

_NAME_LIMIT = 253
_NAME = re.compile(rb"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_MAYBE_IPV6 = re.compile(rb"[0-9a-f:.]{2,45}")

_LENGTHS = "the lengths in the ClientHello do not add up"
_read_size = Struct(">H").unpack_from
_read_kind_and_size = Struct(">HH").unpack_from
_read_name_header = Struct(">HBH").unpack_from


@frozen
class ClientHello:
    """The destination that a ClientHello names.

    Attributes:
        server_name: the name in lower case, without the trailing dot; "" for none. RFC 6066 forbids addresses here, but
            clients send them: an address is returned as sent.
        has_ech: the hello carries an encrypted ClientHello, so that `server_name` is only the outer name.
    """

    server_name: str
    has_ech: bool


@define(eq=False)
class ClientHelloReader:
    """Reads the ClientHello at the beginning of a stream, for every split into records and pieces.

    Attributes:
        limit_bytes: the largest number of octets of the hello in the stream, record headers included.
        held: all octets fed so far, for forwarding.
        size: octets of the hello in `held`, record headers included, once it is complete.
    """

    limit_bytes: int
    held: bytes = field(init=False, default=b"", repr=False)
    size: int = field(init=False, default=0)
    _record_left: int = field(init=False, default=0)
    _message: bytes = field(init=False, default=b"", repr=False)
    _hello: ClientHello | None = field(init=False, default=None)

    def feed(self, data: bytes) -> ClientHello | None:
        """Take more bytes.

        Args:
            data: any number of octets, in wire order. Octets after the hello are held and not examined.

        Returns:
            The hello once it is complete, else None.

        Raises:
            ProtocolError: hello_malformed. The reader must not be used afterwards.
        """
        self.held = self.held + data if self.held else data
        if self._hello is None and self._is_message_complete():
            if self.size > self.limit_bytes:
                raise _malformed("the ClientHello is too long")
            self._hello = _read_hello(self._message)
        elif self._hello is None and len(self.held) >= self.limit_bytes:
            raise _malformed("the ClientHello is too long")
        return self._hello

    def _is_message_complete(self) -> bool:
        """Extract the handshake message from the records; return whether it is complete (RFC 8446 section 5.1)."""
        while True:
            if not self._record_left:
                header = self.held[self.size : self.size + HEADER_BYTES]
                if len(header) < HEADER_BYTES:
                    return False
                self._record_left = _fragment_length(header)
                self.size += HEADER_BYTES
            if self.size > self.limit_bytes:
                # In the loop, because records of one octet cost much.
                raise _malformed("the ClientHello is too long")
            fragment = self.held[self.size : self.size + self._record_left]
            if not fragment:
                return False
            self.size += len(fragment)
            self._record_left -= len(fragment)
            self._message += fragment
            message = self._message
            if message[0] != _CLIENT_HELLO:
                raise _malformed("the first handshake message is not a ClientHello")
            if len(message) < 4:
                continue
            missing = 4 + int.from_bytes(message[1:4], "big") - len(message)
            if missing + len(message) > self.limit_bytes:
                raise _malformed("the ClientHello is too long")
            if missing < self._record_left:
                # A client sends nothing more before the server's response.
                raise _malformed("a record holds more than the ClientHello")
            if not missing:
                return True


def _malformed(reason: str) -> ProtocolError:
    return ProtocolError("hello_malformed", reason)


def _fragment_length(header: bytes) -> int:
    """Check a record header and return the length of its fragment (RFC 8446 section 5.1)."""
    # RFC 8446 ignores the minor version; servers differ about the major version.
    if header[0] != HANDSHAKE or header[1] != MAJOR_VERSION:
        raise _malformed("a record of the ClientHello is not a handshake record of TLS")
    length = int.from_bytes(header[3:HEADER_BYTES], "big")
    if not 0 < length <= _RECORD_LIMIT:
        raise _malformed("a record of the ClientHello is empty or too long")
    return length


def _read_hello(message: bytes) -> ClientHello:
    """Parse a complete handshake message that is known to be a ClientHello of the announced length."""
    try:
        return _read_fields(message)
    except (IndexError, StructError):
        # A length exceeds the message.
        raise _malformed(_LENGTHS) from None


def _read_fields(message: bytes) -> ClientHello:
    # Handshake header and legacy_version, then the random up to offset 38.
    if message[4] != 3:
        raise _malformed("the ClientHello is of an unknown version")
    size = message[38]
    if size > 32:
        raise _malformed("the session id is too long")
    at = 39 + size
    (size,) = _read_size(message, at)
    if not size or size % 2:
        raise _malformed("the cipher suites are malformed")
    at += 2 + size
    size = message[at]
    if not size:
        raise _malformed("the compression methods are missing")
    at += 1 + size
    if at == len(message):
        # TLS 1.2 and earlier: the extensions are optional (RFC 5246 section 7.4.1.2).
        return ClientHello("", False)
    (size,) = _read_size(message, at)
    at += 2
    if at + size != len(message):
        raise _malformed(_LENGTHS)
    return _read_extensions(message, at)


def _read_extensions(message: bytes, at: int) -> ClientHello:
    """Parse the extensions, which begin at `at` and end with the message (RFC 8446 section 4.2)."""
    end = len(message)
    server_name = ""
    kinds: list[int] = []
    while at < end:
        kind, size = _read_kind_and_size(message, at)
        at += 4 + size
        kinds.append(kind)
        if kind == _SERVER_NAME:
            server_name = _read_server_name(message[at - size : at])
    if at != end:
        raise _malformed(_LENGTHS)
    if len(set(kinds)) != len(kinds):
        raise _malformed("an extension is given twice")
    return ClientHello(server_name, _ENCRYPTED_CLIENT_HELLO in kinds)


def _read_server_name(data: bytes) -> str:
    """Parse the only name of a server_name extension (RFC 6066 section 3)."""
    list_size, kind, size = _read_name_header(data)
    if list_size != len(data) - 2:
        raise _malformed("the server name list is malformed")
    if kind != _HOST_NAME:
        raise _malformed("a server name is not a host name")
    if size != len(data) - 5:
        raise _malformed("the server name list does not hold exactly one name")
    name = data[5:].lower().removesuffix(b".")
    if (len(name) > _NAME_LIMIT or not _NAME.fullmatch(name)) and not _is_ipv6(name):
        raise _malformed("the server name is not a host name")
    return name.decode("ascii")


def _is_ipv6(name: bytes) -> bool:
    if not _MAYBE_IPV6.fullmatch(name):
        return False
    try:
        IPv6Address(name.decode("ascii"))
    except AddressValueError:
        return False
    return True
