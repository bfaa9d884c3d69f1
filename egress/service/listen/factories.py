"""Makes the protocol factories of listeners."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.interfaces import IProtocolFactory

from egress.proxy.client.tls import TlsProxyFactory
from egress.proxy.factory import ProxyFactory
from egress.proxy.server import ProxyServer
from egress.service.settings.source import Source
from egress.tls import ServerTls


def make_factories(source: Source, server: ProxyServer, tls: Mapping[str, ServerTls]) -> dict[str, IProtocolFactory]:
    """Make the protocol factory of each listener.

    Args:
        source: the settings.
        server: the server of all listeners.
        tls: the TLS of listeners with TLS, by the listener's name.

    Returns:
        The factories by the listeners' names.
    """
    factories: dict[str, IProtocolFactory] = {}
    for listener in source.settings.listener:
        plain = ProxyFactory(listener.name, server)
        secure = tls.get(listener.name)
        factories[listener.name] = plain if secure is None else TlsProxyFactory(secure, plain)
    return factories
