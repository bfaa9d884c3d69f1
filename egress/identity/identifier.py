"""Identifies the client of a request by the facts of its connection and the credentials of the request."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import define, field, frozen
from attrs.validators import ge
from twisted.internet.defer import Deferred
from zope.interface import implementer

from egress.config.watched_file import WatchedFile
from egress.errors import Refused
from egress.identity.credentials import Credentials, read_credentials
from egress.identity.generated_tokens import digest_of, is_generated
from egress.identity.listener import ConnectionFacts, ListenerIdentifier
from egress.identity.secret_checks import SecretChecks
from egress.identity.tokens import Tokens, is_name
from egress.interfaces import IIdentifier
from egress.memo import Memo
from egress.model import Client, Connection

Requirement: TypeAlias = Literal["none", "basic", "certificate"]


def unmet_requirement(require: Requirement, *, has_token: bool, has_certificate: bool) -> Refused | None:
    """Give the refusal of a client that does not show what its listener requires; None where it shows it."""
    if require == "basic" and not has_token:
        return Refused("credentials_required", "This listener takes only requests with credentials.")
    if require == "certificate" and not has_certificate:
        return Refused("certificate_required", "This listener takes only clients that show a certificate.")
    return None


@frozen(eq=False)
class ListenerAuthentication:
    """The authentication that one listener requires of its clients.

    Attributes:
        require: "basic" requires credentials in each request, "certificate" a client certificate of each connection;
            "none" accepts both but requires neither.
        tokens: the tokens file that credentials are compared with; None to ignore credentials.
    """

    require: Requirement = "none"
    tokens: WatchedFile[Tokens] | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether the connection alone determines the client, and the listener requires no authentication."""
        return self.require == "none" and self.tokens is None

    @property
    def is_settled(self) -> bool:
        """Whether the client does not depend on the request, once the connection was accepted."""
        return self.require != "basic" and self.tokens is None


@implementer(IIdentifier)
@define(eq=False)
class Identifier:
    """Identifies clients by the facts of a connection and the credentials of a request.

    The memos hold no credentials: their keys are facts of connections, clients and the names of tokens.

    Attributes:
        authentication: the requirements of each listener, by its name. Connections of a listener without an entry are
            refused: a reload removed the listener, and with it the requirements.
        checks: the queue that compares chosen secrets and counts failures.
        capacity: the largest number of clients in each memo.
    """

    authentication: Mapping[str, ListenerAuthentication]
    checks: SecretChecks
    capacity: int = field(default=4096, validator=ge(1))
    # Clients of listeners that require nothing; `identify` returns them without any check.
    _memo: Memo[ConnectionFacts, Client] = field(init=False, repr=False)
    _facts: ListenerIdentifier = field(init=False, repr=False)
    # Clients with credentials, by the client of the connection and the name of the token.
    _named: Memo[tuple[Client, str], Client] = field(init=False, repr=False)
    # The key makes digests of proven secrets useless outside of this process.
    _key: bytes = field(factory=lambda: os.urandom(32), init=False, repr=False)

    @_memo.default
    def _make_memo(self) -> Memo[ConnectionFacts, Client]:
        return Memo(self.capacity)

    @_named.default
    def _make_named(self) -> Memo[tuple[Client, str], Client]:
        return Memo(self.capacity)

    @_facts.default
    def _make_facts(self) -> ListenerIdentifier:
        return ListenerIdentifier(self.capacity)

    def recognise(self, connection: Connection) -> Client:
        """Identify the client of a connection by the facts alone. See `IIdentifier.recognise`.

        Raises:
            Refused: certificate_required, or listener_gone.
        """
        client = self._memo.get(
            (connection.listener, connection.peer, connection.uid, connection.gid, connection.certificate)
        )
        if client is not None:
            return client
        require = self._authentication_of(connection).require
        refused = unmet_requirement(require, has_token=True, has_certificate=bool(connection.certificate))
        if refused is not None:
            raise refused
        return self._facts.identify(connection, None)

    def is_settled(self, connection: Connection) -> bool:
        """Whether the listener ignores the credentials of requests. See `IIdentifier.is_settled`."""
        authentication = self.authentication.get(connection.listener)
        return authentication is not None and authentication.is_settled

    def identify(self, connection: Connection, credentials: bytes | None) -> Client | Deferred[Client]:
        """Identify the client of a request. See `IIdentifier.identify`.

        Returns:
            The client of the connection, with the label `token:NAME` where credentials were checked and are right.
            Equal clients are one object while a memo holds it. A Deferred only where a chosen secret has to be hashed.

        Raises:
            Refused: credentials_required, credentials_refused, certificate_required, identity_contradicts,
                too_many_failures, listener_gone, or busy where too many chosen secrets wait to be hashed.
        """
        client = self._memo.get(
            (connection.listener, connection.peer, connection.uid, connection.gid, connection.certificate)
        )
        return client if client is not None else self._identify(connection, credentials)

    def _identify(self, connection: Connection, credentials: bytes | None) -> Client | Deferred[Client]:
        authentication = self._authentication_of(connection)
        client = self.recognise(connection)
        if authentication.is_nothing:
            facts = connection.listener, connection.peer, connection.uid, connection.gid, connection.certificate
            return self._memo.keep(facts, client)
        if authentication.tokens is None:
            return client
        if credentials is None:
            refused = unmet_requirement(authentication.require, has_token=False, has_certificate=True)
            if refused is not None:
                raise refused
            return client
        presented = read_credentials(credentials)
        if presented is None:
            # Malformed credentials are not a guess of a secret, so no failure is counted.
            raise Refused("credentials_refused", "Proxy-Authorization is not well formed, or neither Basic nor Bearer.")
        if is_generated(presented.secret):
            return self._look_up(authentication.tokens.current(), connection, client, presented)
        return self._compare(authentication.tokens.current(), connection, client, presented)

    def _authentication_of(self, connection: Connection) -> ListenerAuthentication:
        authentication = self.authentication.get(connection.listener)
        if authentication is None:
            raise Refused("listener_gone", "The listener is no longer configured; connect anew.")
        return authentication

    def _look_up(self, tokens: Tokens, connection: Connection, client: Client, presented: Credentials) -> Client:
        """Check a generated token. A valid token is accepted after any number of failures: tokens cannot be guessed."""
        digest = digest_of(presented.secret)
        # The time of a look-up can reveal parts of digests only, and a token cannot be computed from a digest.
        name = None if digest is None else tokens.generated.get(digest)
        if name is None or presented.name not in (None, name.encode()):
            raise self._wrong(client)
        return self._admit(name, connection, client)

    def _compare(
        self, tokens: Tokens, connection: Connection, client: Client, presented: Credentials
    ) -> Client | Deferred[Client]:
        """Check a chosen secret."""
        name = "" if presented.name is None else presented.name.decode("latin-1")
        if not tokens.chosen or not is_name(name):
            raise self._wrong(client)
        secret = presented.secret
        digest = hmac.digest(self._key, f"{name}:".encode() + secret, "sha256")
        if digest in tokens.proven:
            return self._admit(name, connection, client)
        self._check_contradiction(name, connection)
        checking = self.checks.check(tokens, digest, client.key, lambda: tokens.is_right(name, secret))
        return checking.addCallback(self._judge, name, connection, client)

    def _judge(self, is_right: bool, name: str, connection: Connection, client: Client) -> Client:
        if not is_right:
            raise _unknown()
        return self._admit(name, connection, client)

    def _admit(self, name: str, connection: Connection, client: Client) -> Client:
        self._check_contradiction(name, connection)
        known = self._named.get((client, name))
        if known is not None:
            return known
        label = f"token:{name}"
        named = Client(f"{connection.listener}/{label}", client.labels | {label})
        return self._named.keep((client, name), named)

    def _check_contradiction(self, name: str, connection: Connection) -> None:
        if connection.certificate and connection.certificate != name:
            raise Refused("identity_contradicts", "The credentials are of another name than the client certificate.")

    def _wrong(self, client: Client) -> Refused:
        """Count wrong credentials that were judged without hashing."""
        failures = self.checks.failures
        if failures.room(client.key) < 1.0:
            wait = failures.wait_seconds(client.key)
            return Refused("too_many_failures", "Too many wrong credentials came from here.", retry_seconds=wait)
        failures.add(client.key)
        return _unknown()


def _unknown() -> Refused:
    return Refused("credentials_refused", "The name and the token or secret do not belong together.")
