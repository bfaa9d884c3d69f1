"""The request target (RFC 9112 section 3.2), and the one form of its path that is judged and sent.

A path has many spellings too. It is brought into one form here (RFC 3986 section 6.2.2); policies see that form and the
origin gets that form, so that nothing is judged that is not sent. The query is not judged and goes on as it came.
"""

from __future__ import annotations

import re

from attrs import define

from egress.errors import ProtocolError
from egress.model import Authority
from egress.wire.authority import parse_authority

_VISIBLE = bytes(range(0x21, 0x7F))
_split = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*+):(?://([^/]*+)(.*+))?").match
_escapes = re.compile(rb"%([0-9A-Fa-f]{2})?")
# What servers read in different ways, in a path whose escapes are upper case: encoded slashes and backslashes, plain
# backslashes, what a second decoding or an overlong UTF-8 form (RFC 3629 section 3) would turn into something else, and
# dot segments with parameters, which some strip before they resolve the dots.
_is_ambiguous = re.compile(rb"%(?:2F|5C|C0|C1|25[0-9A-Fa-f]{2})|\\|/\.{1,2}(?:;|%3B)").search

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PLAIN_SCHEMES = frozenset(["http", "ws"])
_TLS_SCHEMES = frozenset(["https", "wss"])
_DEFAULT_PORT = 80

_REMEMBERED = 4096
_REMEMBERED_OCTETS = 300


@define
class Target:
    """What a request asks for, read.

    Attributes:
        form: "absolute", "authority" or "asterisk".
        scheme: "http" or "ws" in absolute form, else "".
        authority: where to; None in asterisk form.
        path: canonical, without query; None where the form has none.
        onward: what stands in the request line sent to the origin: the canonical path and the query as it came, or `*`.
        is_path_ambiguous: the path holds an encoded slash, or a backslash, encoded or not; servers read them in more
            ways than one.
        host: what stands in the Host field sent to the origin: the authority, without the port where that is 80.
    """

    form: str
    scheme: str
    authority: Authority | None
    path: str | None
    onward: bytes
    is_path_ambiguous: bool = False
    host: bytes = b""


_ASTERISK = Target("asterisk", "", None, None, b"*")
_remembered: dict[bytes, Target] = {}


def parse_target(method: str, target: bytes) -> Target:
    """Read a request target.

    Args:
        method: of the request: it decides which forms are allowed.
        target: as it stands in the request line.

    Returns:
        The target, its authority and path canonical.

    Raises:
        ProtocolError: bad_target; not_for_a_proxy for the origin form; https_target for https and wss;
            scheme_not_supported for any other scheme.
    """
    if method == "CONNECT":
        authority = parse_authority(target)
        return Target("authority", "", authority, None, authority.text.encode("ascii"), False, _host(authority))
    if target == b"*" and method == "OPTIONS":
        return _ASTERISK
    # Only what comes before the query is remembered: queries hold secrets, and hardly come twice.
    base, mark, query = target.partition(b"?")
    found = _remembered.get(base)
    if found is None:
        found = _absolute(base)
        if len(base) <= _REMEMBERED_OCTETS:
            if len(_remembered) >= _REMEMBERED:
                _remembered.clear()
            _remembered[base] = found
    if mark:
        if b"#" in query or query.translate(None, _VISIBLE):
            raise ProtocolError("bad_target", "the query holds a fragment, spaces, control bytes or non-ASCII octets")
        onward = b"%b?%b" % (found.onward, query)
    elif method == "OPTIONS" and target.count(b"/") == 2:
        # RFC 9112 section 3.2.4: no path and no query; the last proxy sends the asterisk. It is judged as the root.
        onward = b"*"
    else:
        return found
    return Target(found.form, found.scheme, found.authority, found.path, onward, found.is_path_ambiguous, found.host)


def _absolute(target: bytes) -> Target:
    if target.startswith(b"/"):
        raise ProtocolError("not_for_a_proxy", "the target is a path; a forward proxy is sent an absolute URI")
    if target == b"*":
        raise ProtocolError("bad_target", "the target * stands alone, and only with OPTIONS")
    # By RFC 3986 section 2 | " < > { } ^ ` would be escaped, but clients send them, and nobody reads them in two ways.
    if not target or target.translate(None, _VISIBLE):
        raise ProtocolError("bad_target", "the target is empty or holds spaces, control bytes or non-ASCII octets")
    if b"#" in target:
        raise ProtocolError("bad_target", "a request target has no fragment")
    match = _split(target)
    if match is None:
        raise ProtocolError("bad_target", "the target is not an absolute URI")
    scheme = match[1].decode("ascii").lower()
    raw_authority, raw_path = match.group(2, 3)
    if scheme in _TLS_SCHEMES:
        raise ProtocolError("https_target", "an https or wss target goes through CONNECT, not in the clear")
    if scheme not in _PLAIN_SCHEMES:
        if raw_authority is None and target[match.end() :].isdigit():
            raise ProtocolError("bad_target", "only CONNECT has a target of host and port")
        raise ProtocolError("scheme_not_supported", "the target's scheme is neither http nor ws")
    if not raw_authority:
        raise ProtocolError("bad_target", "the target has no host")
    authority = parse_authority(raw_authority, _DEFAULT_PORT)
    path, is_ambiguous = _canonical_path(raw_path)
    return Target("absolute", scheme, authority, path.decode("ascii"), path, is_ambiguous, _host(authority))


def _host(authority: Authority) -> bytes:
    text = authority.text[:-3] if authority.port == _DEFAULT_PORT else authority.text
    return text.encode("ascii")


def _canonical_path(raw: bytes) -> tuple[bytes, bool]:
    """Decode what need not be encoded, remove dot segments, and say whether slashes are in doubt."""
    if not raw:
        return b"/", False
    path = _escapes.sub(_canonical_escape, raw) if b"%" in raw else raw
    # After the decoding, because %2e is a dot to every server.
    if b"/." in path:
        path = _without_dots(path)
    return path, _is_ambiguous(path) is not None


def _canonical_escape(match: re.Match[bytes]) -> bytes:
    digits = match[1]
    if digits is None:
        raise ProtocolError("bad_target", "a percent sign in the path is not followed by two hexadecimal digits")
    octet = int(digits, 16)
    if octet < 0x20 or octet == 0x7F:
        raise ProtocolError("bad_target", "the path holds an encoded control byte")
    if octet in _UNRESERVED:
        return bytes((octet,))
    return match[0].upper()


def _without_dots(path: bytes) -> bytes:
    """Remove `.` and `..` segments (RFC 3986 section 5.2.4)."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            if not kept:
                raise ProtocolError("bad_target", "the path leads above its root")
            kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
