"""A request whose client is not identified at once: it waits for the identifier, or is refused.

After a 407 the connection persists where that is safe, because clients send credentials only after a challenge.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from egress.errors import Refused
from egress.interfaces import IIdentifier
from egress.model import Client, Request
from egress.proxy.client.body_discard import DISCARD_BYTES, BodyDiscard
from egress.proxy.client.connection import ClientConnection
from egress.proxy.client.refusal import record, refuse
from egress.proxy.refusals import listener_removed
from egress.proxy.roles import Displacement
from egress.wire.framing import Framing, Kind
from egress.wire.request_head import RequestHead

_log = Logger()


def ask(client: ClientConnection, credentials: bytes | None) -> Client | Deferred[Client] | Refused:
    """Ask the proxy server's identifier for the client of a request.

    Args:
        client: the connection of the request.
        credentials: the value of Proxy-Authorization; None for none.
    """
    try:
        return client.server.identifier.identify(client.connection, credentials)
    except Refused as refused:
        return refused
    except Exception:
        _log.failure("identifying a client failed")
        return Refused("internal_error", "The proxy failed.")


@define(eq=False)
class PendingIdentification:
    """Waits until the client of a request is identified, and holds what the client sends meanwhile (ClientReceiver).

    Attributes:
        client: the connection of the request.
        head: of the request.
        framing: of the request body.
        request: what is judged once the client is identified; None where the proxy answers for itself.
        proceed: called when the client is identified.
    """

    client: ClientConnection
    head: RequestHead
    framing: Framing
    request: Request | None
    proceed: Callable[[], None]
    _pending: Deferred[Client] | None = field(init=False, default=None)
    _asked: IIdentifier = field(init=False)

    def begin(self, caller: Client | Deferred[Client] | Refused) -> None:
        """Take the answer of the proxy server's identifier."""
        client = self.client
        client.receiver = self
        self._asked = client.server.identifier
        if isinstance(caller, Deferred):
            client.server.timers.expect(client, client.server.limits.policy_seconds)
            self._pending = caller
            caller.addCallbacks(self._answered, self._failed).addErrback(self._broke)
        elif isinstance(caller, Client):
            self._identified(caller)
        else:
            self._refuse(caller)

    def _answered(self, caller: Client) -> None:
        """Take what the identifier found, unless `_cancel` was called meanwhile."""
        if self._pending is None:
            return
        self._pending = None
        if not isinstance(caller, Client):
            raise TypeError("an identifier gave something else than a client")
        self._identified(caller)

    def _identified(self, caller: Client) -> None:
        client = self.client
        if client.displacement is Displacement.REMOVED:
            self._refuse(listener_removed())
            return
        if self._asked is not client.server.identifier:
            # What was right when it was shown may be taken back by now.
            credentials = self.head.fields.values(b"proxy-authorization")
            self.begin(ask(client, credentials[0] if credentials else None))
            return
        if self.request is not None:
            self.request.client = caller
        refused = client.server.connections.move(client, caller)
        if refused is not None:
            self._refuse(refused)
            return
        client.receiver = None
        client.server.timers.clear(client)
        self.proceed()

    def _failed(self, failure: Failure) -> None:
        if self._pending is None:
            return
        self._pending = None
        error = failure.value
        if not isinstance(error, Refused):
            _log.failure("identifying a client failed", failure)
            error = Refused("internal_error", "The proxy failed.")
        self._refuse(error)

    def _broke(self, failure: Failure) -> None:
        _log.failure("serving a request failed", failure)
        self.client.refuse_unread(Refused("internal_error", "The proxy failed."))

    def _refuse(self, refused: Refused) -> None:
        """Answer, and get ready for the next request if it can be told where that begins."""
        client = self.client
        client.receiver = None
        is_kept = self.head.is_persistent and client.can_continue and self._is_next_a_request(refused)
        refuse(client.server, client, refused, self.request, keep_alive=is_kept, has_body=self.head.method != "HEAD")
        if is_kept and self.framing.kind is not Kind.NONE:
            BodyDiscard(client, self.framing.length).begin()
        else:
            client.finished(keep_alive=is_kept, is_read=False)

    def _is_next_a_request(self, refused: Refused) -> bool:
        """Tell whether the octets after this request can only be the next request.

        Octets after a CONNECT may be the tunnel's, sent before the response. Their author may be another party than
        the client, and they must not be read as requests of the client. An octet that is here already ends the
        connection. An octet on its way can only be read as a request without credentials, so that the connection
        persists only where such a request is refused too. A client that follows the RFC waits for
        `credentials_required`, and sends the CONNECT again.
        """
        if self.head.method == "CONNECT":
            return refused.code == "credentials_required" and not self.client.held
        framing = self.framing
        if framing.kind is Kind.NONE:
            return True
        # Chunks can cost much more than their content. After an expectation of 100 the client may send the body or not
        # (RFC 9110 section 10.1.1).
        is_short = framing.kind is Kind.LENGTH and framing.length <= DISCARD_BYTES
        return is_short and not self.head.fields.values(b"expect")

    def client_data(self, data: bytes) -> None:
        """Hold what comes early (ClientReceiver)."""
        self.client.hold(data)

    def client_ended(self) -> None:
        """Stop, or continue for a client that still reads the response."""
        if self.client.server.http.is_fin_close:
            self.end("client_closed")

    def client_lost(self, reason: Failure) -> None:
        """Stop identifying: the client is gone."""
        self._cancel()
        cause = "client_closed" if reason.check(ConnectionDone) else "client_reset"
        record(self.client.server, self.client, "end", cause, self.request)

    def expired(self) -> None:
        """Refuse: identification exceeds its deadline."""
        self._cancel()
        _log.error("identifying a client took too long")
        self._refuse(Refused("internal_error", "The credentials could not be checked in time."))

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Stop now."""
        self._cancel()
        record(self.client.server, self.client, "end" if refused is None else "refused", cause, self.request, refused)
        self.client.abort()

    def _cancel(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
