"""The record layer of TLS, as far as an unencrypted stream shows it (RFC 8446 section 5.1, RFC 6520)."""

from __future__ import annotations

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA, HEARTBEAT = range(0x14, 0x19)

MAJOR_VERSION = 3
"""Of every version from SSL 3.0 to TLS 1.3."""

HEADER_BYTES = 5
"""The content type, the legacy version and the length."""

_CLIENT_HELLO = 1
_ALERT_BYTES = 2


def begins_tls(first: bytes) -> bool | None:
    """Say whether a client's stream begins as TLS does, for some server at least.

    A record has a content type and the major version 3. Some servers do not look at the version of an unencrypted
    record: Java's (JDK 17, tried) takes any, Go's (crypto/tls, read) any major version below 16. They read a handshake
    record, or skip alerts in front of one. A record of these two types with another version therefore counts as TLS
    if its content is that of an alert or of the beginning of a ClientHello. No such server skips other records.

    A hello in the format of SSL 2.0 (RFC 5246 appendix E.2) begins with another octet and does not count as TLS.

    Args:
        first: the first octets, at least one.

    Returns:
        None where more octets are needed; at most six are.
    """
    kind = first[0]
    if not CHANGE_CIPHER_SPEC <= kind <= HEARTBEAT:
        return False
    if len(first) < 2:
        return None
    if first[1] == MAJOR_VERSION:
        return True
    if kind != ALERT and kind != HANDSHAKE:
        return False
    if len(first) < HEADER_BYTES:
        return None
    size = int.from_bytes(first[3:HEADER_BYTES], "big")
    if kind == ALERT:
        return size == _ALERT_BYTES
    if not size:
        # Java's server skips an empty handshake record, which RFC 8446 forbids.
        return True
    return None if len(first) == HEADER_BYTES else first[HEADER_BYTES] == _CLIENT_HELLO
