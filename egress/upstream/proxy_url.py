"""Reads the URL of a proxy, and forgets at once how its password was spelled."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from attrs import frozen

from egress.errors import ConfigError, ProtocolError
from egress.model import Authority, Hop, Secret
from egress.wire.authority import parse_authority

DEFAULT_PORTS = {"http": 80, "https": 443}

_tail = re.compile(r"[/?#]")
_scheme = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*").fullmatch
_bad_percent = re.compile(r"%(?![0-9A-Fa-f]{2})").search
# Beyond ASCII there are the C1 controls: no password has them, and terminals act on them.
_control = re.compile(r"[\x00-\x1f\x7f-\x9f]").search


@frozen
class ProxyAddress:
    """Where a proxy is and how it is spoken to. Its spellings show no password.

    Attributes:
        scheme: "http" or "https": how this proxy itself is reached, whatever is sent through it.
        authority: where it listens.
        credentials: `user:password` for the Basic scheme (RFC 7617), or None.
    """

    scheme: str
    authority: Authority
    credentials: Secret | None = None

    def hop(self, upstream: str) -> Hop:
        """Give the hop that this proxy is on a route.

        Args:
            upstream: the name by which its credentials and trust are found.
        """
        return Hop(upstream, self.scheme, self.authority)

    def __str__(self) -> str:
        """Spell it for people: `http://user:****@proxy.example:8080`."""
        return f"{self.scheme}://{self._masked_user()}{self.authority.text}"

    def _masked_user(self) -> str:
        if self.credentials is None:
            return ""
        user, _, password = self.credentials.reveal().partition(":")
        # A token is often written as a user without a password: then the user is the secret.
        return f"{quote(user, safe='')}:****@" if password else "****@"


def parse_proxy_url(text: str, where: str) -> ProxyAddress:
    """Read `http://[user:password@]host[:port]`, or the same with `https://`.

    The port is 80 or 443 where none is given. In the user and the password what is not plain is percent-encoded; what
    that makes must be UTF-8 without control characters.

    Args:
        text: the URL. Nothing of it is repeated in an error, because any part may turn out to be a password.
        where: the key path or the variable that it stands in.

    Raises:
        ConfigError: it cannot be used as the address of a proxy.
    """
    try:
        return _parse(text)
    except ValueError as error:
        raise ConfigError(where, str(error)) from None
    except ProtocolError as error:
        raise ConfigError(where, error.reason) from None


def _parse(text: str) -> ProxyAddress:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("has white space, control characters or characters outside ASCII; percent-encode them")
    scheme, slashes, rest = text.partition("://")
    if not slashes or not _scheme(scheme):
        raise ValueError('has no scheme; write "http://HOST:PORT" or "https://HOST:PORT"')
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        what = "SOCKS proxies are not spoken to" if scheme.startswith("socks") else "its scheme is unknown"
        raise ValueError(f"{what}; http:// and https:// proxies are")
    end = _tail.search(rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if tail not in ("", "/"):
        raise ValueError("has a path, query or fragment; in a password write / as %2F, ? as %3F and # as %23")
    userinfo, at, host = authority.rpartition("@")
    credentials = _read_userinfo(userinfo) if at else None
    return ProxyAddress(scheme, parse_authority(host.encode("ascii"), DEFAULT_PORTS[scheme]), credentials)


def _read_userinfo(text: str) -> Secret:
    if "@" in text:
        raise ValueError("has more than one @; in a user or password write it as %40")
    user, _, password = (_decode(part) for part in text.partition(":"))
    if not user:
        raise ValueError("has an empty user before the @")
    if ":" in user:
        raise ValueError("has a user with a colon, which Basic credentials cannot hold")
    return Secret(f"{user}:{password}")


def _decode(text: str) -> str:
    if _bad_percent(text):
        raise ValueError("has a % in its credentials that is not followed by two hexadecimal digits; write it as %25")
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("has credentials that are not UTF-8 once decoded") from None
    if _control(decoded):
        raise ValueError("has control characters in its credentials")
    return decoded
