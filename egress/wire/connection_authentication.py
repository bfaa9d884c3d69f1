"""Authentication of a connection instead of a request: NTLM, Negotiate and Kerberos (RFC 4559 section 6).

An origin that has authenticated a connection by such a scheme answers whatever comes on it under that identity.
"""

from __future__ import annotations

import re

from egress.wire.fields import Fields

PROXY_SUPPORT = b"Proxy-Support: Session-Based-Authentication\r\n"
"""Tells the client that the proxy keeps the connection for it. Some clients authenticate no connection without it."""

_SCHEME = rb"(?i:ntlm|negotiate|kerberos)(?![!#$%&'*+\-.^_`|~0-9A-Za-z])"
# Each begins with an octet, which the regular expression engine looks for quickly.
_search_credentials = re.compile(rb"\n(?i:authorization):[\t\x20]*+" + _SCHEME).search
_search_challenge = re.compile(
    rb"\n(?i:www|proxy)-(?i:authenticate):(?:[^\r]*[^\r!#$%&'*+\-.^_`|~0-9A-Za-z])?" + _SCHEME
).search


def has_credentials(head: bytes) -> bool:
    """Whether a request head has credentials of such a scheme for its origin.

    Args:
        head: well formed, with its request line.
    """
    return _search_credentials(head) is not None


def is_challenged(block: bytes) -> bool:
    """Whether a response offers such a scheme. A scheme's name in a parameter of another scheme counts as one.

    Args:
        block: well-formed field lines, each with its CRLF.
    """
    return _search_challenge(b"\n" + block) is not None


def has_proxy_support(fields: Fields) -> bool:
    """Whether the proxy that sent a response keeps an authenticated connection to the origin for its client."""
    values = fields.values(b"proxy-support")
    return any(b"session-based-authentication" in value.lower() for value in values)
