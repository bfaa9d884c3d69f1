"""Rules that would have let refused requests pass."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.contain.suggestion import count, suggest


def refusal(
    host: str | None, port: int | None = 443, code: str = "no_rule", event: str = "refused", **more: object
) -> dict[str, object]:
    """Make an event."""
    return {"event": event, "server_address": host, "server_port": port, "code": code, **more}


class SuggestionTests(SynchronousTestCase):
    """From audit events to options."""

    def test_counts(self) -> None:
        """Each request counts once: by its last line, or in a line that counts many."""
        found = count(
            [
                {"event": "start"},
                {"event": "open", "server_address": "a.example", "server_port": 443, "code": None},
                {"event": "end", "server_address": "a.example", "server_port": 443, "code": None},
                refusal("b.example"),
                refusal("b.example", event="repeated", count=7),
                {"event": "end", "server_address": "c.example", "server_port": 443, "code": "dial_timeout"},
                refusal(None, None, "bad_head"),
            ]
        )

        self.assertEqual((11, {("b.example", 443, "no_rule"): 8}), (found.requests, dict(found.refused)))

    def test_only_what_no_rule_names(self) -> None:
        """What a rule or the guard refused is not suggested, and no address; the most wanted comes first."""
        found = count(
            [
                refusal("b.example"),
                refusal("a.example", 80),
                refusal("a.example", 80),
                refusal("denied.example", code="denied"),
                refusal("169.254.169.254", 80),
                refusal("2001:db8::1"),
            ]
        )

        self.assertEqual(["a.example:80", "b.example:443"], suggest(found))
