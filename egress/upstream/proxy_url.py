"""URLs of proxies."""

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
# The range includes the C1 controls, which terminals interpret.
_control = re.compile(r"[\x00-\x1f\x7f-\x9f]").search


@frozen
class ProxyAddress:
    """The address and the scheme of a proxy. `str` and `repr` show no password.

    Attributes:
        scheme: the scheme of the connection to the proxy, "http" or "https".
        authority: the host and port of the proxy.
        credentials: `user:password` for the Basic scheme (RFC 7617), or None.
    """

    scheme: str
    authority: Authority
    credentials: Secret | None = None

    def hop(self, upstream: str) -> Hop:
        """Make the hop of this proxy.

        Args:
            upstream: the proxy's name, which selects its credentials and trusted authorities.
        """
        return Hop(upstream, self.scheme, self.authority)

    def __str__(self) -> str:
        """Return the URL with a masked password: `http://user:****@proxy.example:8080`."""
        return f"{self.scheme}://{self._masked_user()}{self.authority.text}"

    def _masked_user(self) -> str:
        if self.credentials is None:
            return ""
        user, _, password = self.credentials.reveal().partition(":")
        # Without a password the user is often a token, and therefore secret.
        return f"{quote(user, safe='')}:****@" if password else "****@"


def parse_proxy_url(text: str, where: str, default_scheme: str = "") -> ProxyAddress:
    """Parse `http://[user:password@]host[:port]` or `https://[user:password@]host[:port]`.

    The default port is 80 or 443. User and password may be percent-encoded; decoded, they must be UTF-8 without control
    characters.

    Args:
        text: the URL. No error repeats any part of it, because any part may be a password.
        where: the key path or the variable that holds the URL.
        default_scheme: of a URL without `http://` in front, which must then have a port, because programs disagree
            about the port of such a proxy; "" where the scheme is required.

    Raises:
        ConfigError: the text is not the URL of a proxy.
    """
    try:
        return _parse(text, default_scheme)
    except ValueError as error:
        raise ConfigError(where, str(error)) from None
    except ProtocolError as error:
        raise ConfigError(where, error.reason) from None


def _parse(text: str, default_scheme: str) -> ProxyAddress:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("has white space, control characters or characters outside ASCII; percent-encode them")
    scheme, slashes, rest = text.partition("://")
    has_scheme = bool(slashes)
    if not has_scheme and default_scheme:
        scheme, rest = default_scheme, text
    elif not has_scheme or not _scheme(scheme):
        raise ValueError('has no scheme; write "http://HOST:PORT" or "https://HOST:PORT"')
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        what = "SOCKS proxies" if scheme.startswith("socks") else "proxies of this scheme"
        raise ValueError(f"{what} are not supported; http:// and https:// proxies are")
    end = _tail.search(rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if tail not in ("", "/"):
        raise ValueError("has a path, query or fragment; in a password write / as %2F, ? as %3F and # as %23")
    userinfo, at, host = authority.rpartition("@")
    credentials = _read_userinfo(userinfo) if at else None
    if not has_scheme and ":" not in host.rpartition("]")[2]:
        raise ValueError('has neither a scheme nor a port; write "http://HOST:PORT"')
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
