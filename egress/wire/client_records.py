"""The records that a client may send between its ClientHello and the answer to it (RFC 8446 section 5.1)."""

from __future__ import annotations

from attrs import define

from egress.wire.tls_record import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HEADER_BYTES

# Early data (RFC 8446 section 4.2.10), a change_cipher_spec for middleboxes (appendix D.4), and a client that gives up.
_PASSING = frozenset((CHANGE_CIPHER_SPEC, ALERT, APPLICATION_DATA))


@define(eq=False)
class ClientRecords:
    """Finds the first record that may hold a ClientHello, for every split of the stream.

    Attributes:
        kept: a record header that has begun.
    """

    kept: bytes = b""
    _left: int = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take more octets. Not to be called again after a record was found.

        Args:
            data: any number of octets, in wire order.

        Returns:
            The octets of records that hold no handshake message; and the octets from the first other record on.
        """
        data = self.kept + data
        at, end = self._left, len(data)
        while at < end and data[at] in _PASSING and at + HEADER_BYTES <= end:
            at += HEADER_BYTES + int.from_bytes(data[at + 3 : at + HEADER_BYTES], "big")
        if at >= end:
            self._left, self.kept = at - end, b""
            return data, b""
        self._left, self.kept = 0, b""
        if data[at] in _PASSING:
            self.kept = data[at:]
            return data[:at], b""
        return data[:at], data[at:]
