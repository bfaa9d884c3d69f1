"""Dialling: endpoints, dials, and the listeners that receive the outcome of a dial."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint, ITransport
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface

from egress.errors import DialFailed
from egress.model import NO_FIELDS, Authority, ConnectFields, Route, Trace


class IDialListener(Interface):
    """Receives the outcome of one dial: exactly one call, or none after the dial was cancelled."""

    def connected(protocol: IProtocol) -> None:
        """Receive the connected protocol, which the dial's factory built and which has its transport."""

    def failed(failure: Failure) -> None:
        """Receive the failure of the dial: DialFailed, or the error that the factory raised."""


class IDial(Interface):
    """One attempt to connect, by any number of addresses and hops."""

    def begin() -> None:
        """Start the dial. The listener may be called before this method returns."""

    def cancel() -> None:
        """Stop every attempt and handshake, without a call of the listener. No effect once the dial is over."""


class IDialEndpoint(IStreamClientEndpoint):
    """An endpoint that dials for a listener. ``connect`` is the form with a Deferred, which fails with DialFailed."""

    def make_dial(protocol_factory: IProtocolFactory, listener: IDialListener) -> IDial:
        """Make one dial, which ``IDial.begin`` starts.

        Args:
            protocol_factory: builds the protocol once a connection is established.
            listener: receives the outcome.
        """


class IConnectionNotifier(IProtocol):
    """A protocol that reports that it has its transport. Dials wrap protocols without this interface."""

    on_connected: Callable[[IProtocol, ITransport], None] | None = Attribute(
        "Set by the dial. Called once, with the protocol and its transport, at the end of ``makeConnection``."
    )


class ITunnelingAgent(Interface):
    """Builds the endpoints of routes."""

    def endpoint_for(target: Authority, route: Route, trace: Trace, fields: ConnectFields = NO_FIELDS) -> IDialEndpoint:
        """Build the endpoint that reaches ``target`` by ``route``.

        The endpoint dials only addresses and hops of ``route``.

        Args:
            target: the requested destination; only its port is used on a direct route.
            route: judged addresses and hops.
            trace: records the attempts.
            fields: the fields of the client's request that are passed on in CONNECT to the hops.

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

    upstream: str = Attribute("The proxy's name in the configuration.")

    def endpoint(trace: Trace) -> IDialEndpoint:
        """Build the endpoint that reaches the proxy itself, through the proxies before it.

        Args:
            trace: records the attempts.
        """

    def authorization() -> bytes | None:
        """Return the current value of Proxy-Authorization, or None without credentials."""

    def credentials_mark() -> int:
        """Return a number that changes with the credentials of any proxy of the route, and does not reveal them."""

    def answered() -> None:
        """Note that the proxy responded to a request in absolute form, with a status other than 407."""

    def malformed(reason: str) -> None:
        """Note that the response to a request in absolute form was not HTTP/1.1.

        Args:
            reason: one sentence.
        """

    def unauthorized(challenges: list[bytes], *, is_sent: bool) -> DialFailed:
        """Make the refusal for a 407 response to a request in absolute form, and note it in the proxy's state.

        Args:
            challenges: the values of Proxy-Authenticate.
            is_sent: whether the request had credentials.
        """

    def connection_lost(reason: Failure) -> DialFailed | None:
        """Describe the loss of a connection and note it in the state, or return None where TLS is not the cause."""
