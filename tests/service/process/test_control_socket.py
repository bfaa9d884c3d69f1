"""The control socket in the state directory."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from egress.service.process.control_socket import ControlSocket, control_path


class ControlSocketTests(SynchronousTestCase):
    """The socket in the state directory."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp())

    def start(self, state: str) -> ControlSocket:
        """Start one, in a reactor that does not run."""
        control = ControlSocket(MemoryReactorClock(), state)
        control.start()
        self.addCleanup(control.stop)
        return control

    def test_only_ours(self) -> None:
        """The directory is made if it is missing, and the socket is nobody else's."""
        control = self.start(str(self.state))
        path = control_path(str(self.state))

        self.assertEqual(0o600, stat.S_IMODE(os.lstat(path).st_mode))
        self.assertEqual(0o700, stat.S_IMODE(os.lstat(self.state).st_mode))
        control.stop()
        self.assertFalse(os.path.exists(path))

    def test_deep(self) -> None:
        """A path that is longer than a socket's address will do."""
        deep = self.state / ("d" * 120)
        control = self.start(str(deep))

        self.assertTrue((deep / "control.sock").is_socket())
        control.stop()
        self.assertFalse((deep / "control.sock").exists())

    def test_stale(self) -> None:
        """What a killed process left behind is replaced."""
        self.state.mkdir()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(control_path(str(self.state)))

        self.assertIsNotNone(self.start(str(self.state))._port)

    def test_another_proxy(self) -> None:
        """The socket of a proxy that runs is left alone, and so is what is no socket."""
        self.start(str(self.state))
        self.assertIsNone(self.start(str(self.state))._port)
        other = self.state / "other"
        other.mkdir()
        Path(control_path(str(other))).write_text("mine")

        self.assertIsNone(self.start(str(other))._port)

        self.assertEqual("mine", Path(control_path(str(other))).read_text())

    def test_places_that_will_not_do(self) -> None:
        """A directory that cannot be made means no socket, and nothing worse."""
        self.state.write_text("a file")
        for state in (str(self.state), str(self.state / "below"), "/proc/none", "/proc/" + "x" * 120):
            control = self.start(state)
            self.assertIsNone(control._port, state)
            self.successResultOf(control.stop())
