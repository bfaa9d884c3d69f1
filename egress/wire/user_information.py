"""User information in a request target (RFC 3986 section 3.2.1), which some clients leave to the proxy.

RFC 9110 section 4.2.4 forbids to send it on. It becomes the credentials that a client makes of it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import unquote_to_bytes

from egress.errors import ProtocolError

_is_valid = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})++").fullmatch
_has_control = re.compile(rb"[\x00-\x1f\x7f]").search
_find_in_uri = re.compile(rb"(\A[A-Za-z][A-Za-z0-9+.-]*+://)[^/?#]*@").sub


def basic_authorization(raw: bytes) -> bytes | None:
    """Convert user information into the value of an Authorization field, as clients do.

    Args:
        raw: what is before the `@`: a user name, or a user name and a password with a colon between, percent-encoded.

    Returns:
        Basic credentials (RFC 7617); None where there is no user information.

    Raises:
        ProtocolError: bad_target: octets that RFC 3986 does not allow, an encoded control byte, or an encoded colon in
            the user name, which would end it elsewhere (RFC 7617 section 2). The reason repeats nothing of it.
    """
    if not raw:
        return None
    user, _, password = raw.partition(b":")
    if _is_valid(raw):
        user, password = unquote_to_bytes(user), unquote_to_bytes(password)
        if b":" not in user and not _has_control(user) and not _has_control(password):
            return b"Basic " + b64encode(user + b":" + password)
    raise ProtocolError("bad_target", "the user information in the target is malformed")


def without_user_information(target: bytes) -> bytes:
    """Remove the user information from a target in absolute form; any other target is returned unchanged."""
    return _find_in_uri(rb"\1", target)
