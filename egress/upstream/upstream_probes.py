"""Probes of the upstreams on which readiness depends and that no request has used lately."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.interfaces import IDial, IDialListener, IForwardProxies
from egress.model import Hop, Route, Trace
from egress.transports.connection_notice import abort
from egress.upstream.upstream_state import UpstreamState

PROBE_SECONDS = 10.0
"""The time between two probes of an upstream."""

Probed: TypeAlias = Mapping[str, tuple[tuple[Hop, ...], UpstreamState]]
"""The hops of the route through each upstream, and its state, by its name."""


@define(eq=False)
class UpstreamProbes:
    """Connects to each required upstream, with TLS to an `https://` proxy, and closes the connection.

    A probe requests no destination: a proxy receives CONNECT for the proxies behind it only.

    Attributes:
        clock: the clock.
        proxies: returns the proxies of the active configuration.
        required: returns the upstreams to probe.
    """

    clock: IReactorTime
    proxies: Callable[[], IForwardProxies | None]
    required: Callable[[], Probed]
    _dials: dict[str, IDial] = field(init=False, factory=dict)
    _next: IDelayedCall | None = field(init=False, default=None)

    def start(self) -> None:
        """Probe now, and again until `stop`."""
        self._next = self.clock.callLater(PROBE_SECONDS, self.start)
        proxies = self.proxies()
        for name, (hops, state) in self.required().items():
            if state.is_fresh:
                state.is_fresh = False
            elif proxies is not None and name not in self._dials:
                self._probe(proxies, name, hops, state)

    def stop(self) -> None:
        """Stop probing."""
        pending, self._next = self._next, None
        if pending is not None:
            pending.cancel()
        while self._dials:
            self._dials.popitem()[1].cancel()

    def _probe(self, proxies: IForwardProxies, name: str, hops: tuple[Hop, ...], state: UpstreamState) -> None:
        endpoint = proxies.last_proxy(Route(name, hops, ())).endpoint(Trace())
        factory = Factory.forProtocol(Protocol)
        factory.noisy = False
        dial = self._dials[name] = endpoint.make_dial(factory, _Listener(self, name, state))
        dial.begin()

    def ended(self, name: str) -> None:
        """Forget the dial of an upstream."""
        self._dials.pop(name, None)


@implementer(IDialListener)
@define(eq=False)
class _Listener:
    """Closes the connection of a probe. The endpoint notes failures in the state."""

    _probes: UpstreamProbes
    _name: str
    _state: UpstreamState

    def connected(self, protocol: IProtocol) -> None:
        self._probes.ended(self._name)
        self._state.reached()
        # reached() counts as a use, and the next probe is due nevertheless.
        self._state.is_fresh = False
        abort(cast(Protocol, protocol).transport)

    def failed(self, _failure: Failure) -> None:
        self._probes.ended(self._name)
        self._state.is_fresh = False
