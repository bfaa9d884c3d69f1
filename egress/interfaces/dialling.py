"""Dialling: endpoints and the objects that report what became of a dial."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint, ITransport
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface

from egress.errors import DialFailed
from egress.model import Authority, Route, Trace


class IDialListener(Interface):
    """Receives the outcome of one dial: exactly one call, or none after the dial was cancelled."""

    def connected(protocol: IProtocol) -> None:
        """The protocol was built by the dial's factory and has its transport."""

    def failed(failure: Failure) -> None:
        """Nothing is connected. The failure holds DialFailed, or the error that the factory raised."""


class IDial(Interface):
    """One attempt to connect, over any number of addresses and hops."""

    def begin() -> None:
        """Start. The listener may be called before this returns."""

    def cancel() -> None:
        """Stop every connection attempt and handshake. The listener is not called any more; harmless when over."""


class IDialEndpoint(IStreamClientEndpoint):
    """An endpoint that dials for a listener. Its ``connect`` does so with a Deferred and fails with DialFailed."""

    def make_dial(protocol_factory: IProtocolFactory, listener: IDialListener) -> IDial:
        """Prepare one dial, which ``IDial.begin`` starts.

        Args:
            protocol_factory: builds the protocol once a connection is established.
            listener: receives the outcome.
        """


class IConnectionNotifier(IProtocol):
    """A protocol that reports that it has its transport. Dials wrap protocols that do not provide this."""

    on_connected: Callable[[IProtocol, ITransport], None] | None = Attribute(
        "Set by the dial. Called once, with the protocol and its transport, at the end of ``makeConnection``."
    )


class ITunnelingAgent(Interface):
    """Builds the endpoint by which a route is dialled."""

    def endpoint_for(target: Authority, route: Route, trace: Trace) -> IDialEndpoint:
        """Build the endpoint that reaches ``target`` by ``route``.

        It dials only addresses and hops of ``route``.

        Args:
            target: the requested destination; only its port is used on a direct route.
            route: judged addresses and hops.
            trace: records the attempts.

        Raises:
            ValueError: a hop of the route is not a known proxy.
        """


class IForwardProxies(Interface):
    """The upstream proxies of a configuration snapshot."""

    def last_proxy(route: Route) -> IForwardProxy:
        """Find the last proxy of a route.

        Raises:
            ValueError: the route is direct, or a hop of it is not a known proxy.
        """


class IForwardProxy(Interface):
    """The last proxy of one route, as the recipient of requests in absolute form (RFC 9112 section 3.2.2)."""

    upstream: str = Attribute("Its name in the configuration.")

    def endpoint(trace: Trace) -> IDialEndpoint:
        """Build the endpoint that reaches the proxy itself, through the proxies before it.

        Args:
            trace: records the attempts.
        """

    def authorization() -> bytes | None:
        """Give the current value of Proxy-Authorization, or None without credentials."""

    def credentials_mark() -> int:
        """Give a number that changes when the credentials of any proxy of the route change. It reveals none of them."""

    def unauthorized(challenges: list[bytes], *, is_sent: bool) -> DialFailed:
        """Describe a 407 answer of the proxy.

        Args:
            challenges: the values of Proxy-Authenticate.
            is_sent: the request had credentials.
        """

    def connection_lost(reason: Failure) -> DialFailed | None:
        """Describe the loss of a connection to the proxy, or give None where TLS is not the cause."""
