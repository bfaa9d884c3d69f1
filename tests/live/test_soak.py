"""The short form of `bench/soak.py`, and what its comparison of the audit log finds."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.live.soak.comparison import Comparison, Expectation, exactly
from tests.live.soak.content import Digest, content
from tests.live.soak.costly_turns import KINDS
from tests.live.soak.report import Plan
from tests.live.soak.run import WAYS, Soak
from tests.live.support import needs

_PLAN = Plan(seconds=13, warm_seconds=5, seed=20261128)


def _can_see_descriptors() -> bool:
    os.listdir("/proc/1/fd")
    return True


class SoakTests(SynchronousTestCase):
    """Less than a minute of it."""

    def test_soak(self) -> None:
        """Every octet and every line is as it must be, and nothing is left over."""
        needs(_can_see_descriptors, "only root can see the descriptors of the proxy")
        # A unix socket has a short path.
        directory = Path(tempfile.mkdtemp(prefix="egress-soak-"))
        self.addCleanup(shutil.rmtree, directory)

        report = Soak(_PLAN, directory).run()

        self.assertEqual("", "\n".join(report.faults))
        self.assertEqual((set(WAYS), set(KINDS)), (set(report.misbehaved), set(report.costly)))
        self.assertGreater(min(report.good.values()), 0)
        self.assertGreater(report.checked_bytes, 0)
        self.assertGreater(min(report.reloads), 0)


class ComparisonTests(SynchronousTestCase):
    """A comparison that finds nothing where there is something would make the soak worthless."""

    def setUp(self) -> None:
        """Begin with one request that has ended."""
        self.comparison = Comparison(range(7, 8), ("no_rule",))
        self.serial = self.comparison.next_serial()

    def line(self, **more: object) -> dict[str, Any]:
        """Make a line about the request."""
        told = dict.fromkeys(("timestamp", "request_id", "client_port", "detail", "config_generation", "code"))
        return {
            **told,
            "event": "end",
            "listener": "agents",
            "verdict": "allow",
            "http_request_method": "GET",
            "server_address": "127.0.0.1",
            "server_port": 80,
            "url_path": f"/{self.serial}/length/5",
            "http_response_status_code": 200,
            "response_source": "origin",
            "client_bytes": 0,
            "server_bytes": 5,
            "duration_ms": 1.0,
            "cause": "complete",
            **more,
        }

    def expect(self) -> None:
        """Say what its line must hold."""
        facts = {"listener": "agents"}
        self.comparison.expect(Expectation(self.serial, "GET", server_bytes=exactly(5), facts=facts))

    def faults(self, *lines: dict[str, Any]) -> str:
        """Compare lines, to the end."""
        for line in lines:
            self.comparison.take_line(line)
        self.comparison.finish()
        return "\n".join(self.comparison.faults)

    def test_equal(self) -> None:
        """A line that holds what was expected is no fault, whichever comes first."""
        self.expect()
        self.assertEqual("", self.faults(self.line()))
        self.serial = self.comparison.next_serial()
        self.comparison.take_line(self.line())
        self.expect()
        self.assertEqual("", self.faults())
        self.assertEqual((2, 2), (self.comparison.requests, self.comparison.matched["GET"]))

    def test_missing(self) -> None:
        """A request without a line is found."""
        self.expect()

        self.assertIn("has no line", self.faults())

    def test_unexpected(self) -> None:
        """A line of nobody is found, unless it is about an origin whose requests nobody counts."""
        self.assertIn("no client has told of this line", self.faults(self.line()))
        self.assertIn("nobody made this request", self.faults(self.line(url_path="/x")))
        before = len(self.comparison.faults)
        self.comparison.take_line(self.line(url_path="/x", server_port=7))
        self.assertEqual(before, len(self.comparison.faults))

    def test_twice(self) -> None:
        """A second line of one request is found."""
        self.expect()

        self.assertIn("has ended twice", self.faults(self.line(), self.line()))

    def test_different(self) -> None:
        """Other octets, another listener and another cause are found."""
        for name, value in (("server_bytes", 4), ("client_bytes", 1), ("listener", "tokens"), ("cause", "failed")):
            self.setUp()
            self.expect()
            self.assertIn(name, self.faults(self.line(**{name: value})))

    def test_open_tunnels(self) -> None:
        """A tunnel that was opened must end, and a long one must have been opened."""
        tunnel = {"server_address": "127.16.0.1", "url_path": None}
        self.assertIn("did not end", self.faults(self.line(event="open", **tunnel)))
        self.setUp()
        self.expect()
        self.assertIn("no line of its beginning", self.faults(self.line(**tunnel, duration_ms=60_000.0)))

    def test_refusals(self) -> None:
        """The number of requests that were not admitted is compared, with those that are only counted."""
        self.comparison.count("denied", 3)
        self.comparison.count("no_rule", 1)
        refused = self.line(event="refused", verdict="deny", code="denied", cause="refused")
        repeated = {**refused, "event": "repeated", "count": 2}
        others = self.line(event="refused", verdict="deny", code="no_rule", cause="refused")

        self.assertEqual("", self.faults(refused, repeated, others, others))
        self.assertIn("4 requests were not admitted (denied), not 3", self.faults(refused))

    def test_lost_lines(self) -> None:
        """A loss is found."""
        self.assertIn("lines were lost", self.faults({"event": "loss", "count": 1}))

    def test_content(self) -> None:
        """Octets of another request, or of another place in it, are found."""
        pieces = list(content(1, 200_000))
        for wrong, fault in (
            (pieces, ""),
            (pieces[:-1], "in place of"),
            (list(content(2, 200_000)), "other octets"),
            ([pieces[1], pieces[0], *pieces[2:]], "other octets"),
        ):
            digest = Digest()
            for piece in wrong:
                digest.take(piece)
            self.assertIn(fault, digest.fault(1, 200_000))
            self.assertEqual(not fault, not digest.fault(1, 200_000))
