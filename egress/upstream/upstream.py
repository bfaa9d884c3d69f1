"""Upstreams made from settings: their credentials, certificates and trusted authorities are loaded."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from egress.config.watched_file import Seconds
from egress.errors import ConfigError
from egress.interfaces import ICredentialSource
from egress.model import Authority
from egress.tls import TrustedAuthorities, UpstreamTls, load_authorities, load_certificate
from egress.upstream.connect_headers import NO_HEADERS, ConnectHeaders
from egress.upstream.credentials import BasicCredentials, FixedCredentials, find_credentials
from egress.upstream.proxy_url import ProxyAddress
from egress.upstream.routing_settings import SYSTEMD, UpstreamSettings


@frozen(eq=False)
class Upstream:
    """One upstream proxy.

    Attributes:
        name: the upstream's name in the configuration, or the environment variable.
        scheme: the scheme of the connection to the proxy: "http" or "https".
        authority: the host and port of the proxy.
        credentials: the credentials for Proxy-Authorization; None for no field.
        tls: the TLS with the proxy; None with "http".
        connect_headers: further fields of CONNECT requests to the proxy.
    """

    name: str
    scheme: str
    authority: Authority
    credentials: ICredentialSource | None = field(default=None, repr=False)
    tls: UpstreamTls | None = field(default=None, repr=False)
    connect_headers: ConnectHeaders = NO_HEADERS

    def __attrs_post_init__(self) -> None:
        if (self.scheme == "https") is not (self.tls is not None):
            raise ValueError(f"an upstream of the scheme {self.scheme!r} and its TLS do not agree")


def make_upstream(
    settings: UpstreamSettings,
    clock: Seconds,
    directory: str | None,
    place: Callable[[str], str] = str,
    *,
    has_credentials: bool = True,
) -> Upstream:
    """Make an upstream from its settings: load its credentials, authorities and certificate.

    Args:
        settings: one `[[upstream]]`.
        clock: limits how often credential files are checked for changes.
        directory: the value of CREDENTIALS_DIRECTORY, which the service manager sets, or None.
        place: makes the settings' paths absolute; by default the paths are used unchanged.
        has_credentials: whether to load `credentials`; without them the upstream cannot be dialled.

    Raises:
        ConfigError: a setting or a file cannot be used; the key is relative to the upstream's table.
    """
    address = settings.url
    credentials = _of_url(address, "url")
    if settings.credentials and has_credentials:
        is_file = not settings.credentials.startswith(SYSTEMD)
        where = place(settings.credentials) if is_file else settings.credentials
        credentials = find_credentials(where, clock, directory)
    tls = None
    if address.scheme == "https":
        trust, own = TrustedAuthorities(), None
        if settings.ca:
            trust = TrustedAuthorities(load_authorities("ca", place(settings.ca)), settings.ca_mode == "add")
        if settings.certificate:
            own = load_certificate(place(settings.certificate), place(settings.key) if settings.key else "")
        tls = UpstreamTls.make(address.authority, trust, own)
    return Upstream(settings.name, address.scheme, address.authority, credentials, tls, settings.connect_headers)


def make_plain_upstream(name: str, address: ProxyAddress, where: str) -> Upstream:
    """Make an upstream from a URL of the environment.

    Args:
        name: the upstream's name in routes.
        address: the address from the URL.
        where: the environment variable, for errors.

    Raises:
        ConfigError: the credentials of the URL cannot be sent.
    """
    tls = UpstreamTls.make(address.authority, TrustedAuthorities()) if address.scheme == "https" else None
    return Upstream(name, address.scheme, address.authority, _of_url(address, where), tls)


def _of_url(address: ProxyAddress, where: str) -> ICredentialSource | None:
    if address.credentials is None:
        return None
    try:
        return FixedCredentials(BasicCredentials.parse(address.credentials.reveal()))
    except ValueError as problem:
        raise ConfigError(where, f"has credentials that cannot be used: {problem}") from None
