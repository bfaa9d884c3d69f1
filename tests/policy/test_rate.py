"""The policy `rate`."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from egress.errors import ConfigError
from egress.interfaces import IPolicy, IPolicyObserver
from egress.model import (
    Admission,
    AuditEvent,
    Client,
    Connection,
    Outcome,
    Request,
    Resolution,
    Route,
    RoutePlan,
    Verdict,
)
from egress.policy import rate
from egress.policy.rate import RatePolicy, make_rate
from egress.testing import FakeHost, make_authority, make_client, make_request

RESOLUTION = Resolution("example.com", (ip_address("93.184.216.34"),))
ADMISSION = Admission(
    Verdict(Outcome.ALLOW, "destinations"),
    (),
    RoutePlan("direct", "none"),
    Route("direct", (), ()),
    RESOLUTION,
    1,
    make_authority("example.com", 80),
)


def _record(request: Request, up: int = 0, down: int = 0) -> AuditEvent:
    return AuditEvent(
        event="end",
        timestamp=0.0,
        request=request,
        client=request.client,
        connection=Connection("agents", "127.0.0.1", 1),
        connection_id="c",
        client_bytes=up,
        server_bytes=down,
    )


class RateCase(SynchronousTestCase):
    """Has a host and two clients."""

    def setUp(self) -> None:
        self.host = FakeHost()
        self.client = make_client("one")
        self.other = make_client("two")

    def make(self, **settings: object) -> RatePolicy:
        policy = make_rate("rate", settings, self.host)
        assert isinstance(policy, RatePolicy)
        return policy

    def ask(self, policy: RatePolicy, client: Client | None = None, *, is_dry_run: bool = False) -> Verdict:
        request = make_request("https://example.com", client=client or self.client, is_dry_run=is_dry_run)
        return policy.decide(request, None)

    def start(self, policy: RatePolicy, client: Client | None = None) -> Request:
        request = make_request("https://example.com", client=client or self.client)
        policy.started(request, ADMISSION)
        return request

    def assert_quiet(self, verdict: Verdict) -> None:
        self.assertEqual(verdict, Verdict(Outcome.ABSTAIN, "rate"))

    def assert_denied(self, verdict: Verdict | None, rule: str, retry_seconds: float) -> None:
        assert verdict is not None
        self.assertEqual(
            (verdict.outcome, verdict.rule, verdict.retry_seconds), (Outcome.DENY, rule, retry_seconds), verdict.reason
        )


class RequestTests(RateCase):
    """requests_per_minute"""

    def test_limit(self) -> None:
        """A minute's worth may come at once; the next is told when to come back."""
        for limit in (1, 2, 7, 60, 1000):
            policy = self.make(requests_per_minute=limit)
            client = make_client(f"client of {limit}")
            for _ in range(limit):
                self.assert_quiet(self.ask(policy, client))

            verdict = self.ask(policy, client)

            self.assert_denied(verdict, "requests_per_minute", float(-(-60 // limit)))
            noun = "request" if limit == 1 else "requests"
            self.assertEqual(verdict.reason, f"More than {limit} {noun} a minute.")

    def test_retry_is_true(self) -> None:
        """Whoever waits as long as was said is let in."""
        policy = self.make(requests_per_minute=4)
        for _ in range(4):
            self.ask(policy)
        self.host.clock.advance(3.5)
        verdict = self.ask(policy)
        self.assert_denied(verdict, "requests_per_minute", 12.0)

        self.host.clock.advance(12.0)

        self.assert_quiet(self.ask(policy))
        self.assertEqual(self.ask(policy).outcome, Outcome.DENY)

    def test_denied_costs_nothing(self) -> None:
        """Asking while denied does not put the end off."""
        policy = self.make(requests_per_minute=1)
        self.ask(policy)
        for _ in range(59):
            self.assertEqual(self.ask(policy).outcome, Outcome.DENY)
            self.host.clock.advance(1)
        self.host.clock.advance(1)

        self.assert_quiet(self.ask(policy))

    def test_each_client(self) -> None:
        """One client's requests are not another's."""
        policy = self.make(requests_per_minute=1)
        self.ask(policy)

        self.assert_quiet(self.ask(policy, self.other))

    def test_counted_once(self) -> None:
        """Neither the second round nor being judged anew counts a request again."""
        policy = self.make(requests_per_minute=2)
        request = make_request("https://example.com", client=self.client)
        for resolution in (None, RESOLUTION, None, RESOLUTION):
            self.assert_quiet(policy.decide(request, resolution))

        self.assert_quiet(self.ask(policy))

    def test_dry_run(self) -> None:
        """`explain` sees the limit and counts nothing."""
        policy = self.make(requests_per_minute=1)
        for _ in range(3):
            self.assert_quiet(self.ask(policy, is_dry_run=True))
        self.ask(policy)

        self.assertEqual(self.ask(policy, is_dry_run=True).outcome, Outcome.DENY)

    def test_judged_again(self) -> None:
        """What was judged before, under another snapshot, is neither counted nor denied, whoever counted it then."""
        policy = self.make(requests_per_minute=1, connections=1)
        self.start(policy, self.client)
        self.ask(policy, self.other)
        for client in (self.client, self.other):
            request = make_request("https://example.com", client=client)
            request.is_judged_again = True
            self.assert_quiet(policy.decide(request, None))
            self.assert_quiet(policy.decide(request, RESOLUTION))

        self.assertEqual(
            {"requests two": 60.0},
            {key: at for key, at in self.host.counters("rate").items() if key.startswith("requests ")},
        )

    def test_reload(self) -> None:
        """A policy of the same name goes on where the last one was; one of another name begins anew."""
        self.ask(self.make(requests_per_minute=1))

        self.assertEqual(self.ask(self.make(requests_per_minute=1)).outcome, Outcome.DENY)
        self.assertEqual(
            make_rate("new", {"requests_per_minute": 1}, self.host).decide(make_request(), None),
            Verdict(Outcome.ABSTAIN, "new"),
        )


class ByteTests(RateCase):
    """bytes_per_minute"""

    def test_running_tunnel(self) -> None:
        """A tunnel that moves more than a minute's worth, both directions together, is ended."""
        policy = self.make(bytes_per_minute=1000)
        request = self.start(policy)

        self.assertIsNone(policy.moved(request, 400, 600))

        self.assert_denied(policy.moved(request, 1, 0), "bytes_per_minute", 1.0)

    def test_next_request(self) -> None:
        """Who has used a minute's worth gets nothing new until some of it is back."""
        policy = self.make(bytes_per_minute=1000)
        request = self.start(policy)
        policy.moved(request, 0, 1500)
        policy.ended(_record(request, 0, 1500))

        self.assert_denied(self.ask(policy), "bytes_per_minute", 30.0)
        self.host.clock.advance(31)
        self.assert_quiet(self.ask(policy))

    def test_each_byte_once(self) -> None:
        """What `moved` counted, the end does not count again; what came after it does count."""
        policy = self.make(bytes_per_minute=1000)
        request = self.start(policy)
        policy.moved(request, 300, 300)

        policy.ended(_record(request, 300, 500))

        second = self.start(policy)
        self.assertIsNone(policy.moved(second, 200, 0))
        self.assert_denied(policy.moved(second, 1, 0), "bytes_per_minute", 1.0)

    def test_short_request(self) -> None:
        """A request that is over before anybody was told of its bytes is counted at its end."""
        policy = self.make(bytes_per_minute=1000)
        policy.ended(_record(self.start(policy), 0, 1000))

        self.assert_denied(self.ask(policy), "bytes_per_minute", 1.0)

    def test_second_round(self) -> None:
        """Bytes that moved while a name was looked up count before it is dialled."""
        policy = self.make(bytes_per_minute=1000)
        policy.ended(_record(self.start(policy), 0, 2000))

        verdict = policy.decide(make_request(client=self.client), RESOLUTION)

        self.assert_denied(verdict, "bytes_per_minute", 60.0)


class ConnectionTests(RateCase):
    """connections"""

    def test_limit(self) -> None:
        """As many as that at the same time, and one more for each that ends."""
        policy = self.make(connections=2)
        first = self.start(policy)
        self.assert_quiet(self.ask(policy))
        self.start(policy)

        self.assert_denied(self.ask(policy), "connections", 1.0)
        self.assert_quiet(self.ask(policy, self.other))

        policy.ended(_record(first))
        self.assert_quiet(self.ask(policy))

    def test_running_is_judged_anew(self) -> None:
        """A reload that judges a running tunnel again does not hold the tunnel against itself."""
        request = self.start(self.make(connections=1))

        self.assert_quiet(self.make(connections=1).decide(request, RESOLUTION))

    def test_admitted_together(self) -> None:
        """Of requests that were judged before any had started, those that start beyond the limit are ended."""
        policy = self.make(connections=1)
        first, second = self.start(policy), self.start(policy)

        self.assertIsNone(policy.moved(first, 1, 1))
        self.assert_denied(policy.moved(second, 1, 1), "connections", 1.0)

    def test_admitted_together_but_alone_now(self) -> None:
        """Such a request lives if there is room by the time it moves bytes."""
        policy = self.make(connections=1)
        first, second = self.start(policy), self.start(policy)
        policy.ended(_record(first))

        self.assertIsNone(policy.moved(second, 1, 1))
        self.start(policy)
        self.assertIsNone(policy.moved(second, 1, 1))

    def test_reload(self) -> None:
        """What runs on over a reload still counts, and its end is counted by either policy, once."""
        old = self.make(connections=1)
        request = self.start(old)
        new = self.make(connections=1)
        self.assertEqual(self.ask(new).outcome, Outcome.DENY)

        new.ended(_record(request))
        old.ended(_record(request))

        self.start(new)
        self.assertEqual(self.ask(new).outcome, Outcome.DENY)

    def test_started_before_it_was_configured(self) -> None:
        """The end of a request that was never counted takes nothing away."""
        policy = self.make(connections=1, bytes_per_minute=10)
        self.start(policy)
        stranger = make_request(client=self.client)

        self.assertIsNone(policy.moved(stranger, 5000, 0))
        policy.ended(_record(stranger, 5000, 5000))

        self.assertEqual(self.ask(policy).rule, "connections")

    def test_nothing_is_left(self) -> None:
        """When all is over nothing of it is kept."""
        policy = self.make(connections=5)
        for request in [self.start(policy) for _ in range(9)]:
            policy.ended(_record(request))

        self.assertEqual(self.host.counters("rate"), {})
        self.assertEqual(policy._excess, set())


class ClientTests(RateCase):
    """clients, and how many are kept."""

    def test_only_some(self) -> None:
        """A policy for some clients says nothing about the others and counts nothing of theirs."""
        policy = self.make(requests_per_minute=1, connections=1, clients=["token:research-*", "uid:1001"])
        for labels in ({"token:research-7"}, {"uid:1001", "listener:agents"}):
            client = make_client(labels=labels)
            self.ask(policy, client)
            self.assertEqual(self.ask(policy, client).outcome, Outcome.DENY)
        stranger = make_client(labels={"token:build-1"})
        for _ in range(3):
            self.assert_quiet(self.ask(policy, stranger))
            self.start(policy, stranger)

    def test_flood_of_clients(self) -> None:
        """A flood of new clients neither grows the memory nor resets a limit; the latecomers share one."""
        self.patch(rate, "BUCKETS_LIMIT", 3)
        policy = self.make(requests_per_minute=2)
        self.ask(policy)
        self.ask(policy)

        said = [self.ask(policy, make_client(f"flood {number}")).outcome for number in range(20)]

        self.assertEqual(said[:4], [Outcome.ABSTAIN] * 4)
        self.assertEqual(said[4:], [Outcome.DENY] * 16)
        self.assertEqual(len(self.host.counters("rate")), 4)
        self.assertEqual(self.ask(policy).outcome, Outcome.DENY)

    def test_idle_clients_make_room(self) -> None:
        """Clients whose buckets are full again are forgotten when room is needed."""
        self.patch(rate, "BUCKETS_LIMIT", 3)
        policy = self.make(requests_per_minute=1)
        for number in range(3):
            self.ask(policy, make_client(f"early {number}"))
        self.host.clock.advance(60)

        for number in range(3):
            self.assert_quiet(self.ask(policy, make_client(f"late {number}")))

        self.assertEqual(set(self.host.counters("rate")), {f"requests late {number}" for number in range(3)})


class SettingsTests(RateCase):
    """What the configuration may say."""

    def problem(self, settings: Mapping[str, object]) -> str:
        with self.assertRaises(ConfigError) as caught:
            make_rate("rate", settings, self.host)
        return str(caught.exception)

    def test_contract(self) -> None:
        """It is an impure policy that observes."""
        policy = self.make(connections=1)
        verifyObject(IPolicy, policy)
        verifyObject(IPolicyObserver, policy)
        self.assertFalse(policy.pure)

    def test_mistakes(self) -> None:
        """Each mistake names its key."""
        for settings, words in (
            ({}, "limits nothing"),
            ({"clients": ["uid:1"]}, "limits nothing"),
            ({"requests_per_minute": 0}, "requests_per_minute: must be at least 1"),
            ({"connections": -1}, "connections: must be at least 1"),
            ({"bytes_per_minute": True}, "bytes_per_minute: must be a whole number"),
            ({"bytes_per_minute": "10 MB"}, "bytes_per_minute: must be a whole number"),
            ({"requests_per_second": 1}, "requests_per_second: unknown key"),
            ({"connections": 1, "clients": []}, "clients: is empty"),
            ({"connections": 1, "clients": ["uid:1", "nobody"]}, "clients[1]: must be"),
            ({"connections": 1, "clients": "uid:1"}, "clients: must be an array"),
        ):
            self.assertIn(words, self.problem(settings))
