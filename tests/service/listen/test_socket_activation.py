"""The selection of systemd's sockets by listeners."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.service.listen.endpoint import SystemdEndpoint
from egress.service.listen.socket_activation import (
    ActivationSockets,
    inherited,
    keep_activation_variables,
    number,
    read_activation_sockets,
)

# No process of the tests has a descriptor of this number or a higher one, so nothing is closed by mistake.
FAR = 1_000_000


class EnvironmentTests(SynchronousTestCase):
    """What systemd leaves in the environment."""

    def read(self, **environment: str) -> ActivationSockets:
        """Read variables, which are gone afterwards."""
        activation_sockets = read_activation_sockets(environment)
        self.assertEqual({}, environment)
        return activation_sockets

    def why(self, activation_sockets: ActivationSockets) -> str:
        """Say why there is nothing for an endpoint."""
        error = self.assertRaises(
            ConfigError, activation_sockets.adopt, "a", SystemdEndpoint("agents"), "listener[0].endpoint"
        )
        self.assertEqual("listener[0].endpoint", error.where)
        problem: str = error.problem
        return problem

    def test_nothing(self) -> None:
        """Without systemd an endpoint of its kind cannot be served."""
        self.assertIn("handed no sockets", self.why(self.read()))

    def test_kept(self) -> None:
        """Variables that were taken before Twisted looked for plugins are read once."""
        environment = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1", "HOME": "/"}
        keep_activation_variables(environment)

        self.assertEqual({"HOME": "/"}, environment)
        self.assertIn("LISTEN_PID", self.why(self.read()))
        self.assertIn("handed no sockets", self.why(self.read()))

    def test_another_process(self) -> None:
        """What was meant for another process is left alone."""
        activation_sockets = self.read(LISTEN_PID=str(os.getpid() + 1), LISTEN_FDS="1", LISTEN_FDNAMES="agents")

        self.assertEqual([], activation_sockets.waiting)
        self.assertIn("LISTEN_PID", self.why(activation_sockets))

    def test_no_number(self) -> None:
        """A count that is none is said to be so."""
        for count in ("", "x", "-1", "9" * 5000):
            self.assertIn("LISTEN_FDS", self.why(self.read(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count)), count)

    def test_count_beyond_what_was_received(self) -> None:
        """A count that is too large takes no descriptor: the further ones are this process's own."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)

        activation_sockets = self.read(LISTEN_PID=str(os.getpid()), LISTEN_FDS="99999", LISTEN_FDNAMES="agents")

        self.assertEqual([], activation_sockets.waiting)
        self.assertRegex(self.why(activation_sockets), r"LISTEN_FDS is 99999, .* only \d+")
        activation_sockets.close_rest()
        os.fstat(reader)
        os.fstat(writer)

    def test_which_were_received(self) -> None:
        """Descriptors that are close-on-exec, or not open, were not received."""
        pair = [os.dup(0) for _ in range(2)]
        for each in pair:
            self.addCleanup(os.close, each)
        first = pair[0]
        self.assertEqual(range(first, first), inherited(range(first, first + 1)))

        os.set_inheritable(first, True)

        self.assertEqual(range(first, first + 1), inherited(range(first, first + 1)))
        self.assertEqual(range(FAR, FAR), inherited(range(FAR, FAR + 9)))


class TakeTests(SynchronousTestCase):
    """Names and numbers."""

    def activation_sockets(self, *names: str) -> ActivationSockets:
        """Make offers of descriptors that are none."""
        return ActivationSockets(number(names, range(FAR, FAR + len(names))))

    def fault(self, activation_sockets: ActivationSockets, name: str, index: int | None = None) -> str:
        """Ask for one in vain."""
        error = self.assertRaises(ConfigError, activation_sockets.adopt, "a", SystemdEndpoint(name, index), "here")
        problem: str = error.problem
        return problem

    def test_unknown_name(self) -> None:
        """A name that systemd does not know is told together with those that it does."""
        self.assertIn("'builder'", self.fault(self.activation_sockets("agents", "builder", "builder"), "agent"))

    def test_ambiguous(self) -> None:
        """Several of one name want a number."""
        activation_sockets = self.activation_sockets("agents", "other", "agents")

        self.assertIn("2 sockets called 'agents'", self.fault(activation_sockets, "agents"))
        self.assertIn("'agents:index=2'", self.fault(activation_sockets, "agents", 2))

    def test_nameless(self) -> None:
        """Those without a name are called as systemd calls them."""
        self.assertEqual(["unknown"], [offer.name for offer in self.activation_sockets("").waiting])

    def test_not_a_socket(self) -> None:
        """A descriptor that is no socket is refused, and is taken all the same."""
        activation_sockets = self.activation_sockets("agents")

        self.assertIn("is not a socket", self.fault(activation_sockets, "agents"))
        self.assertEqual([], activation_sockets.waiting)

    def test_left_over(self) -> None:
        """What nobody takes is let go."""
        activation_sockets = self.activation_sockets("agents", "other")

        activation_sockets.close_rest()

        self.assertEqual([], activation_sockets.waiting)
