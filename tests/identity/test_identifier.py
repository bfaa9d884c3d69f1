"""Identification of clients by facts of connections and by credentials."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from egress.errors import Refused
from egress.identity import Identifier, ListenerAuthentication
from egress.interfaces import IIdentifier
from egress.model import Client, Connection
from tests.identity.support import OTHER_TOKEN, QUICK, SECRET, TOKEN, CallersCase, basic, generated_line

HERE = Connection("agents", "192.0.2.7", 41000)
BOB = basic("bob", SECRET.decode())
BEARER = b"Bearer " + TOKEN.encode()


class IdentifierCase(CallersCase):
    """Asks, and looks at what comes of it."""

    def named(self, identifier: Identifier, credentials: bytes | None, connection: Connection = HERE) -> Client:
        """Give the client that is known at once."""
        client = identifier.identify(connection, credentials)
        assert isinstance(client, Client)
        return client

    def later(self, identifier: Identifier, credentials: bytes, connection: Connection = HERE) -> Deferred[Client]:
        """Give the Deferred of a client that is not."""
        client = identifier.identify(connection, credentials)
        assert isinstance(client, Deferred)
        return client

    def refused(self, identifier: Identifier, credentials: bytes | None, connection: Connection = HERE) -> Refused:
        """Give the refusal, whenever it comes."""
        try:
            client = identifier.identify(connection, credentials)
        except Refused as refused:
            return refused
        assert isinstance(client, Deferred), "it was let in"
        self.bench.work_all()
        refusal: Refused = self.failureResultOf(client, Refused).value
        return refusal


class FactsTests(IdentifierCase):
    """What a connection tells by itself."""

    def test_it_is_an_identifier(self) -> None:
        """It can stand wherever an identifier is asked for."""
        self.assertTrue(verifyObject(IIdentifier, self.identifier()))

    def test_listeners_that_ask_nothing(self) -> None:
        """Whatever is sent to them, it is not looked at; and one client is one object."""
        identifier = self.identifier(generated_line("ci"))
        connection = Connection("open", "192.0.2.7", 1)

        client = self.named(identifier, None, connection)

        self.assertEqual({"listener:open", "address:192.0.2.7"}, client.labels)
        for credentials in (BEARER, BOB, b"\xff"):
            self.assertIs(client, self.named(identifier, credentials, connection))
        self.assertIs(client, identifier.recognise(connection))

    def test_listener_that_is_gone(self) -> None:
        """Nobody is served by a listener that is not configured: what it would ask for is not known."""
        identifier = self.identifier(generated_line("ci"))
        connection = Connection("unheard-of", "192.0.2.7", 1)

        for credentials in (None, BEARER, BOB):
            with self.assertRaises(Refused) as caught:
                identifier.identify(connection, credentials)
            self.assertEqual("listener_gone", caught.exception.code)
        with self.assertRaises(Refused):
            identifier.recognise(connection)

    def test_unix_peers(self) -> None:
        """The kernel says which user and group connected: rules can name them, and limits count by the user."""
        identifier = self.identifier()
        one = self.named(identifier, None, Connection("open", "", 0, uid=1001, gid=100))
        other = self.named(identifier, None, Connection("open", "", 0, uid=1002, gid=100))

        self.assertEqual(Client("open/uid:1001", frozenset({"listener:open", "uid:1001", "gid:100"})), one)
        self.assertEqual("open/uid:1002", other.key)

    def test_root_is_a_user(self) -> None:
        """Number 0 is a fact as good as any other."""
        client = self.named(self.identifier(), None, Connection("open", "", 0, uid=0, gid=0))

        self.assertEqual({"listener:open", "uid:0", "gid:0"}, client.labels)

    def test_certificates(self) -> None:
        """A verified certificate names its client, whatever characters are in the name."""
        for name, label in (
            ("agent-1", "certificate:agent-1"),
            ("spiffe://acme/agent", "certificate:spiffe://acme/agent"),
            ("Agent 1%", "certificate:Agent%201%25"),
            ("\u00e4", "certificate:%C3%A4"),
        ):
            client = self.named(self.identifier(), None, Connection("open", "192.0.2.7", 1, certificate=name))

            self.assertEqual({"listener:open", "address:192.0.2.7", label}, client.labels)
            self.assertEqual(f"open/{label}", client.key)

    def test_memory_is_bounded(self) -> None:
        """A flood of addresses does not grow the memos, at any kind of listener."""
        identifier = self.identifier(generated_line("ci"), capacity=2)
        for last in range(1, 9):
            for listener in ("agents", "open"):
                self.named(identifier, BEARER, Connection(listener, f"192.0.2.{last}", 1))

        for memo in (identifier._memo, identifier._facts._memo, identifier._named):
            self.assertTrue(0 < len(memo) <= 2)

    def test_no_credentials_in_memory(self) -> None:
        """Neither the memos nor the set of proven digests hold a token or a secret, as key or as value."""
        identifier = self.identifier(f"bob:{QUICK}\n{generated_line('ci')}")
        self.named(identifier, BEARER)
        self.later(identifier, BOB)
        self.bench.work_all()
        tokens = identifier.authentication["agents"].tokens
        assert tokens is not None
        proven = tokens.current().proven

        memos = (identifier._memo, identifier._facts._memo, identifier._named)
        held = repr([list(memo.items()) for memo in memos]) + repr(list(proven))
        self.assertEqual(1, len(proven))
        for secret in (TOKEN, SECRET.decode(), BEARER.decode(), BOB.decode()):
            self.assertNotIn(secret, held)


class GeneratedTokenTests(IdentifierCase):
    """Tokens of `egress token new`."""

    def test_a_token_names_its_client(self) -> None:
        """As a password with its name, or as a Bearer token: it is the same client, and one object."""
        identifier = self.identifier(generated_line("research-1"))

        client = self.named(identifier, BEARER)

        labels = {"listener:agents", "address:192.0.2.7", "token:research-1"}
        self.assertEqual(Client("agents/token:research-1", frozenset(labels)), client)
        self.assertIs(client, self.named(identifier, basic("research-1", TOKEN)))
        self.assertIs(client, self.named(identifier, BEARER, Connection("agents", "192.0.2.7", 2)))

    def test_one_client_from_two_addresses(self) -> None:
        """Limits count a token's client as one, wherever it calls from; rules see where."""
        identifier = self.identifier(generated_line("ci"))
        one, two = (self.named(identifier, BEARER, Connection("agents", f"192.0.2.{last}", 1)) for last in (1, 2))

        self.assertEqual(one.key, two.key)
        self.assertEqual({"address:192.0.2.1", "address:192.0.2.2"}, one.labels ^ two.labels)

    def test_rotation(self) -> None:
        """While a name has two tokens, both are right."""
        identifier = self.identifier(generated_line("ci"), generated_line("ci", OTHER_TOKEN))

        self.assertIs(self.named(identifier, BEARER), self.named(identifier, basic("ci", OTHER_TOKEN)))

    def test_the_file_is_read_again(self) -> None:
        """A token that is taken out lets nobody in any more, and one that is put in does."""
        identifier = self.identifier(generated_line("ci"))
        self.named(identifier, BEARER)

        self.write(generated_line("ci", OTHER_TOKEN))
        self.clock.advance(1)

        self.assertEqual("credentials_refused", self.refused(identifier, BEARER).code)
        self.named(identifier, b"Bearer " + OTHER_TOKEN.encode())

    def test_wrong_ones(self) -> None:
        """The name must be the token's own, and the token one of the file's."""
        for credentials in (
            b"Bearer " + OTHER_TOKEN.encode(),
            BEARER[:-1],
            basic("ci", OTHER_TOKEN),
            basic("other", TOKEN),
            basic("", TOKEN),
            basic(TOKEN, ""),
            basic(TOKEN, "x"),
        ):
            identifier = self.identifier(generated_line("ci"))
            self.failures._levels.clear()

            refused = self.refused(identifier, credentials)

            self.assertEqual(("credentials_refused", 407), (refused.code, refused.status))
            self.assertEqual(4.0, self.failures.room("agents/192.0.2.7"))
        self.assertEqual(0, self.bench.done)

    def test_malformed_ones(self) -> None:
        """What cannot be read is refused, but is no guess."""
        identifier = self.identifier(generated_line("ci"))
        for credentials in (b"", b"Digest x", b"Negotiate YTpi", b"Basic !!!!"):
            self.assertEqual("credentials_refused", self.refused(identifier, credentials).code)
        self.assertEqual(5.0, self.failures.room("agents/192.0.2.7"))

    def test_failures_are_limited(self) -> None:
        """Who fails too often is told when to come back; a right token is let in all the same."""
        identifier = self.identifier(generated_line("ci"), f"bob:{QUICK}\n")
        for _ in range(5):
            self.assertEqual("credentials_refused", self.refused(identifier, b"Bearer egr_x").code)

        for wrong in (b"Bearer egr_x", BOB):
            refused = self.refused(identifier, wrong)
            self.assertEqual(("too_many_failures", 429, 12.0), (refused.code, refused.status, refused.retry_seconds))
        self.assertEqual(0, self.bench.done)
        self.named(identifier, BEARER)
        self.later(identifier, BOB, Connection("agents", "192.0.2.8", 1))

    def test_peers_that_take_many_addresses(self) -> None:
        """A /64 of IPv6 is one peer."""
        identifier = self.identifier(generated_line("ci"))
        for last in range(5):
            self.refused(identifier, b"Bearer egr_x", Connection("agents", f"2001:db8::{last}", 1))

        refused = self.refused(identifier, b"Bearer egr_x", Connection("agents", "2001:db8::ffff", 1))
        self.assertEqual("too_many_failures", refused.code)


class ChosenSecretTests(IdentifierCase):
    """Secrets of `egress token hash`."""

    def test_checked_aside_and_once(self) -> None:
        """The first request waits for the hash; those after it do not."""
        identifier = self.identifier(f"bob:{QUICK}\n")
        waiting = self.later(identifier, BOB)
        self.assertNoResult(waiting)

        self.bench.work_all()

        client = self.successResultOf(waiting)
        self.assertEqual({"listener:agents", "address:192.0.2.7", "token:bob"}, client.labels)
        self.assertIs(client, self.named(identifier, BOB))
        self.named(identifier, BOB, Connection("agents", "192.0.2.99", 1))

    def test_remembered_until_the_file_changes(self) -> None:
        """A change of the file, whatever it is, has every secret checked anew."""
        identifier = self.identifier(f"bob:{QUICK}\n")
        self.later(identifier, BOB)
        self.bench.work_all()

        self.write(f"# changed\nbob:{QUICK}\n")
        self.clock.advance(1)
        self.later(identifier, BOB)
        self.write(generated_line("ci"))
        self.clock.advance(1)
        self.assertEqual("credentials_refused", self.refused(identifier, BOB).code)

    def test_proven_ones_pass_while_others_fail(self) -> None:
        """Failures of the same peer do not shut out what was right before."""
        identifier = self.identifier(f"bob:{QUICK}\n")
        self.later(identifier, BOB)
        self.bench.work_all()
        for _ in range(6):
            refused = self.refused(identifier, b"Bearer egr_x")

        self.assertEqual("too_many_failures", refused.code)
        self.named(identifier, BOB)

    def test_wrong_ones(self) -> None:
        """A wrong secret, a name that has none, and a name that is none."""
        for credentials, checks in (
            (basic("bob", "correct horse batterz"), 1),
            (basic("ci", SECRET.decode()), 1),
            (basic("nobody", SECRET.decode()), 1),
            (basic("b\u00f6b", SECRET.decode()), 0),
            (basic("", SECRET.decode()), 0),
            (b"Bearer mF_9.B5f-4.1JqM", 0),
        ):
            identifier = self.identifier(f"bob:{QUICK}\n", generated_line("ci"))
            self.failures._levels.clear()
            self.bench.done = 0

            refused = self.refused(identifier, credentials)

            self.assertEqual(("credentials_refused", checks), (refused.code, self.bench.done))
            self.assertEqual(4.0, self.failures.room("agents/192.0.2.7"))

    def test_files_without_chosen_secrets(self) -> None:
        """Where nobody has chosen one, nothing is hashed."""
        refused = self.refused(self.identifier(generated_line("ci")), BOB)

        self.assertEqual(("credentials_refused", 0), (refused.code, self.bench.done))

    def test_clients_that_leave(self) -> None:
        """Whoever does not wait for the answer can be forgotten."""
        waiting = self.later(self.identifier(f"bob:{QUICK}\n"), BOB)

        waiting.cancel()

        self.failureResultOf(waiting, CancelledError)
        self.bench.work_all()

    def test_nothing_is_shown(self) -> None:
        """No spelling of the identifier holds a secret or what it is known by."""
        identifier = self.identifier(f"bob:{QUICK}\n", generated_line("ci"))
        self.later(identifier, BOB)
        self.later(identifier, basic("bob", "another secret!"))

        shown = repr(identifier) + repr(self.checks)

        for secret in (SECRET.decode(), "another secret", QUICK.rpartition("$")[2], identifier._key.hex()):
            self.assertNotIn(secret, shown)


class RequirementTests(IdentifierCase):
    """What a listener asks for."""

    def test_credentials(self) -> None:
        """Without them a request is refused with 407, but a connection is not: it has not asked for anything."""
        identifier = self.identifier(generated_line("ci"), require="basic")

        refused = self.refused(identifier, None)

        self.assertEqual(("credentials_required", 407), (refused.code, refused.status))
        self.assertEqual("agents/192.0.2.7", identifier.recognise(HERE).key)
        self.named(identifier, BEARER)
        self.assertEqual(5.0, self.failures.room("agents/192.0.2.7"))

    def test_users_are_asked_as_well(self) -> None:
        """A unix socket knows the user; a listener that wants credentials wants them from users too."""
        identifier = self.identifier(generated_line("ci"), require="basic")
        user = Connection("agents", "", 0, uid=1001, gid=100)

        self.assertEqual("credentials_required", self.refused(identifier, None, user).code)
        client = self.named(identifier, BEARER, user)
        self.assertEqual({"listener:agents", "uid:1001", "gid:100", "token:ci"}, client.labels)
        self.assertEqual("agents/token:ci", client.key)

    def test_credentials_that_are_not_required(self) -> None:
        """Without them the connection's facts do; but wrong ones are wrong."""
        identifier = self.identifier(generated_line("ci"))

        self.assertEqual({"listener:agents", "address:192.0.2.7"}, self.named(identifier, None).labels)
        self.assertIn("token:ci", self.named(identifier, BEARER).labels)
        self.assertEqual("credentials_refused", self.refused(identifier, b"Bearer egr_x").code)

    def test_certificate(self) -> None:
        """Without one a connection is nobody's; with one, credentials are not looked at where there are no tokens."""
        identifier = Identifier({"agents": ListenerAuthentication("certificate")}, self.checks)

        with self.assertRaises(Refused) as caught:
            identifier.recognise(HERE)
        self.assertEqual(Refused, type(caught.exception))
        refused = self.refused(identifier, BEARER)
        self.assertEqual(("certificate_required", 403), (refused.code, refused.status))
        shown = Connection("agents", "192.0.2.7", 1, certificate="agent-1")
        self.assertEqual("agents/certificate:agent-1", identifier.recognise(shown).key)
        self.assertIs(identifier.recognise(shown), self.named(identifier, BEARER, shown))

    def test_settled(self) -> None:
        """Requests need not be asked about where nothing of theirs is looked at, and nowhere else."""
        shown = Connection("agents", "192.0.2.7", 1, certificate="agent-1")
        for authentication, is_settled in (
            (ListenerAuthentication(), True),
            (ListenerAuthentication("certificate"), True),
            (ListenerAuthentication("basic"), False),
            (self.identifier(generated_line("ci")).authentication["agents"], False),
            (self.identifier(generated_line("ci"), require="certificate").authentication["agents"], False),
        ):
            identifier = Identifier({"agents": authentication}, self.checks)
            self.assertEqual(is_settled, identifier.is_settled(shown), authentication)
            if is_settled:
                self.assertIs(identifier.recognise(shown), self.named(identifier, BEARER, shown))
        self.assertFalse(Identifier({}, self.checks).is_settled(shown))

    def test_contradictions(self) -> None:
        """A certificate of one name and credentials of another are nobody's, be they right or wrong."""
        identifier = self.identifier(generated_line("ci"), f"bob:{QUICK}\n", require="certificate")
        shown = Connection("agents", "192.0.2.7", 1, certificate="agent-1")

        for credentials in (BEARER, basic("ci", TOKEN), BOB, basic("bob", "a wrong secret")):
            refused = self.refused(identifier, credentials, shown)
            self.assertEqual(("identity_contradicts", 403), (refused.code, refused.status))
        self.assertEqual(0, self.bench.done)

    def test_agreement(self) -> None:
        """Of one name, they make one client with both labels."""
        identifier = self.identifier(generated_line("ci"), require="certificate")

        client = self.named(identifier, BEARER, Connection("agents", "192.0.2.7", 1, certificate="ci"))

        self.assertLess({"certificate:ci", "token:ci"}, client.labels)
        self.assertEqual("agents/token:ci", client.key)
