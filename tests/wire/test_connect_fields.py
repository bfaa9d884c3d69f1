"""What is passed on of a client's request in CONNECT to upstream proxies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.model import NO_FIELDS, ConnectFields
from egress.wire.connect_fields import AGENT_LIMIT_BYTES, connect_fields
from egress.wire.request_head import RequestReader
from egress.wire.via import Via

# The lines of a head, and the User-Agent that is passed on.
HEADS: list[tuple[bytes, bytes]] = [
    (b"", b""),
    (b"User-Agent: curl/8.5.0\r\n", b"curl/8.5.0"),
    (b"user-agent:\tMozilla/5.0 (X11; Linux)  \r\n", b"Mozilla/5.0 (X11; Linux)"),
    (b"User-Agent:\r\n", b""),
    (b"User-Agent: a\r\nuser-agent: b\r\n", b""),
    (b"User-Agent: p\xc3\xa4ss\r\n", b""),
    (b"User-Agent: a\r\nConnection: User-Agent\r\n", b""),
    (b"X-User-Agent: a\r\n", b""),
    (b"User-Agent: %b\r\n" % (b"x" * AGENT_LIMIT_BYTES), b"x" * AGENT_LIMIT_BYTES),
    (b"User-Agent: %b\r\n" % (b"x" * (AGENT_LIMIT_BYTES + 1)), b""),
]


VIA = Via(b"egress-1a2b")
OWN = b"Via: 1.1 egress-1a2b\r\n"


def read(lines: bytes) -> ConnectFields:
    """Read the head of a CONNECT."""
    head = RequestReader(65536, 1024, 128).feed(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n%b\r\n" % lines)
    assert head is not None
    return connect_fields(head, VIA)


class UserAgentTests(SynchronousTestCase):
    """The client's own User-Agent."""

    def test_heads(self) -> None:
        """One field of printable characters is passed on."""
        for lines, agent in HEADS:
            self.assertEqual(read(lines).user_agent, agent, lines)
        self.assertEqual(read(b"").user_agent, NO_FIELDS.user_agent)

    @given(st.binary(max_size=40).filter(lambda value: not set(value) & {*range(9), *range(10, 32), 127}))
    def test_any_value(self, value: bytes) -> None:
        """Whatever a client sends, what is passed on can be a field's value and cannot be two fields."""
        agent = read(b"User-Agent: %b\r\n" % value).user_agent

        self.assertIn(agent, (b"", value.strip(b" \t")))
        self.assertTrue(agent.isascii())
        self.assertFalse(set(agent) & {*range(9), *range(10, 32), 127})


class ViaTests(SynchronousTestCase):
    """The proxies that the request has passed."""

    def test_own(self) -> None:
        """This proxy is the last of them, with the version of the client."""
        self.assertEqual(read(b"").via, OWN)
        self.assertEqual(
            read(b"via: 1.0 fred\r\nX: y\r\nVia: 1.1 p.example (a, b), 1.1 q\r\n").via,
            (b"Via: 1.0 fred\r\nVia: 1.1 p.example (a, b), 1.1 q\r\n" + OWN),
        )
        head = RequestReader(1024, 1024, 16).feed(b"CONNECT a:443 HTTP/1.0\r\n\r\n")
        assert head is not None
        self.assertEqual(connect_fields(head, VIA).via, b"Via: 1.0 egress-1a2b\r\n")

    def test_shared(self) -> None:
        """A tunnel that no request has alone is asked for in the name of this proxy."""
        self.assertEqual(VIA.shared, ConnectFields(via=OWN))
