"""The control socket: one question, one answer."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.service.process.control_socket import LINE_BYTES, Control, ControlFactory, ControlProtocol, control_path


class ControlCase(SynchronousTestCase):
    """Arranges a factory with a few verbs."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.uid = os.geteuid()
        self.later: Deferred[object] = Deferred()
        self.factory = ControlFactory(
            self.clock,
            {
                "greet": lambda question: {"hello": question.get("name")},
                "wait": lambda _: self.later,
                "fail": self.fail_with(ConfigError("guard", "is no table", "egress.toml")),
                "break": self.fail_with(ZeroDivisionError("a secret")),
            },
            lambda _: self.uid,
        )

    def fail_with(self, error: Exception) -> Any:
        """Make a verb that raises."""

        def verb(_: object) -> object:
            raise error

        return verb

    def connect(self) -> tuple[ControlProtocol, StringTransport]:
        """Connect."""
        protocol, transport = self.factory.buildProtocol(UNIXAddress(None)), StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def ask(self, line: bytes) -> Any:
        """Ask, and read the answer."""
        protocol, transport = self.connect()
        protocol.dataReceived(line)
        return self.answer(protocol, transport)

    def answer(self, protocol: ControlProtocol, transport: StringTransport) -> Any:
        """Read the answer, which is the last thing that is said."""
        self.assertTrue(transport.disconnecting)
        said = transport.value()
        self.assertTrue(said.endswith(b"\n"))
        protocol.connectionLost(Failure(ConnectionError()))
        self.assertEqual(([], set()), (self.clock.getDelayedCalls(), self.factory.live))
        return json.loads(said)


class Questions(ControlCase):
    """What can be asked."""

    def test_verb(self) -> None:
        """A verb gets the question, and its result is the answer."""
        self.assertEqual({"result": {"hello": "you"}}, self.ask(b'{"do": "greet", "name": "you"}\n'))

    def test_in_pieces(self) -> None:
        """A question may come in pieces, and what follows it is not looked at."""
        protocol, transport = self.connect()
        for piece in (b'{"do": ', b'"greet"', b"}", b"\n", b"more\n"):
            protocol.dataReceived(piece)

        self.assertEqual({"result": {"hello": None}}, self.answer(protocol, transport))

    def test_later(self) -> None:
        """A verb may take its time; no deadline of the question's holds for the answer."""
        protocol, transport = self.connect()
        protocol.dataReceived(b'{"do": "wait"}\n')
        self.clock.advance(3600)
        self.assertEqual(b"", transport.value())

        self.later.callback({"a": 1})

        self.assertEqual({"result": {"a": 1}}, self.answer(protocol, transport))

    def test_the_asker_leaves(self) -> None:
        """What was begun for somebody who has left goes on, and nothing is written."""
        protocol, transport = self.connect()
        protocol.dataReceived(b'{"do": "wait"}\n')
        protocol.connectionLost(Failure(ConnectionError()))

        self.later.callback({})

        self.assertEqual((b"", []), (transport.value(), self.clock.getDelayedCalls()))

    def test_errors(self) -> None:
        """An error of ours is the answer; any other is logged, and its text is not."""
        self.assertEqual({"error": "egress.toml: guard: is no table"}, self.ask(b'{"do": "fail"}\n'))
        self.assertNotIn("secret", json.dumps(self.ask(b'{"do": "break"}\n')))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_wrong_questions(self) -> None:
        """What is no question is told what one looks like."""
        deep = b"[" * 30_000
        for line in (b"\n", b"reload\n", b"[]\n", b'{"do": []}\n', b'{"do": "dance"}\n', b"\xff\n", deep + b"\n"):
            self.assertIn("known here: break, fail, greet, wait", self.ask(line)["error"])

    def test_too_long(self) -> None:
        """A question without an end is cut off."""
        self.assertIn("octets at most", self.ask(b"x" * (LINE_BYTES + 1))["error"])

    def test_silence(self) -> None:
        """Whoever asks nothing is let go."""
        _, transport = self.connect()
        self.clock.advance(11)

        self.assertTrue(transport.disconnected)

    def test_strangers(self) -> None:
        """Another user is not heard; root is."""
        self.uid = os.geteuid() + 1
        protocol, transport = self.connect()
        protocol.dataReceived(b'{"do": "greet"}\n')
        self.assertIn("own user", self.answer(protocol, transport)["error"])

        self.uid = 0
        self.assertIn("result", self.ask(b'{"do": "greet"}\n'))

    def test_a_crowd(self) -> None:
        """Only so many may ask at once."""
        connected = [self.connect() for _ in range(9)]

        self.assertIn(b"too many", connected[-1][1].value())
        self.assertEqual(b"", connected[0][1].value())
        for protocol, _ in connected:
            protocol.connectionLost(Failure(ConnectionError()))


class Places(SynchronousTestCase):
    """The socket in the state directory."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp())

    def start(self, state: str) -> Control:
        """Start one, in a reactor that does not run."""
        control = Control(MemoryReactorClock(), state)
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
