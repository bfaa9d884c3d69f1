"""TLS of listeners: what the configuration says of it, and the files that it names."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.interfaces import IProtocolFactory

from egress.config import prefix
from egress.errors import ConfigError
from egress.proxy.client.tls import TlsProxyFactory
from egress.proxy.factory import ProxyFactory
from egress.proxy.server import ProxyServer
from egress.service.settings.settings import ListenerSettings, Source
from egress.tls import ServerTls, load_authorities, load_certificate


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
    own = load_certificate(source.path(settings.certificate), key)
    authorities = load_authorities("client_ca", source.path(settings.client_ca)) if settings.client_ca else ()
    return ServerTls.make(own, authorities, is_required=listener.require == "certificate")


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
