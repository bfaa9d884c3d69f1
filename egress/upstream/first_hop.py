"""The connection to the first proxy of a route: the only one that is dialled from here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import define
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from egress.errors import DialFailed, ResolutionError
from egress.interfaces import IResolver
from egress.model import Address, Authority, Resolution, Trace
from egress.upstream.dial import Dialler
from egress.upstream.direct_endpoint import DirectEndpoint
from egress.upstream.hop_errors import hop_failed

_CODE = "proxy_unreachable"
_REASONS = {
    "connection_refused": "An upstream proxy refuses connections.",
    "dial_timeout": "An upstream proxy does not answer in time.",
    "unreachable": "An upstream proxy cannot be reached from here.",
}


@implementer(IStreamClientEndpoint)
@define(eq=False)
class FirstHopEndpoint:
    """Dials a proxy by its address, or by all that its name stands for.

    The operator has written that name, so what it leads to is dialled unjudged.

    Attributes:
        reactor: connects, and tells the time.
        resolver: for proxies with names.
        authority: the proxy.
        per_address_seconds: the deadline of one address.
        total_seconds: the deadline of all together.
        upstream: the proxy's name in the configuration.
        trace: is told of every attempt.
        is_own: tells whether that is a listener of ours.
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
        """Resolve and dial.

        Returns:
            A Deferred of the connected protocol; cancelling it stops everything. It fails with DialFailed:
            `proxy_unreachable`, or `proxy_loop`.
        """
        try:
            found = self._resolve()
        except ResolutionError as problem:
            return fail(self._unresolved(problem))
        if isinstance(found, tuple):
            return self._dial(found, protocol_factory)
        # An answer that is not at hand. Once it is, a cancellation goes on to the dial.
        waiting: Deferred[IProtocol] = found.addCallbacks(
            lambda resolution: self._dial(resolution.addresses, protocol_factory), self._failed
        )
        return waiting

    def _resolve(self) -> tuple[Address, ...] | Deferred[Resolution]:
        authority = self.authority
        if authority.address is not None:
            return (authority.address,)
        if self.resolver is None:
            raise ResolutionError("there is no resolver for it")
        found = self.resolver.resolve(authority.host)
        return found.addresses if isinstance(found, Resolution) else found

    def _dial(self, addresses: tuple[Address, ...], protocol_factory: IProtocolFactory) -> Deferred[IProtocol]:
        if self.is_own(self.authority, addresses):
            words = "The route leads back to this proxy itself."
            return fail(hop_failed("proxy_loop", words, self.upstream, self.trace, "it is a listener of ours"))
        endpoint = DirectEndpoint(
            self.reactor, addresses, self.authority.port, self.per_address_seconds, self.total_seconds, self.trace
        )
        return endpoint.connect(protocol_factory).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        problem = failure.value
        if isinstance(problem, ResolutionError):
            return Failure(self._unresolved(problem))
        if isinstance(problem, DialFailed):
            return Failure(hop_failed(_CODE, _REASONS[problem.code], self.upstream, self.trace, problem.code))
        return failure

    def _unresolved(self, problem: ResolutionError) -> DialFailed:
        detail = f"its name does not resolve: {problem.code}"
        return hop_failed(_CODE, "The name of an upstream proxy does not resolve.", self.upstream, self.trace, detail)
