"""Telling TLS from other protocols by the first octets (RFC 8446 section 5.1)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.wire.tls_record import begins_tls
from tests.wire.test_client_hello import message, records, server_name

_HELLO = message((server_name(b"a.example"),))

# First octets of streams that some server reads as TLS, or skips in front of a ClientHello. JDK 17 accepts all of those
# with another major version.
TLS = (
    records(_HELLO),
    records(_HELLO, 1),
    records(_HELLO, version=b"\x03\xff"),
    records(_HELLO, version=b"\x04\x00"),
    records(_HELLO, version=b"\x47\x45"),
    records(_HELLO, 1, version=b"\x00\x02"),
    b"\x14\x03\x03\x00\x01\x01",
    b"\x15\x03\x01\x00\x02\x01\x5a",
    b"\x15\xff\xff\x00\x02\x01\x5a",
    b"\x16\x03\x01\x00\x00",
    b"\x16\xff\xff\x00\x00",
    b"\x17\x03\x03\x00\x01x",
    b"\x18\x03\x03\x00\x03\x01\x00\x00",
)

# First octets of what no server reads as TLS.
OTHERS = (
    b"GET / HTTP/1.1\r\n",
    b"SSH-2.0-x\r\n",
    b"\x80\x2e\x01\x03\x01\x00",
    b"\x13\x03\x01\x00\x01\x01",
    b"\x19\x03\x01\x00\x01\x01",
    b"\x14\x04\x03\x00\x01\x01",
    b"\x15\x00\x00\x00\x04\x01\x5a",
    b"\x15hello",
    b"\x16\x00\x00\x00\x04\x02",
    b"\x16hello",
    b"\x17\x00\x00\x00\x01\x01",
    b"\x18\x00\x00\x00\x01\x01",
)


class FirstOctetTests(SynchronousTestCase):
    """The first octets of a stream tell TLS from other protocols."""

    def test_tls(self) -> None:
        """What a server takes for TLS counts as TLS, from the octet on that tells it."""
        for stream in TLS:
            self.assertIs(begins_tls(stream), True, stream)
            self.assertIs(begins_tls(stream[:1]), None, stream)

    def test_others(self) -> None:
        """Content type, major version and content have to be those of TLS."""
        for stream in OTHERS:
            self.assertIs(begins_tls(stream), False, stream)

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(
        st.binary(min_size=1, max_size=12) | st.tuples(st.sampled_from(TLS), st.binary(max_size=4)).map(b"".join),
    )
    def test_answer_never_changes(self, stream: bytes) -> None:
        """Once the octets tell, further octets change nothing, and six always tell."""
        answers = [begins_tls(stream[:size]) for size in range(1, len(stream) + 1)]
        known = [answer for answer in answers if answer is not None]
        self.assertLessEqual(len(set(known)), 1)
        self.assertEqual(answers[len(answers) - len(known) :], known)
        if len(stream) >= 6:
            self.assertIsNotNone(answers[5])
