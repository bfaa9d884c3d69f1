"""TLS of listeners: what the configuration says of it, and the files that it names."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.x509 import Certificate
from OpenSSL import SSL
from twisted.internet.interfaces import IProtocolFactory

from egress.config import prefix
from egress.errors import ConfigError
from egress.proxy.client.tls import TlsProxyFactory
from egress.proxy.factory import ProxyFactory
from egress.proxy.server import ProxyServer
from egress.service.settings.settings import ListenerSettings, Source
from egress.tls import ServerTls, make_context
from egress.tls.pem import load_client_certificate, load_trust


def load_tls(source: Source) -> dict[str, ServerTls]:
    """Read the certificates of all listeners that speak TLS.

    Returns:
        TLS of each of them, by the listener's name.

    Raises:
        ConfigError: a file cannot be read or used; with the key that names it.
    """
    found = {}
    for index, listener in enumerate(source.settings.listener):
        if listener.tls.certificate:
            try:
                found[listener.name] = _load(source, listener)
            except ConfigError as error:
                raise source.place(ConfigError(prefix(f"listener[{index}].tls", error.where), error.problem))
    return found


def _load(source: Source, listener: ListenerSettings) -> ServerTls:
    settings = listener.tls
    key = source.path(settings.key) if settings.key else ""
    own = load_client_certificate(source.path(settings.certificate), key)
    authorities: tuple[Certificate, ...] = ()
    if settings.client_ca:
        try:
            authorities = load_trust(source.path(settings.client_ca), has_system=False).authorities
        except ConfigError as error:
            raise ConfigError("client_ca", error.problem)
    try:
        context = make_context(own.chain, own.key, authorities, is_required=listener.require == "certificate")
    except SSL.Error:
        # The words of OpenSSL are about the library, not about what would help.
        raise ConfigError("certificate", "cannot be used for TLS: its key may be too short, or of a kind not known")
    return ServerTls(context)


def make_factories(source: Source, server: ProxyServer, tls: Mapping[str, ServerTls]) -> dict[str, IProtocolFactory]:
    """Make what builds the protocols of each listener.

    Args:
        source: the settings.
        server: what all listeners share.
        tls: of those that speak it, by name.

    Returns:
        The factories by the listeners' names.
    """
    factories: dict[str, IProtocolFactory] = {}
    for listener in source.settings.listener:
        plain = ProxyFactory(listener.name, server)
        secure = tls.get(listener.name)
        factories[listener.name] = plain if secure is None else TlsProxyFactory(secure, plain)
    return factories
