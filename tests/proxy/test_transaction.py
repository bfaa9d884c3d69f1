"""What becomes of a request between its admission and its last audit event."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from egress.errors import NameNotFound, Refused, ResolverFailed, ResolverTimeout
from egress.interfaces import IDialEndpoint, IResolver, ITunnelingAgent
from egress.model import NO_FIELDS, Admission, Authority, ConnectFields, Resolution, Route, Trace
from egress.proxy.exchange_roles import PooledConnection
from egress.proxy.transaction import Transaction
from egress.proxy.transaction_owner import NO_OWNER
from egress.testing import make_request
from tests.proxy.reload.test_reevaluation import GET, SAME, ReevaluationCase
from tests.proxy.support import ADDRESS, OTHER, ServerCase
from tests.proxy.test_audit_events import Subject


class Failures(ServerCase):
    """Each failure has its own code."""

    def test_names(self) -> None:
        """A name that does not exist, a resolver that fails and one that is late are told apart."""
        for error, status, code in (
            (NameNotFound("x"), 502, "name_not_found"),
            (ResolverFailed("x"), 502, "resolver_failed"),
            (ResolverTimeout("x"), 504, "resolver_timeout"),
        ):
            with self.subTest(code):
                self.resolver.answer("origin.example", error)
                self.assert_refused(self.said(GET), status, code)
                self.resolver.hold("origin.example")
                client = self.said(GET)
                self.resolver.answer("origin.example", error)
                self.network.settle()
                self.assert_refused(client, status, code)

    def test_connection_refused(self) -> None:
        """Nobody listens."""
        client = self.said(GET)
        self.assert_refused(client, 502, "connection_refused")
        self.assertIn(b'"policy": "rules"', client.received)
        self.assertIn(b'"rule": "example"', client.received)

    def test_unreachable(self) -> None:
        """There is no way."""
        self.network.unreachable(ADDRESS)

        self.assert_refused(self.said(GET), 502, "unreachable")

    def test_dial_timeout(self) -> None:
        """Nobody answers."""
        self.network.blackhole(ADDRESS)
        client = self.said(GET)
        self.assertEqual(client.received, b"")

        self.network.advance(self.limits.dial_seconds + 1)

        self.assert_refused(client, 504, "dial_timeout")

    def test_audit_log_that_cannot_record(self) -> None:
        """Nothing leaves unrecorded where the operator says so."""
        self.audit_log.is_accepting = False

        self.assert_refused(self.said(GET), 503, "audit_log_unavailable")
        self.assertEqual(self.resolver.asked, [])


@implementer(IResolver)
class BrokenResolver:
    """Fails.

    Args:
        later: what it gives first; None to fail at once.
    """

    def __init__(self, later: Deferred[Resolution] | None = None) -> None:
        self._later = later

    def resolve(self, host: str, client: str = "") -> Deferred[Resolution]:
        """Fail."""
        if self._later is None:
            raise RuntimeError("resolve")
        return self._later


@implementer(ITunnelingAgent)
@define(eq=False)
class BrokenAgent:
    """Knows no route."""

    def endpoint_for(
        self, target: Authority, route: Route, trace: Trace, fields: ConnectFields = NO_FIELDS
    ) -> IDialEndpoint:
        """Fail."""
        raise ValueError("endpoint")


@define(eq=False)
class Owner:
    """Dials what was admitted, and notes what it is told.

    Attributes:
        fails_when: "connected" or "streaming": where it raises an exception; "" for nowhere.
        told: the names of what it was told.
        origin: the connection.
        refusal: the refusal.
    """

    fails_when: str = ""
    told: list[str] = field(factory=list)
    transaction: Transaction = field(init=False)
    origin: PooledConnection | None = None
    refusal: Refused | None = None

    def admitted(self, admission: Admission) -> None:
        """Dial."""
        self.told.append("admitted")
        self.transaction.dial()

    def connected(self, origin: PooledConnection) -> None:
        """Keep the connection."""
        self.told.append("connected")
        self.origin = origin
        if self.fails_when == "streaming":
            self.transaction.start()
        if self.fails_when:
            raise RuntimeError(self.fails_when)

    def refused(self, refused: Refused) -> None:
        """Keep the refusal."""
        self.told.append(f"refused {refused.code}")
        self.refusal = refused

    def end(self, cause: str, refused: Refused | None = None) -> None:
        """Note the cause."""
        self.told.append(f"end {cause}")


class OwnerCase(ReevaluationCase):
    """Arranges an owner of a transaction."""

    def begin(self, fails_when: str = "", url: str = "http://origin.example/") -> Owner:
        """Let an owner begin."""
        owner = self.owner = Owner(fails_when)
        request = make_request(url, begun=self.network.clock.seconds())
        transaction = owner.transaction = Transaction(self.server, Subject(), request, owner)
        transaction.admit()
        self.network.settle()
        return owner


class OwnerTests(OwnerCase):
    """What the owner of a transaction is told."""

    def test_connected(self) -> None:
        """The owner of an admitted request gets the connection; its address and the time for it are noted."""
        self.origin()
        self.network.delay(ADDRESS, 1.5)
        owner = self.begin()
        self.assertEqual(["admitted"], owner.told)

        self.network.advance(1.5)

        self.assertEqual(["admitted", "connected"], owner.told)
        assert owner.origin is not None
        transaction = owner.transaction
        self.assertEqual((ADDRESS, ADDRESS, 1), (transaction.dialled, owner.origin.address, owner.origin.generation))
        self.assertAlmostEqual(1_500.0, transaction.request.phases.dial)
        self.assertIs(None, transaction.pending)

    def test_waiting_for_a_name(self) -> None:
        """The time that a name took is not counted as judging."""
        self.origin()
        self.resolver.hold("origin.example")
        owner = self.begin()
        self.network.advance(2)
        self.assertEqual([], owner.told)

        self.resolver.answer("origin.example", ADDRESS)
        self.network.settle()

        phases = owner.transaction.request.phases
        self.assertEqual((2_000.0, 0.0), (phases.resolve, phases.judge))
        self.assertEqual(["admitted", "connected"], owner.told)

    def test_a_gate_that_fails(self) -> None:
        """A fault of ours in judging is told as a refusal and logged, and nothing is dialled."""
        self.renew(SAME, resolver=BrokenResolver())

        self.assertEqual(["refused internal_error"], self.begin().told)

        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.assertEqual([], self.network.dialled)

    def test_a_gate_that_fails_later(self) -> None:
        """So is one that comes after something had to be waited for, and once only."""
        later: Deferred[Resolution] = Deferred()
        self.renew(SAME, resolver=BrokenResolver(later))
        owner = self.begin()
        self.assertEqual([], owner.told)

        later.errback(RuntimeError("resolve"))

        self.assertEqual(["refused internal_error"], owner.told)
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_a_route_that_cannot_be_built(self) -> None:
        """So is a route whose proxy nobody knows."""
        self.renew(SAME, agent=BrokenAgent())

        owner = self.begin()

        self.assertEqual(["admitted", "refused internal_error"], owner.told)
        self.assertIs(None, owner.transaction.pending)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_an_owner_that_fails(self) -> None:
        """An owner that cannot use its connection is refused while it can answer, and ended when octets may move."""
        for fails_when, told in (("connected", "refused internal_error"), ("streaming", "end failed")):
            with self.subTest(fails_when):
                self.setUp()
                origin = self.origin()

                owner = self.begin(fails_when)

                self.assertEqual(["admitted", "connected", told], owner.told)
                # What streams is ended by its owner, with its connection.
                self.assertIs(fails_when == "connected", origin.peer.was_reset)
                self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))

    def test_cancel(self) -> None:
        """Nothing is told after a cancellation, neither of a look-up nor of a dial, and nothing goes on."""
        self.network.blackhole(ADDRESS)
        for is_held in (True, False):
            with self.subTest(is_held=is_held):
                if is_held:
                    self.resolver.hold("origin.example")
                owner = self.begin()
                told = list(owner.told)

                owner.transaction.cancel()
                owner.transaction.cancel()
                self.resolver.answer("origin.example", ADDRESS)
                self.network.advance(60)

                self.assertEqual((told, 0), (owner.told, self.network.open_links()))

    def test_refuse_unstarted(self) -> None:
        """A request that waits can be refused, which stops what it waits for; one whose octets move cannot."""
        self.network.blackhole(ADDRESS)
        owner = self.begin()
        gone = Refused("listener_gone", "Gone.")

        owner.transaction.refuse_unstarted(gone)
        self.network.settle()
        self.assertEqual((gone, 0), (owner.refusal, self.network.open_links()))

        self.origin(port=443)
        self.resolver.answer("origin.example", OTHER)
        self.origin(OTHER)
        owner = self.begin()
        owner.transaction.start()
        owner.transaction.refuse_unstarted(gone)
        self.assertEqual(["admitted", "connected"], owner.told)
        owner.transaction.record_end("complete")
        owner.transaction.refuse_unstarted(gone)
        self.assertEqual(["admitted", "connected"], owner.told)


class RecordTests(OwnerCase):
    """What a transaction records."""

    def test_one_end(self) -> None:
        """The end is recorded once, an open tunnel never after its end, and the owner is let go."""
        self.origin()
        transaction = self.begin().transaction
        transaction.start()
        transaction.record_open()

        transaction.record_end("complete")
        transaction.record_end("failed")
        transaction.record_open()

        self.assertEqual([("open", ""), ("end", "complete")], [(e.event, e.cause) for e in self.audit_log.records])
        self.assertIs(NO_OWNER, transaction.owner)
        self.assertIs(None, transaction.trace)

    def test_failures_and_refusals(self) -> None:
        """A failed route is the end of an admitted request, whose rule is named; a refusal is an event of its own."""
        self.network.unreachable(ADDRESS)
        for url, expected in (
            ("http://origin.example/", ("end", "failed", 502, "rules", "example")),
            ("http://denied.example/", ("refused", "refused", 403, "rules", "never")),
            ("http://unknown.example/", ("refused", "refused", 403, "rules", "")),
        ):
            with self.subTest(url):
                owner = self.begin(url=url)
                assert owner.refusal is not None

                owner.transaction.name_policy(owner.refusal)
                owner.transaction.record_refusal(owner.refusal)

                event = self.ends()[-1]
                refused = event.refused
                assert refused is not None
                self.assertEqual(expected, (event.event, event.cause, event.status, refused.policy, refused.rule))
                self.assertEqual("egress", event.response_source)

    def test_refusals_keep_their_policy(self) -> None:
        """The policy that had allowed is not named for what another policy refused."""
        self.origin()
        transaction = self.begin().transaction
        by_name, by_code = Refused("internal_error", "No.", policy="other"), Refused("denied", "No.")

        transaction.name_policy(by_name)
        transaction.name_policy(by_code)

        self.assertEqual(("other", ""), (by_name.policy, by_code.policy))

    def test_address_of_a_failed_dial(self) -> None:
        """The address that was dialled last is recorded even if it did not answer."""
        self.network.blackhole(ADDRESS)
        transaction = self.begin().transaction

        transaction.cancel()
        transaction.record_end("client_closed")

        self.assertEqual(ADDRESS, self.ends()[-1].dialled)


class Unserved(ServerCase):
    """Requests that come when nothing may be served."""

    def test_stopping(self) -> None:
        """A request whose head ends while the server stops is refused, and not judged."""
        client = self.said(GET[:20])
        self.server.drain()

        client.says(GET[20:])
        self.network.settle()

        self.assert_refused(client, 503, "stopping")
        self.assertTrue(client.saw_eof)
        self.assertEqual([], self.resolver.asked)
