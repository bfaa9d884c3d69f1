"""The request target (RFC 9112 section 3.2) and the canonical form of its path.

A path has many spellings. `parse_target` normalizes it (RFC 3986 section 6.2.2). Policies judge the canonical path and
the origin receives the canonical path. The query is not judged and is forwarded unchanged. User information is removed.
"""

from __future__ import annotations

import re
from unicodedata import category, normalize
from urllib.parse import unquote_to_bytes

from attrs import define, field

from egress.errors import ProtocolError
from egress.memo import Memo
from egress.model import Authority
from egress.wire.authority import parse_authority
from egress.wire.user_information import basic_authorization

_VISIBLE = bytes(range(0x21, 0x7F))
_split_uri = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*+):(?://([^/]*+)(.*+))?").match
_escapes = re.compile(rb"%(?:[0-9A-Fa-f]{2})?")
# Parts of a path with upper-case escapes that servers interpret differently: encoded slashes and backslashes, plain
# backslashes, and escapes that a second decoding changes.
_has_ambiguous_part = re.compile(rb"%(?:2F|5C|25(?:[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}))|\\").search
_has_high_octet = re.compile(rb"%[89A-F]").search
# Segments of dots and escapes alone, up to their parameters, with a dot or a character that NFKC folds to dots.
_find_dots_and_escapes = re.compile(
    rb"(?<=/)(?=[^/.]*+\.|[^/]*?%(?:E2%80%A[456]|EF%B(?:8%(?:99|B0)|9%92|C%8E)))(?:\.|%(?!3B)[0-9A-F]{2})++(?=;|%3B|/|\Z)"
).findall
# What some servers strip from a name beside white space: controls, format characters and unassigned code points.
_STRIPPED_CATEGORIES = frozenset(["Cc", "Cf", "Cn"])

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# The canonical spelling of each escape but those of control bytes, by every spelling: a path may hold thousands.
_CANONICAL_ESCAPES = {
    b"%%%c%c" % (first, last): bytes((octet,)) if octet in _UNRESERVED else b"%%%02X" % octet
    for first in b"0123456789ABCDEFabcdef"
    for last in b"0123456789ABCDEFabcdef"
    if 0x20 <= (octet := int(bytes((first, last)), 16)) != 0x7F
}
_PLAIN_SCHEMES = frozenset(["http", "ws"])
_TLS_SCHEMES = frozenset(["https", "wss"])
_DEFAULT_PORT = 80
# Of the schemes that are refused, for the log. The port of any other scheme is not known.
_REFUSED_PORTS = {"https": 443, "wss": 443, "ftp": 21}

_MEMO_KEY_BYTES = 300


@define
class Target:
    """A parsed request target.

    Attributes:
        form: "absolute", "authority" or "asterisk".
        scheme: "http" or "ws" in absolute form, else "".
        authority: the destination; None in asterisk form.
        path: the canonical path without the query; None where the form has none.
        forward_target: the target in the request line that the origin receives: the canonical path and the unchanged
            query, or `*`.
        is_path_ambiguous: servers interpret the path differently, for example because of an encoded slash or overlong
            UTF-8.
        host_field: the value of the Host field that the origin receives: the authority, without the port 80.
        authorization: the value of an Authorization field with the user information of the target; None for none.
    """

    form: str
    scheme: str
    authority: Authority | None
    path: str | None
    forward_target: bytes
    is_path_ambiguous: bool = False
    host_field: bytes = b""
    authorization: bytes | None = field(default=None, repr=False)


_ASTERISK = Target("asterisk", "", None, None, b"*")
# Absolute forms without their query: at most 4,096 keys of 300 octets, below 6 MiB with their values. Queries are
# left out because they hold secrets and hardly repeat, and so are targets with user information.
_memo: Memo[bytes, Target] = Memo(4096)


def parse_target(method: str, target: bytes) -> Target:
    """Parse a request target.

    Args:
        method: of the request; it determines the forms that are allowed.
        target: the target as sent.

    Returns:
        The target with canonical authority and path.

    Raises:
        ProtocolError: bad_target; not_for_a_proxy for the origin form; https_target for https and wss;
            scheme_not_supported for any other scheme. It has the destination where that could be read.
    """
    if method == "CONNECT":
        try:
            authority = parse_authority(target)
        except ProtocolError as error:
            error.authority = _find_authority(target, 0)
            raise
        return Target("authority", "", authority, None, authority.text.encode("ascii"), False, _host_field(authority))
    if target == b"*" and method == "OPTIONS":
        return _ASTERISK
    base, mark, query = target.partition(b"?")
    found = _memo.get(base)
    if found is None:
        found = _parse_absolute(base)
        if len(base) <= _MEMO_KEY_BYTES and found.authorization is None:
            _memo.keep(base, found)
    if mark:
        if b"#" in query or query.translate(None, _VISIBLE):
            words = "the query holds a fragment, spaces, control bytes or non-ASCII octets"
            raise ProtocolError("bad_target", words, authority=found.authority)
        forwarded = b"%b?%b" % (found.forward_target, query)
    elif method == "OPTIONS" and target.count(b"/") == 2:
        # RFC 9112 section 3.2.4: without path and query the last proxy sends the asterisk. The judged path is the root.
        forwarded = b"*"
    else:
        return found
    return Target(
        found.form,
        found.scheme,
        found.authority,
        found.path,
        forwarded,
        found.is_path_ambiguous,
        found.host_field,
        found.authorization,
    )


def _parse_absolute(target: bytes) -> Target:
    if target.startswith(b"/"):
        raise ProtocolError("not_for_a_proxy", "the target is a path; a forward proxy is sent an absolute URI")
    if target == b"*":
        raise ProtocolError("bad_target", "the target * is for OPTIONS only, without anything else")
    # RFC 3986 section 2 excludes | " < > { } ^ ` but clients send them, and no server interprets them differently.
    if not target or target.translate(None, _VISIBLE):
        raise ProtocolError("bad_target", "the target is empty or holds spaces, control bytes or non-ASCII octets")
    if b"#" in target:
        raise ProtocolError("bad_target", "a request target has no fragment")
    match = _split_uri(target)
    if match is None:
        raise ProtocolError("bad_target", "the target is not an absolute URI")
    scheme = match[1].decode("ascii").lower()
    raw_authority, raw_path = match.group(2, 3)
    if scheme not in _PLAIN_SCHEMES:
        if raw_authority is None and target[match.end() :].isdigit():
            raise ProtocolError("bad_target", "only CONNECT has a target of host and port")
        code, words = "scheme_not_supported", "the target's scheme is neither http nor ws"
        if scheme in _TLS_SCHEMES:
            code, words = "https_target", "an https or wss target goes through CONNECT, not in the clear"
        authority = _find_authority(raw_authority or b"", _REFUSED_PORTS.get(scheme, 0))
        raise ProtocolError(code, words, authority=authority)
    if not raw_authority:
        raise ProtocolError("bad_target", "the target has no host")
    # The last @, though user information has none: what has two is refused, and its host is the one of every reader.
    user_information, _, place = raw_authority.rpartition(b"@")
    # RFC 3986 section 3.2.3: a port may be empty, and is then the one of the scheme.
    authority = parse_authority(place.removesuffix(b":"), _DEFAULT_PORT)
    try:
        authorization = basic_authorization(user_information)
        path, is_ambiguous = _canonical_path(raw_path)
    except ProtocolError as error:
        error.authority = authority
        raise
    host_field = _host_field(authority)
    return Target("absolute", scheme, authority, path.decode("ascii"), path, is_ambiguous, host_field, authorization)


def _find_authority(raw: bytes, default_port: int) -> Authority | None:
    """Find the destination in a target that is refused; None where there is none."""
    try:
        return parse_authority(raw.rpartition(b"@")[2].removesuffix(b":"), default_port)
    except ProtocolError:
        return None


def _host_field(authority: Authority) -> bytes:
    text = authority.text[:-3] if authority.port == _DEFAULT_PORT else authority.text
    return text.encode("ascii")


def _canonical_path(raw: bytes) -> tuple[bytes, bool]:
    """Decode unreserved characters and remove dot segments; also return whether the path is ambiguous."""
    if not raw:
        return b"/", False
    path = _escapes.sub(_canonical_escape, raw) if b"%" in raw else raw
    # After the decoding, because every server decodes %2e to a dot.
    if b"/." in path:
        path = _without_dots(path)
    return path, _is_ambiguous(path)


def _is_ambiguous(path: bytes) -> bool:
    """Whether servers interpret a canonical path differently."""
    if _has_ambiguous_part(path):
        return True
    if b"%" not in path and b"/." not in path:
        return False
    if _has_high_octet(path):
        try:
            unquote_to_bytes(path).decode("utf-8")
        except UnicodeDecodeError:
            # A decoder may accept overlong forms (RFC 3629 section 3), drop octets, replace octets or read Latin-1.
            return True
    return any(_is_dots(unquote_to_bytes(segment).decode("utf-8")) for segment in _find_dots_and_escapes(path))


def _is_dots(segment: str) -> bool:
    """Whether a segment that is no dot segment may become one: where a server strips characters, or folds Unicode."""
    has_dot = False
    for character in segment:
        for plain in normalize("NFKC", character):
            if plain == ".":
                has_dot = True
            elif not plain.isspace() and category(plain) not in _STRIPPED_CATEGORIES:
                return False
    return has_dot


def _canonical_escape(match: re.Match[bytes]) -> bytes:
    canonical = _CANONICAL_ESCAPES.get(match[0])
    if canonical is not None:
        return canonical
    if len(match[0]) == 1:
        raise ProtocolError("bad_target", "a percent sign in the path is not followed by two hexadecimal digits")
    raise ProtocolError("bad_target", "the path holds an encoded control byte")


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
