"""The roles by which connections, receivers and transactions know each other: typing Protocols only.

A part imports the modules below it and this file. What calls back into a part above it does so by a role, so that
another provider (an HTTP/2 stream, a request inside an intercepted tunnel) is one more class and no further branch.
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
    """What a reload did to the listener of a connection."""

    MOVED = "moved"
    """A listener of that name exists and listens elsewhere. The running request is the last of the connection."""

    REMOVED = "removed"
    """No listener stands for the connection any more. The running request is ended, too."""


class AuditSubject(Protocol):
    """A client connection, as its audit events describe it."""

    @property
    def connection(self) -> Connection:
        """The facts of the connection."""

    @property
    def connection_id(self) -> str:
        """The id of the connection in the audit log."""

    @property
    def by_facts(self) -> Client:
        """The client as the facts of the connection alone tell."""


class Requester(AuditSubject, Entry, Protocol):
    """The client's end of one request: described in audit events, with one deadline in the timer wheel."""


class CountedConnection(Protocol):
    """A client connection that counts against the limits.

    Attributes:
        client: whom it is counted for.
    """

    client: Client

    @property
    def listener(self) -> str:
        """The name of its listener."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End it now."""


class LiveTransaction(Protocol):
    """A transaction, as a reload and the statistics see it.

    Attributes:
        request: the request.
        admission: the gate's, once there is one.
        dialled: the address at the other end.
        up: octets from the client.
        down: octets to the client.
        status: of the response.
        evaluation: the pending evaluation anew after a reload; cancelled with the transaction.
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
        """Whether octets move."""

    def refuse_unstarted(self, refused: Refused) -> None:
        """Refuse the request if none of its octets has moved."""

    def count(self) -> None:
        """Bring `up` and `down` up to date."""

    def observe(self) -> Verdict | None:
        """Tell the observers what moved.

        Returns:
            The first DENY, if any.
        """


class LiveConnection(CountedConnection, Protocol):
    """A client connection that requests are read from.

    Attributes:
        displacement: what a reload did to its listener.
    """

    displacement: Displacement | None

    @property
    def receiver(self) -> ClientReceiver | None:
        """Serves the current request, if any."""

    @property
    def transaction(self) -> LiveTransaction | None:
        """The running transaction, if any."""

    def renew_limits(self) -> None:
        """Read the next request head under the server's current limits."""

    def drain(self) -> None:
        """Close if no request is running or begun."""

    def abort(self) -> None:
        """Reset the connection."""


class ClientReceiver(Protocol):
    """Receives the events of a client connection while a request runs."""

    def client_data(self, data: bytes) -> None:
        """Octets came from the client."""

    def client_ended(self) -> None:
        """The client sent its FIN. It can still be written to."""

    def client_lost(self, reason: Failure) -> None:
        """The client connection is gone."""

    def expired(self) -> None:
        """The deadline of the client connection passed."""

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """End the request now, without a response."""


class OriginReceiver(Protocol):
    """Receives the events of an origin connection."""

    def origin_data(self, data: bytes) -> None:
        """Octets came from the origin."""

    def origin_ended(self) -> None:
        """The origin sent its FIN. It can still be written to."""

    def origin_lost(self, reason: Failure) -> None:
        """The origin connection is gone."""


class TunnelClient(Requester, Protocol):
    """A client connection, as a tunnel uses it.

    Attributes:
        receiver: receives its events.
        transaction: of the current request.
    """

    receiver: ClientReceiver | None
    transaction: LiveTransaction | None

    @property
    def transport(self) -> IStreamTransport:
        """Its transport."""

    @property
    def has_ended(self) -> bool:
        """Whether the client sent its FIN."""

    @property
    def held(self) -> bytes:
        """The octets that were kept."""

    def hold(self, data: bytes) -> None:
        """Keep octets that came before the tunnel was open."""

    def take_held(self) -> bytes:
        """Take the octets that were kept."""

    def resume(self) -> None:
        """Read on."""

    def write_refusal(self, refused: Refused, request_id: str, *, keep_alive: bool, has_body: bool = True) -> None:
        """Write the response to a refusal."""

    def finished(self, *, keep_alive: bool, is_read: bool = True) -> None:
        """End the response. See `ClientSide.finish`."""

    def forget_parser(self) -> None:
        """Release what reads request heads: no further request comes."""

    def close(self) -> None:
        """Close after what was written."""

    def closed_by_relay(self) -> None:
        """Note that the relay closes the connection and nothing is left to do."""

    def abort(self) -> None:
        """Reset the connection."""
