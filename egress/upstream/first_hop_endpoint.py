"""The endpoint of the first proxy of a route, the only proxy that this process dials itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed, ResolutionError
from egress.interfaces import IDial, IDialEndpoint, IDialListener, IResolver
from egress.model import Address, Authority, Resolution, Trace
from egress.upstream import deferred_dial
from egress.upstream.direct_endpoint import DirectEndpoint
from egress.upstream.happy_eyeballs import Dialler
from egress.upstream.hop_errors import hop_failed

_CODE = "proxy_unreachable"
_REASONS = {
    "connection_refused": "An upstream proxy refuses connections.",
    "dial_timeout": "An upstream proxy does not answer in time.",
    "origin_closed": "An upstream proxy closes connections at once.",
    "unreachable": "An upstream proxy cannot be reached from here.",
}


@implementer(IDialEndpoint)
@define(eq=False)
class FirstHopEndpoint:
    """Dials a proxy by its address, or by the addresses of its name.

    The operator configured the name, so the name's addresses are dialled without a verdict. A dial fails with
    DialFailed: `proxy_unreachable`, or `proxy_loop`.

    Attributes:
        reactor: provides connectTCP and the clock.
        resolver: the resolver of the proxy's name.
        authority: the host and port of the proxy.
        per_address_seconds: the deadline of the attempt for one address.
        total_seconds: the deadline of all addresses together.
        upstream: the proxy's name in the configuration.
        trace: records every attempt.
        is_own: returns whether an address and port are a listener of this process.
    """

    reactor: Dialler
    resolver: IResolver | None
    authority: Authority
    per_address_seconds: float
    total_seconds: float
    upstream: str
    trace: Trace
    is_own: Callable[[Authority, Iterable[Address]], bool] = lambda _authority, _addresses: False

    def connect(self, protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Dial with a Deferred (IStreamClientEndpoint)."""
        return deferred_dial.connect(self, protocol_factory)

    def make_dial(self, protocol_factory: IProtocolFactory, listener: IDialListener) -> IDial:
        """Prepare a dial (IDialEndpoint)."""
        return _FirstHopDial(self, protocol_factory, listener)


@implementer(IDial, IDialListener)
@define(eq=False)
class _FirstHopDial:
    """Resolves, then dials.

    `_pending` is the name resolution, then the dial of the addresses; None once the dial is over.
    """

    _endpoint: FirstHopEndpoint
    _factory: IProtocolFactory
    _listener: IDialListener
    _pending: Deferred[Resolution] | IDial | None = field(default=None, init=False)

    def begin(self) -> None:
        try:
            found = self._resolve()
        except ResolutionError as problem:
            self._listener.failed(Failure(self._unresolved(problem)))
            return
        if isinstance(found, tuple):
            self._dial(found)
            return
        self._pending = found
        found.addCallbacks(self._resolved, self._resolution_failed)

    def cancel(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()

    def connected(self, protocol: IProtocol) -> None:
        self._pending = None
        self._listener.connected(protocol)

    def failed(self, failure: Failure) -> None:
        self._pending = None
        problem, endpoint = failure.value, self._endpoint
        if isinstance(problem, DialFailed):
            reason = _REASONS[problem.code]
            failure = Failure(hop_failed(_CODE, reason, endpoint.upstream, endpoint.trace, problem.code))
        self._listener.failed(failure)

    def _resolve(self) -> tuple[Address, ...] | Deferred[Resolution]:
        authority, resolver = self._endpoint.authority, self._endpoint.resolver
        if authority.address is not None:
            return (authority.address,)
        if resolver is None:
            raise ResolutionError("no resolver is configured")
        found = resolver.resolve(authority.host)
        return found.addresses if isinstance(found, Resolution) else found

    def _resolved(self, resolution: Resolution) -> None:
        if self._pending is not None:
            self._dial(resolution.addresses)

    def _resolution_failed(self, failure: Failure) -> None:
        if self._pending is None:
            return
        self._pending = None
        problem = failure.value
        self._listener.failed(Failure(self._unresolved(problem)) if isinstance(problem, ResolutionError) else failure)

    def _dial(self, addresses: tuple[Address, ...]) -> None:
        endpoint = self._endpoint
        if endpoint.is_own(endpoint.authority, addresses):
            self._pending = None
            words = "The route leads back to this proxy itself."
            detail = "it is a listener of ours"
            self._listener.failed(Failure(hop_failed("proxy_loop", words, endpoint.upstream, endpoint.trace, detail)))
            return
        direct = DirectEndpoint(
            endpoint.reactor,
            addresses,
            endpoint.authority.port,
            endpoint.per_address_seconds,
            endpoint.total_seconds,
            endpoint.trace,
        )
        dial = self._pending = direct.make_dial(self._factory, self)
        dial.begin()

    def _unresolved(self, problem: ResolutionError) -> DialFailed:
        endpoint, words = self._endpoint, "The name of an upstream proxy does not resolve."
        detail = f"its name does not resolve: {problem.code}: {problem}"
        return hop_failed(_CODE, words, endpoint.upstream, endpoint.trace, detail)
