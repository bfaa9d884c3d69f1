"""Patterns of client labels."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.match import ClientPatterns


class ClientPatternTests(SynchronousTestCase):
    """For whom a rule holds."""

    def test_match(self) -> None:
        """A star stands for any characters of the value, and one label is enough."""
        patterns = ClientPatterns.compile(["token:research-*", "uid:1001", "certificate:*-x-*"])
        for label, expected in [
            ("token:research-1", True),
            ("token:research-", True),
            ("token:research", False),
            ("uid:1001", True),
            ("uid:10010", False),
            ("certificate:a-x-b", True),
            ("certificate:a-y-b", False),
        ]:
            self.assertEqual(patterns.match(frozenset({label, "listener:agents"})), expected, label)
        self.assertFalse(patterns.match(frozenset()))

    def test_refused(self) -> None:
        """A pattern without a kind could never match, and the error says which one it is."""
        for pattern in ("research-*", "*", "*:x", "uid:", ":x", "uid: 1", "Uid:1", "uid:\u0661"):
            with self.assertRaises(ConfigError) as caught:
                ClientPatterns.compile(["uid:1", pattern], "clients")
            self.assertEqual(caught.exception.where, "clients[1]")
        self.assertRaises(ConfigError, ClientPatterns.compile, [])
