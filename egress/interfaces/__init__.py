"""Interfaces between the parts of egress. Each has at least two providers, fakes in ``egress.testing`` included.

A method that returns ``X | Deferred[X]`` returns the value itself if it is available at once.
"""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from egress.interfaces.dialling import (
    IConnectionNotifier,
    IDial,
    IDialEndpoint,
    IDialListener,
    IForwardProxies,
    IForwardProxy,
    ITunnelingAgent,
)
from egress.interfaces.policies import (
    IFailureVerdict,
    IHostServices,
    IPolicy,
    IPolicyDescription,
    IPolicyMaker,
    IPolicyObserver,
)
from egress.interfaces.resolver import IResolver
from egress.model import (
    Address,
    AuditEvent,
    Authority,
    Client,
    Connection,
    Request,
    Resolution,
    Route,
    RoutePlan,
    Verdict,
)

__all__ = [
    "IAuditSink",
    "IConnectionNotifier",
    "ICredentialSource",
    "IDial",
    "IDialEndpoint",
    "IDialListener",
    "IFailureVerdict",
    "IForwardProxies",
    "IForwardProxy",
    "IGuard",
    "IHostServices",
    "IIdentifier",
    "IPolicy",
    "IPolicyDescription",
    "IPolicyMaker",
    "IPolicyObserver",
    "IResolver",
    "ITunnelingAgent",
    "IUpstreamSelector",
]

T = TypeVar("T")


class IIdentifier(Interface):
    """Identifies clients."""

    def recognise(connection: Connection) -> Client:
        """Identify the client of a connection by the connection's facts alone, before the first request.

        Limits count the connection for this client until a request on it has been identified. Missing credentials are
        not refused here, but by ``identify``.

        Args:
            connection: facts of the connection.

        Raises:
            Refused: the facts contradict each other or the listener's requirements, regardless of later credentials.
        """

    def is_settled(connection: Connection) -> bool:
        """Whether ``identify`` would return the client of ``recognise`` for every request.

        Called once for each connection. If true, the connection's requests are not identified while this identifier is
        in use.
        """

    def identify(connection: Connection, credentials: bytes | None) -> Client | Deferred[Client]:
        """Identify the client of one request.

        Args:
            connection: facts of the connection.
            credentials: the value of Proxy-Authorization; None without the field.

        Returns:
            The client, or a Deferred of it if checking the credentials takes time. The Deferred can be cancelled, and
            fails with Refused.

        Raises:
            Refused: facts or credentials are missing, wrong or contradictory.
        """


class IUpstreamSelector(Interface):
    """Chooses routes. Requests with equal decisions share one plan of ``select``. Plans are compared by identity."""

    def select(request: Request) -> RoutePlan | Deferred[RoutePlan]:
        """Choose the plan of a request, before its name is resolved.

        Raises:
            Refused: the chosen route cannot be used.
        """

    def settle(plan: RoutePlan, resolution: Resolution, port: int, by_name: bool = False) -> tuple[RoutePlan, Route]:
        """Fix the route for the resolved and judged addresses.

        Args:
            plan: a plan that ``select`` of this selector returned.
            resolution: the judged addresses, or a delegated name.
            port: the port of the destination.
            by_name: whether the last proxy receives the name, although its addresses are known. Ignored on a direct
                route.

        Returns:
            The plan, which differs from ``plan`` where the addresses bypass the proxy, and the route.

        Raises:
            Refused: the addresses bypass the proxy, and a direct route is forbidden.
            ValueError: another selector made the plan.
        """

    def delegates(plan: RoutePlan, host: str) -> bool:
        """Whether the upstream proxy may resolve a canonical name that this host cannot resolve.

        Args:
            plan: a plan that ``select`` of this selector returned.
            host: the canonical name.

        Raises:
            ValueError: another selector made the plan.
        """

    def check_direct() -> None:
        """Check an open direct connection whose request would now be sent through proxies.

        Raises:
            Refused: only destinations that ``select`` sends directly may have a direct route.
        """


class IGuard(Interface):
    """The SSRF guard: refuses reserved names and non-public addresses, unless the matched rule admits them."""

    def check_name(authority: Authority, verdict: Verdict) -> None:
        """Judge a name before it is looked up.

        Args:
            authority: the destination; its host may be a literal address.
            verdict: the ALLOW of the first round.

        Raises:
            Refused: the name is reserved (``name_refused``).
        """

    def check_addresses(authority: Authority, addresses: tuple[Address, ...], verdict: Verdict) -> None:
        """Judge every address of a name.

        Args:
            authority: the destination.
            addresses: all addresses of the name.
            verdict: the ALLOW of the first round.

        Raises:
            Refused: an address is neither public nor admitted (``address_refused``).
        """


class IAuditSink(Interface):
    """Records audit events."""

    is_accepting: bool = Attribute("False while events cannot be kept, so that new requests must be refused.")

    def record(record: AuditEvent) -> None:
        """Record one event. Neither blocks nor raises."""

    def flush() -> Deferred[None]:
        """Write all events recorded so far.

        Returns:
            A Deferred that fires when the events are written or known to be lost.
        """


class ICredentialSource(Interface):
    """The credentials for one upstream."""

    def authorization() -> bytes:
        """Return the current value of Proxy-Authorization: the scheme, a space and the credentials."""
