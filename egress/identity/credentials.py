"""Parses the credentials of a request (RFC 9110 section 11.7.2)."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode

from attrs import field, frozen

_LIMIT_OCTETS = 1024
_match_credentials = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+) +([A-Za-z0-9._~+/-]+=*)[ \t]*").fullmatch


@frozen
class Credentials:
    """The credentials of a request.

    Attributes:
        name: the user name; None where the scheme has no name.
        secret: the token, or the chosen secret.
    """

    name: bytes | None = field(repr=False)
    secret: bytes = field(repr=False)


def read_credentials(value: bytes) -> Credentials | None:
    """Parse a Proxy-Authorization field.

    Args:
        value: the value of the field.

    Returns:
        The credentials; None for a value that is malformed, or neither Basic (RFC 7617) nor Bearer (RFC 6750 section
        2.1).
    """
    found = _match_credentials(value) if len(value) <= _LIMIT_OCTETS else None
    if found is None:
        return None
    scheme, rest = found[1].lower(), found[2]
    if scheme == b"bearer":
        return Credentials(None, rest)
    if scheme != b"basic":
        return None
    try:
        pair = b64decode(rest, validate=True)
    except binascii.Error:
        return None
    name, colon, secret = pair.partition(b":")
    return Credentials(name, secret) if colon else None
