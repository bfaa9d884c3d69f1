"""A request whose client is not known at once, or not at all: it waits for the identifier, or gets a refusal.

After a 407 the connection lives on where that is safe, for clients send their credentials only when they are asked to.
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
from egress.wire.body import body_reader
from egress.wire.framing import Framing, Kind
from egress.wire.request_head import RequestHead

_log = Logger()


def ask(client: ClientConnection, credentials: bytes | None) -> Client | Deferred[Client] | Refused:
    """Ask the proxy server's identifier whose a request is.

    Args:
        client: the connection that it came on.
        credentials: what came with it; None for nothing.
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
    """Waits until it is known whose a request is; what the client sends meanwhile is held (ClientReceiver).

    Attributes:
        client: the protocol it came on.
        head: as it was read.
        framing: of its body.
        request: what is judged once its client is known; None where the proxy answers for itself.
        is_kept: the client's connection may serve another request afterwards.
        proceed: called when the client is known.
    """

    client: ClientConnection
    head: RequestHead
    framing: Framing
    request: Request | None
    is_kept: bool
    proceed: Callable[[], None]
    _pending: Deferred[Client] | None = field(init=False, default=None)
    _asked: IIdentifier = field(init=False)
    _is_over: bool = field(init=False, default=False)

    def begin(self, caller: Client | Deferred[Client] | Refused) -> None:
        """Take the answer of the proxy server's identifier."""
        client = self.client
        client.receiver = self
        self._asked = client.server.identifier
        if isinstance(caller, Deferred):
            client.server.timers.expect(client, client.server.limits.policy_seconds)
            self._pending = caller
            caller.addCallbacks(self._identified, self._failed).addErrback(self._broke)
        elif isinstance(caller, Client):
            self._identified(caller)
        else:
            self._refuse(caller)

    def _identified(self, caller: Client) -> None:
        client = self.client
        self._pending = None
        if self._is_over:
            return
        if not isinstance(caller, Client):
            raise TypeError("an identifier gave something else than a client")
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
        self._pending = None
        if self._is_over:
            return
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
        is_kept = self.is_kept and not client.is_last and self._can_go_on(refused)
        refuse(client.server, client, refused, self.request, keep_alive=is_kept, has_body=self.head.method != "HEAD")
        if is_kept and self.framing.kind is not Kind.NONE:
            BodyDiscard(client, body_reader(self.framing, "bad_framing")).begin()
        else:
            client.finished(keep_alive=is_kept, is_read=False)

    def _can_go_on(self, refused: Refused) -> bool:
        """Tell whether what follows the request can be nothing but the next one.

        What follows a CONNECT may be bytes for the tunnel, sent before the answer was there. They come from whoever is
        served through the client, and must not be taken for requests of the client itself. So a byte that is here
        already ends it. One that is still on its way can only be taken for a request without credentials: that is why
        the connection lives on only where such a request is refused as well. A client that waits to be asked, as the
        RFC has it, is answered `credentials_required` and sends the CONNECT anew.
        """
        if self.head.method == "CONNECT":
            return refused.code == "credentials_required" and not self.client.held
        framing = self.framing
        if framing.kind is Kind.NONE:
            return True
        # Whoever expects a 100 may send the body or not, after this answer (RFC 9110 section 10.1.1).
        return framing.length <= DISCARD_BYTES and not self.head.fields.values(b"expect")

    def client_data(self, data: bytes) -> None:
        """Hold what comes early (ClientReceiver)."""
        self.client.hold(data)

    def client_ended(self) -> None:
        """Go on: whoever sent a FIN may still read the answer."""

    def client_lost(self, reason: Failure) -> None:
        """The client went away: nobody waits for its name any more."""
        self._cancel()
        cause = "client_closed" if reason.check(ConnectionDone) else "client_reset"
        record(self.client.server, self.client, "end", cause, self.request)

    def expired(self) -> None:
        """It took too long."""
        self._cancel()
        _log.error("identifying a client took too long")
        self._refuse(Refused("internal_error", "The credentials could not be checked in time."))

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Stop now."""
        self._cancel()
        record(self.client.server, self.client, "end" if refused is None else "refused", cause, self.request, refused)
        self.client.abort()

    def _cancel(self) -> None:
        self._is_over = True
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
