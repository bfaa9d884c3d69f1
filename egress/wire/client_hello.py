"""Reads a ClientHello without ending its TLS (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2, RFC 6066 section 3).

Only what a tunnel's check needs is taken out: the server name, and whether another one is hidden in it. Everything else
is passed over by its lengths, which must add up. A server may be more lenient than this reader, so whatever it could
read differently is refused.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from struct import Struct
from struct import error as StructError

from attrs import define, field, frozen

from egress.errors import ProtocolError

_HANDSHAKE = 0x16
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

# RFC 8446 section 5.1 and RFC 6520: change_cipher_spec, alert, handshake, application_data, heartbeat.
_RECORD_TYPES = frozenset((b"\x14", b"\x15", b"\x16", b"\x17", b"\x18"))


@frozen
class ClientHello:
    """What a ClientHello says about its destination.

    Attributes:
        server_name: lower case, without the trailing dot; "" where there is none. RFC 6066 forbids addresses here, but
            clients send them: they stand as sent.
        has_ech: the hello carries an encrypted one, so that `server_name` is only the outer name.
    """

    server_name: str
    has_ech: bool


def looks_like_tls(first: bytes) -> bool:
    """Say whether a stream that begins so must be taken for TLS: its first octet is the type of a TLS record.

    Not only that of a handshake record (22): some servers skip an alert (21), and perhaps other records (20, 23, 24),
    in front of the ClientHello, so that it would pass unread. The reader refuses them. A hello in the format of
    SSL 2.0 (RFC 5246 appendix E.2) begins otherwise and is not TLS to us.
    """
    return first[:1] in _RECORD_TYPES


@define(eq=False)
class ClientHelloReader:
    """Reads the ClientHello at the beginning of a stream, whatever its split into records and pieces.

    Attributes:
        limit_bytes: how many octets of the stream, record headers included, the hello may take.
        held: all octets fed so far, to be passed on.
    """

    limit_bytes: int
    held: bytes = field(init=False, default=b"", repr=False)
    _at: int = field(init=False, default=0)
    _record_left: int = field(init=False, default=0)
    _message: bytes = field(init=False, default=b"", repr=False)
    _hello: ClientHello | None = field(init=False, default=None)

    def feed(self, data: bytes) -> ClientHello | None:
        """Take more bytes.

        Args:
            data: any number of octets, in wire order. Those after the hello are held and not looked at.

        Returns:
            The hello once all of it is here, else None.

        Raises:
            ProtocolError: hello_malformed. The reader is of no use afterwards.
        """
        self.held = self.held + data if self.held else data
        if self._hello is None and self._gather():
            if self._at > self.limit_bytes:
                raise _malformed("the ClientHello is too long")
            self._hello = _read_hello(self._message)
        elif self._hello is None and len(self.held) >= self.limit_bytes:
            raise _malformed("the ClientHello is too long")
        return self._hello

    def _gather(self) -> bool:
        """Take the handshake message out of the records; say whether all of it is here (RFC 8446 section 5.1)."""
        while True:
            if not self._record_left:
                header = self.held[self._at : self._at + 5]
                if len(header) < 5:
                    return False
                self._record_left = _fragment_length(header)
                self._at += 5
            fragment = self.held[self._at : self._at + self._record_left]
            if not fragment:
                return False
            self._at += len(fragment)
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
                # The client has nothing to add before the server's answer.
                raise _malformed("a record holds more than the ClientHello")
            if not missing:
                return True


def _malformed(reason: str) -> ProtocolError:
    return ProtocolError("hello_malformed", reason)


def _fragment_length(header: bytes) -> int:
    """Check a record header and give the length of what follows (RFC 8446 section 5.1)."""
    # The minor version is to be ignored; servers differ about the major one.
    if header[0] != _HANDSHAKE or header[1] != 3:
        raise _malformed("a record of the ClientHello is not a handshake record of TLS")
    length = int.from_bytes(header[3:5], "big")
    if not 0 < length <= _RECORD_LIMIT:
        raise _malformed("a record of the ClientHello is empty or too long")
    return length


def _read_hello(message: bytes) -> ClientHello:
    """Read a whole handshake message that is known to be a ClientHello of the announced length."""
    try:
        return _read_fields(message)
    except (IndexError, StructError):
        # A length led beyond the end.
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
        # TLS 1.2 and before: the extensions may be left out (RFC 5246 section 7.4.1.2).
        return ClientHello("", False)
    (size,) = _read_size(message, at)
    at += 2
    if at + size != len(message):
        raise _malformed(_LENGTHS)
    return _read_extensions(message, at)


def _read_extensions(message: bytes, at: int) -> ClientHello:
    """Read the extensions, which begin at `at` and end with the message (RFC 8446 section 4.2)."""
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
    """Read the one name of a server_name extension (RFC 6066 section 3)."""
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
