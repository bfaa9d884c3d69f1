"""The protocol of the control socket: one request, one response."""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.service.process.control_protocol import LINE_BYTES, ControlFactory, ControlProtocol


class ControlCase(SynchronousTestCase):
    """Arranges a factory with a few commands."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.uid = os.geteuid()
        self.later: Deferred[object] = Deferred()
        self.factory = ControlFactory(
            self.clock,
            {
                "greet": lambda request: {"hello": request.get("name")},
                "wait": lambda _: self.later,
                "fail": self.fail_with(ConfigError("guard", "is no table", "egress.toml")),
                "break": self.fail_with(ZeroDivisionError("a secret")),
            },
            lambda _: self.uid,
        )

    def fail_with(self, error: Exception) -> Any:
        """Make a command that raises."""

        def command(_: object) -> object:
            raise error

        return command

    def connect(self) -> tuple[ControlProtocol, StringTransport]:
        """Connect."""
        protocol, transport = self.factory.buildProtocol(UNIXAddress(None)), StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def ask(self, line: bytes) -> Any:
        """Send a request, and read the response."""
        protocol, transport = self.connect()
        protocol.dataReceived(line)
        return self.answer(protocol, transport)

    def answer(self, protocol: ControlProtocol, transport: StringTransport) -> Any:
        """Read the response, after which the connection is closed."""
        self.assertTrue(transport.disconnecting)
        said = transport.value()
        self.assertTrue(said.endswith(b"\n"))
        protocol.connectionLost(Failure(ConnectionError()))
        self.assertEqual(([], set()), (self.clock.getDelayedCalls(), self.factory.live))
        return json.loads(said)


class ControlProtocolTests(ControlCase):
    """Requests and their responses."""

    def test_command(self) -> None:
        """A command gets the request, and its result is the response."""
        self.assertEqual({"result": {"hello": "you"}}, self.ask(b'{"do": "greet", "name": "you"}\n'))

    def test_in_pieces(self) -> None:
        """A request may come in pieces, and what follows it is ignored."""
        protocol, transport = self.connect()
        for piece in (b'{"do": ', b'"greet"', b"}", b"\n", b"more\n"):
            protocol.dataReceived(piece)

        self.assertEqual({"result": {"hello": None}}, self.answer(protocol, transport))

    def test_later(self) -> None:
        """A command may take its time; the deadline of the request does not end it."""
        protocol, transport = self.connect()
        protocol.dataReceived(b'{"do": "wait"}\n')
        self.clock.advance(3600)
        self.assertEqual(b"", transport.value())

        self.later.callback({"a": 1})

        self.assertEqual({"result": {"a": 1}}, self.answer(protocol, transport))

    def test_client_leaves(self) -> None:
        """A command goes on after its client has left, and nothing is written."""
        protocol, transport = self.connect()
        protocol.dataReceived(b'{"do": "wait"}\n')
        protocol.connectionLost(Failure(ConnectionError()))

        self.later.callback({})

        self.assertEqual((b"", []), (transport.value(), self.clock.getDelayedCalls()))

    def test_errors(self) -> None:
        """An EgressError is the response; any other error is logged, and its text is not sent."""
        self.assertEqual({"error": "egress.toml: guard: is no table"}, self.ask(b'{"do": "fail"}\n'))
        self.assertNotIn("secret", json.dumps(self.ask(b'{"do": "break"}\n')))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_bad_requests(self) -> None:
        """The response to a bad request shows a good one."""
        deep = b"[" * 30_000
        for line in (b"\n", b"reload\n", b"[]\n", b'{"do": []}\n', b'{"do": "dance"}\n', b"\xff\n", deep + b"\n"):
            self.assertIn("known here: break, fail, greet, wait", self.ask(line)["error"])

    def test_too_long(self) -> None:
        """A request without an end is refused."""
        self.assertIn("octets at most", self.ask(b"x" * (LINE_BYTES + 1))["error"])

    def test_silence(self) -> None:
        """A connection without a request is reset."""
        _, transport = self.connect()
        self.clock.advance(11)

        self.assertTrue(transport.disconnected)

    def test_strangers(self) -> None:
        """Another user is refused; root is not."""
        self.uid = os.geteuid() + 1
        protocol, transport = self.connect()
        protocol.dataReceived(b'{"do": "greet"}\n')
        self.assertIn("own user", self.answer(protocol, transport)["error"])

        self.uid = 0
        self.assertIn("result", self.ask(b'{"do": "greet"}\n'))

    def test_too_many(self) -> None:
        """The number of connections is limited."""
        connected = [self.connect() for _ in range(9)]

        self.assertIn(b"too many", connected[-1][1].value())
        self.assertEqual(b"", connected[0][1].value())
        for protocol, _ in connected:
            protocol.connectionLost(Failure(ConnectionError()))
