"""Tells a HelloRetryRequest from other answers to a ClientHello (RFC 8446 sections 4.1.3 and 4.1.4)."""

from __future__ import annotations

from attrs import define

from egress.wire.tls_record import ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, HEADER_BYTES, HEARTBEAT, MAJOR_VERSION

_SERVER_HELLO = 2
_MAJOR_VERSION = (b"", bytes((MAJOR_VERSION,)))

RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a ServerHello that is a HelloRetryRequest: the SHA-256 of "HelloRetryRequest"."""

# Handshake type, length and legacy version precede the random.
_RANDOM_AT, _RANDOM_END = 6, 38

_BEGIN = bytes((HANDSHAKE, MAJOR_VERSION))
_LEAST_BYTES = HEADER_BYTES + _RANDOM_END

# Records that are looked at. A ServerHello in fragments of one octet shows its random after 38 of them.
_RECORDS_LIMIT = 64


@define(eq=False)
class ServerHelloReader:
    """Reads what a server sends, up to the random of its first handshake message, for every split.

    A server that is no accomplice of the client sends a HelloRetryRequest as RFC 8446 has it, perhaps after alerts. A
    TLS stream that does not show its random that way counts as a request for a second ClientHello, because that may
    follow. At most 42 octets are kept.

    Attributes:
        may_retry: whether a second ClientHello may follow; False also where the stream is not TLS. None while the
            octets do not tell.
    """

    may_retry: bool | None = None
    _kept: bytes = b""
    _message: bytes = b""
    _left: int = 0
    _is_handshake: bool = False
    _records: int = 0

    def feed(self, data: bytes) -> bool | None:
        """Take more octets.

        Args:
            data: any number of octets, in wire order.

        Returns:
            `may_retry`.
        """
        if self.may_retry is not None:
            return self.may_retry
        if self._kept:
            data = self._kept + data
            self._kept = b""
        elif not self._records and (found := _read_random(data)) is not None:
            self.may_retry = found
            return found
        at, end = 0, len(data)
        while self.may_retry is None and at < end:
            if self._left:
                size = min(self._left, end - at)
                if self._is_handshake:
                    self._read(data[at : at + size])
                self._left -= size
                at += size
            elif not self._is_record(data, at):
                # A stream that does not begin with a record is not TLS.
                self.may_retry = self._records > 0
            elif end - at < HEADER_BYTES:
                self._kept = data[at:]
                break
            else:
                self._begin_record(data, at)
                at += HEADER_BYTES
        return self.may_retry

    def _is_record(self, data: bytes, at: int) -> bool:
        """Look at the content type and the major version, as far as they are there."""
        kind = data[at]
        return CHANGE_CIPHER_SPEC <= kind <= HEARTBEAT and data[at + 1 : at + 2] in _MAJOR_VERSION

    def _begin_record(self, data: bytes, at: int) -> None:
        kind = data[at]
        self._is_handshake = kind == HANDSHAKE
        self._left = int.from_bytes(data[at + 3 : at + HEADER_BYTES], "big")
        self._records += 1
        if kind not in (CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE) or self._records > _RECORDS_LIMIT:
            self.may_retry = True

    def _read(self, fragment: bytes) -> None:
        """Take a fragment of the first handshake message."""
        message = self._message = self._message + fragment[: _RANDOM_END - len(self._message)]
        if message[0] != _SERVER_HELLO:
            self.may_retry = True
        elif len(message) == _RANDOM_END:
            self.may_retry = message[_RANDOM_AT:] == RETRY_RANDOM


def _read_random(data: bytes) -> bool | None:
    """Read what nearly every stream of TLS begins with: one record with the random of a ServerHello.

    Returns:
        `may_retry`; None where the stream begins otherwise.
    """
    if data[:2] != _BEGIN or len(data) < _LEAST_BYTES or data[HEADER_BYTES] != _SERVER_HELLO:
        return None
    if data[3] == 0 and data[4] < _RANDOM_END:
        return None
    return data[HEADER_BYTES + _RANDOM_AT : _LEAST_BYTES] == RETRY_RANDOM
