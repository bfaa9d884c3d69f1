"""Which of the sockets that systemd hands over a listener takes."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.service.listen.endpoint import SystemdEndpoint
from egress.service.listen.socket_activation import Offers, number, read_offers

# No process of the tests has a descriptor of this number or a higher one, so nothing is closed by mistake.
FAR = 1_000_000


class EnvironmentTests(SynchronousTestCase):
    """What systemd leaves in the environment."""

    def read(self, **environment: str) -> Offers:
        """Read variables, which are gone afterwards."""
        offers = read_offers(environment)
        self.assertEqual({}, environment)
        return offers

    def why(self, offers: Offers) -> str:
        """Say why there is nothing for an endpoint."""
        error = self.assertRaises(ConfigError, offers.adopt, "a", SystemdEndpoint("agents"), "listener[0].endpoint")
        self.assertEqual("listener[0].endpoint", error.where)
        problem: str = error.problem
        return problem

    def test_nothing(self) -> None:
        """Without systemd an endpoint of its kind cannot be served."""
        self.assertIn("handed no sockets", self.why(self.read()))

    def test_another_process(self) -> None:
        """What was meant for another process is left alone."""
        offers = self.read(LISTEN_PID=str(os.getpid() + 1), LISTEN_FDS="1", LISTEN_FDNAMES="agents")

        self.assertEqual([], offers.waiting)
        self.assertIn("LISTEN_PID", self.why(offers))

    def test_no_number(self) -> None:
        """A count that is none is said to be so."""
        for count in ("", "x", "-1", "9" * 5000):
            self.assertIn("LISTEN_FDS", self.why(self.read(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count)), count)


class TakeTests(SynchronousTestCase):
    """Names and numbers."""

    def offers(self, *names: str) -> Offers:
        """Make offers of descriptors that are none."""
        return Offers(number(names, range(FAR, FAR + len(names))))

    def fault(self, offers: Offers, name: str, index: int | None = None) -> str:
        """Ask for one in vain."""
        error = self.assertRaises(ConfigError, offers.adopt, "a", SystemdEndpoint(name, index), "here")
        problem: str = error.problem
        return problem

    def test_unknown_name(self) -> None:
        """A name that systemd does not know is told together with those that it does."""
        self.assertIn("'builder'", self.fault(self.offers("agents", "builder", "builder"), "agent"))

    def test_ambiguous(self) -> None:
        """Several of one name want a number."""
        offers = self.offers("agents", "other", "agents")

        self.assertIn("2 sockets called 'agents'", self.fault(offers, "agents"))
        self.assertIn("'agents:index=2'", self.fault(offers, "agents", 2))

    def test_nameless(self) -> None:
        """Those without a name are called as systemd calls them."""
        self.assertEqual(["unknown"], [offer.name for offer in self.offers("").waiting])

    def test_not_a_socket(self) -> None:
        """A descriptor that is no socket is refused, and is taken all the same."""
        offers = self.offers("agents")

        self.assertIn("is not a socket", self.fault(offers, "agents"))
        self.assertEqual([], offers.waiting)

    def test_left_over(self) -> None:
        """What nobody takes is let go."""
        offers = self.offers("agents", "other")

        offers.close_rest()

        self.assertEqual([], offers.waiting)
