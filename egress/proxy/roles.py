"""The roles by which connections, receivers and transactions refer to each other: typing Protocols only.

A module imports the modules below it and this file. Calls to modules above it use a role, so that another provider (an
HTTP/2 stream, a request inside an intercepted tunnel) is another class and not another branch.
`egress.proxy.exchange_roles` has the roles of the two sides of an exchange.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.model import Admission, Client, Connection, Request, Verdict
from egress.timing.timer_wheel import Entry
from egress.transports.contract import IStreamTransport


class Displacement(Enum):
    """The effect of a reload on the listener of a connection."""

    MOVED = "moved"
    """A listener with this name exists and listens elsewhere. The running request is the last of the connection."""

    REMOVED = "removed"
    """No listener corresponds to the connection any more. The running request is ended too."""


class AuditSubject(Protocol):
    """A client connection, as described in audit events."""

    @property
    def connection(self) -> Connection:
        """The facts of the connection."""

    @property
    def connection_id(self) -> str:
        """The id of the connection in the audit log."""

    @property
    def by_facts(self) -> Client:
        """The client that the facts of the connection alone identify."""


class Requester(AuditSubject, Entry, Protocol):
    """The client's end of one request: described in audit events, with one deadline in the timer wheel."""


class CountedConnection(Protocol):
    """A client connection that counts against the limits.

    Attributes:
        client: the client for which the connection is counted.
    """

    client: Client

    @property
    def listener(self) -> str:
        """The name of the connection's listener."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End the connection at once."""


class LiveTransaction(Protocol):
    """A transaction, as used by a reload and the statistics.

    Attributes:
        request: the request.
        admission: the gate's admission; None before the admission.
        dialled: the dialled address.
        up: the number of octets from the client.
        down: the number of octets to the client.
        status: the status of the response.
        evaluation: the pending re-evaluation after a reload; cancelled with the transaction.
    """

    request: Request
    admission: Admission | None
    dialled: str
    up: int
    down: int
    status: int
    evaluation: Deferred[Any] | None

    @property
    def is_streaming(self) -> bool:
        """Whether the transfer has begun."""

    def refuse_unstarted(self, refused: Refused) -> None:
        """Refuse the request if its transfer has not begun."""

    def count(self) -> None:
        """Update `up` and `down`."""

    def observe(self) -> Verdict | None:
        """Report the transferred octets to the observers.

        Returns:
            The first DENY; None without a DENY.
        """


class LiveConnection(CountedConnection, Protocol):
    """A client connection that requests are read from.

    Attributes:
        displacement: the effect of a reload on the connection's listener.
    """

    displacement: Displacement | None

    @property
    def receiver(self) -> ClientReceiver | None:
        """The receiver that serves the current request; None without a request."""

    @property
    def transaction(self) -> LiveTransaction | None:
        """The running transaction; None without a transaction."""

    def renew_limits(self) -> None:
        """Read the next request head under the server's current limits."""

    def drain(self) -> None:
        """Close if no request is running or begun."""

    def abort(self) -> None:
        """Reset the connection."""


class ClientReceiver(Protocol):
    """Receives the events of a client connection while a request runs."""

    def client_data(self, data: bytes) -> None:
        """Receive octets from the client."""

    def client_ended(self) -> None:
        """Handle the client's FIN. The client can still receive octets."""

    def client_lost(self, reason: Failure) -> None:
        """Handle the loss of the client connection."""

    def expired(self) -> None:
        """Handle the expiry of the client connection's deadline."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End the request now, without a response."""


class OriginReceiver(Protocol):
    """Receives the events of an origin connection."""

    def origin_data(self, data: bytes) -> None:
        """Receive octets from the origin."""

    def origin_ended(self) -> None:
        """Handle the origin's FIN. The origin can still receive octets."""

    def origin_lost(self, reason: Failure) -> None:
        """Handle the loss of the origin connection."""


class TunnelClient(Requester, Protocol):
    """A client connection, as used by a tunnel.

    Attributes:
        receiver: the receiver of the connection's events.
        transaction: the transaction of the current request.
    """

    receiver: ClientReceiver | None
    transaction: LiveTransaction | None

    @property
    def transport(self) -> IStreamTransport:
        """The transport of the connection."""

    @property
    def has_ended(self) -> bool:
        """Whether the client sent its FIN."""

    @property
    def held(self) -> bytes:
        """The kept octets."""

    def hold(self, data: bytes) -> None:
        """Keep octets that arrive before the tunnel is open."""

    def take_held(self) -> bytes:
        """Remove and return the kept octets."""

    def resume(self) -> None:
        """Resume reading."""

    def write_refusal(self, refused: Refused, request_id: str, *, keep_alive: bool, has_body: bool = True) -> None:
        """Write the response to a refusal."""

    def finished(self, *, keep_alive: bool, is_read: bool = True) -> None:
        """End the response. See `ClientSide.finish`."""

    def forget_parser(self) -> None:
        """Release the reader of request heads, because no further request follows."""

    def close(self) -> None:
        """Close after the written octets are sent."""

    def closed_by_relay(self) -> None:
        """Record that the relay closes the connection, so that no action remains."""

    def abort(self) -> None:
        """Reset the connection."""
