"""What becomes of a request between its admission and its last audit event."""

from __future__ import annotations

from egress.errors import NameNotFound, ResolverFailed, ResolverTimeout
from tests.proxy.reload.test_reevaluation import GET
from tests.proxy.support import ADDRESS, ServerCase


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
