"""The contents of audit events."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import Refused
from egress.model import Admission, AuditEvent, Client, Connection, HelloFacts, Request
from egress.proxy.audit_events import build_event
from egress.testing import make_request


@define
class Time:
    """A server's time.

    Attributes:
        clock: its clock.
    """

    clock: Clock = field(factory=Clock)

    def now(self) -> float:
        """Give the time of day."""
        return 1_000.0 + self.clock.seconds()


@define
class Subject:
    """A client connection.

    Attributes:
        connection: its facts.
        connection_id: its id.
        by_facts: the client as they tell.
    """

    connection: Connection = field(factory=lambda: Connection("agents", "192.0.2.1", 4711))
    connection_id: str = "boot-c1"
    by_facts: Client = field(factory=lambda: Client("by facts"))


@define
class Moved:
    """What a transaction adds."""

    admission: Admission | None = None
    dialled: str = "93.184.216.34"
    hello: HelloFacts | None = field(factory=lambda: HelloFacts("a.example"))
    up: int = 5
    down: int = 7
    response_source: str = "origin"


REFUSED = Refused("denied", "It was said so.")


class EventTests(SynchronousTestCase):
    """`build_event`."""

    def setUp(self) -> None:
        self.time, self.subject = Time(), Subject()
        self.request = make_request("http://a.example/", client=Client("of the request"), begun=1.0)
        self.request.phases.judge, self.request.phases.dial = 1.0, 2.0
        self.time.clock.advance(3.5)

    def build(self, event: str, cause: str, request: Request | None, **more: object) -> AuditEvent:
        """Build an event, and assert what each has."""
        built = build_event(event, self.time, self.subject, request, cause, **more)  # type: ignore[arg-type]
        self.assertEqual((event, cause, 1_003.5), (built.event, built.cause, built.timestamp))
        self.assertEqual((self.subject.connection, "boot-c1"), (built.connection, built.connection_id))
        return built

    def test_end(self) -> None:
        """The end of an admitted request has its client, what moved, and how long it took."""
        built = self.build("end", "complete", self.request, status=200, progress=Moved())

        self.assertEqual(("of the request", "http", 200), (built.client.key, built.request_form, built.status))
        self.assertEqual((5, 7), (built.client_bytes, built.server_bytes))
        self.assertEqual(("93.184.216.34", HelloFacts("a.example")), (built.dialled, built.hello))
        self.assertEqual((2_500.0, "origin"), (built.duration_ms, built.response_source))
        self.assertIs(self.request.phases, built.phases)

    def test_open(self) -> None:
        """The event of an open tunnel keeps the phases so far: later ones do not change it."""
        built = self.build("open", "", self.request, progress=Moved())

        self.request.phases.wait = 9.0

        self.assertEqual((1.0, 2.0, -1.0), (built.phases.judge, built.phases.dial, built.phases.wait))

    def test_request_without_transaction(self) -> None:
        """A request that was refused before it was judged has its client and its duration, and moved nothing."""
        built = self.build("refused", "refused", self.request, refused=REFUSED, status=403)

        self.assertEqual((REFUSED, 403, 2_500.0), (built.refused, built.status, built.duration_ms))
        self.assertEqual(("of the request", "egress", 0), (built.client.key, built.response_source, built.client_bytes))
        self.assertIsNone(built.admission)

    def test_no_request(self) -> None:
        """What could not be read as a request has the client that the facts tell, and the id of the response."""
        built = self.build("refused", "refused", None, refused=REFUSED, status=400, request_id="boot-1")

        self.assertEqual(("by facts", "boot-1", ""), (built.client.key, built.request_id, built.request_form))
        self.assertEqual((None, 0.0, 400), (built.request, built.duration_ms, built.status))

    def test_own_response(self) -> None:
        """A request that the proxy answers by itself has the client that it was identified as, and its form."""
        caller = Client("alice")

        built = self.build("end", "complete", None, status=204, request_form="http", client=caller)

        self.assertEqual((caller, "http", 204), (built.client, built.request_form, built.status))
