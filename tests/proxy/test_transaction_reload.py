"""A reload while a transaction waits: what the new snapshot decides before octets move."""

from __future__ import annotations

from egress.model import Outcome
from egress.policy.rate import make_rate
from egress.testing import FixedPolicy
from tests.proxy.reload.test_reevaluation import CONNECT, ESTABLISHED, OTHERS, SAME, ReevaluationCase, Slow
from tests.proxy.support import ADDRESS


class Pending(ReevaluationCase):
    """Requests that were admitted and have not begun to move bytes."""

    def test_admitted_late(self) -> None:
        """A request whose name is looked up while the snapshot changes is judged by the new one, and not dialled."""
        self.origin(port=443)
        self.resolver.hold("origin.example")
        client = self.said(CONNECT)

        self.renew(OTHERS)
        self.resolver.answer("origin.example", ADDRESS)
        self.network.settle()

        self.assert_refused(client, 403, "no_rule")
        self.assertEqual([], self.network.dialled)

    def test_admitted_late_and_still_allowed(self) -> None:
        """The same where both allow it: the record has the rule of the new one."""
        self.origin(port=443)
        self.resolver.hold("origin.example")
        client = self.said(CONNECT)

        self.renew(SAME)
        self.resolver.answer("origin.example", ADDRESS)
        self.network.settle()
        client.heard(ESTABLISHED)
        client.aborts()
        self.network.settle()

        admission = self.ends()[-1].admission
        assert admission is not None
        self.assertEqual(("renamed", 2), (admission.verdict.rule, admission.generation))

    def test_stale_before_its_200(self) -> None:
        """A tunnel that is dialled while the snapshot changes gets a refusal in the place of its 200."""
        origin = self.origin(port=443)
        self.network.delay(ADDRESS, 1.0)
        client = self.said(CONNECT)
        self.assertEqual([(ADDRESS, 443)], self.network.dialled)

        self.renew(OTHERS)
        self.network.settle()
        self.assertEqual(b"", client.received)
        self.network.advance(1.0)

        self.assert_refused(client, 403, "no_rule")
        self.assertTrue(origin.peer.was_reset)

    def test_allowed_before_its_200(self) -> None:
        """The same where both allow it: it opens, and what either side says early arrives."""
        origin = self.origin(port=443)
        self.network.delay(ADDRESS, 1.0)
        client = self.said(CONNECT + b"early")

        self.renew(SAME)
        self.network.advance(1.0)

        client.heard(ESTABLISHED)
        origin.heard(b"early")

    def test_a_greeting_before_its_200(self) -> None:
        """An origin that speaks first is not cut off by a policy that takes its time."""
        origin = self.origin(port=443)
        self.network.delay(ADDRESS, 1.0)
        client = self.said(CONNECT + b"early")
        slow = Slow()
        self.renew(policies=[slow])
        self.network.advance(1.0)
        origin.peer.says(b"220 ready\r\n")
        origin.peer.ends()
        self.network.settle()
        self.assertEqual(b"", client.received)

        slow.say(Outcome.ALLOW)
        self.network.settle()

        client.heard(ESTABLISHED + b"220 ready\r\n")
        self.assertTrue(client.saw_eof)
        origin.heard(b"early")

    def test_two_snapshots_before_its_200(self) -> None:
        """The last snapshot decides, however many there were."""
        self.origin(port=443)
        self.network.delay(ADDRESS, 1.0)
        client = self.said(CONNECT)
        slow = Slow()
        self.renew(policies=[slow])
        self.network.advance(1.0)

        self.renew(OTHERS)
        slow.say(Outcome.ALLOW)
        self.network.settle()

        self.assert_refused(client, 403, "no_rule")

    def test_the_client_leaves_before_its_200(self) -> None:
        """A client that does not wait for the second judgement leaves nothing behind."""
        origin = self.origin(port=443)
        self.network.delay(ADDRESS, 1.0)
        client = self.said(CONNECT)
        self.renew(policies=[Slow()])
        self.network.advance(1.0)

        client.aborts()
        self.network.settle()

        self.assertTrue(origin.peer.was_reset)
        self.assertEqual((["client_reset"], 0), ([record.cause for record in self.ends()], self.network.open_links()))

    def test_the_origin_leaves_before_the_200(self) -> None:
        """An origin that does not wait is told to the client as what it is."""
        origin = self.origin(port=443)
        self.network.delay(ADDRESS, 1.0)
        client = self.said(CONNECT)
        slow = Slow()
        self.renew(policies=[slow])
        self.network.advance(1.0)

        origin.peer.aborts()
        self.network.settle()
        slow.say(Outcome.ALLOW)
        self.network.settle()

        self.assertIn(b"HTTP/1.1 ", client.received)
        self.assertEqual(1, len(self.ends()))
        self.assertEqual(0, self.network.open_links() - len(self.server.connections.live))

    def test_it_is_counted_once(self) -> None:
        """A request that is judged again before it begins does not count as two."""
        self.origin(port=443)
        self._port += 1
        settings = {"requests_per_minute": 1}
        self.arrange([FixedPolicy("allow"), make_rate("rate", settings, self.host)])
        self.resolver.hold("origin.example")
        client = self.said(CONNECT)

        self.renew(policies=[FixedPolicy("allow"), make_rate("rate", settings, self.host)])
        self.resolver.answer("origin.example", ADDRESS)
        self.network.settle()

        client.heard(ESTABLISHED)
