"""Credentials of a request."""

from __future__ import annotations

from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.identity.credentials import Credentials, read_credentials


class PresentedTests(SynchronousTestCase):
    """Basic and Bearer."""

    def test_examples(self) -> None:
        """Those of the standards: RFC 7617 section 2, RFC 6750 section 2.1."""
        self.assertEqual(
            Credentials(b"Aladdin", b"open sesame"), read_credentials(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        )
        self.assertEqual(Credentials(None, b"mF_9.B5f-4.1JqM"), read_credentials(b"Bearer mF_9.B5f-4.1JqM"))

    def test_spellings(self) -> None:
        """A scheme has no case, and may be followed by several spaces (RFC 9110 section 11.4)."""
        for value in (b"basic YTpi", b"BASIC   YTpi", b"Basic YTpi  "):
            self.assertEqual(Credentials(b"a", b"b"), read_credentials(value))
        self.assertEqual(Credentials(b"a", b"b:c"), read_credentials(b"Basic YTpiOmM="))
        self.assertEqual(Credentials(b"", b""), read_credentials(b"Basic Og=="))

    def test_what_is_not_read(self) -> None:
        """Anything else is nothing."""
        for value in (
            b"",
            b"Basic",
            b"Basic ",
            b"BasicYTpi",
            b"Basic YTpi YTpi",
            b"Basic YTpi, Bearer x",
            b"Basic\tYTpi",
            b"Basic YTpiOg",  # no padding
            b"Basic YWI=",  # no colon
            b"Basic YT_i",
            b"Basic realm=x",
            b"Bearer a b",
            b"Bearer a,b",
            b"Bearer \xff",
            b"Digest username=x",
            b"Negotiate YTpi",
            b"Bearer " + b"a" * 1024,
        ):
            self.assertIsNone(read_credentials(value), value)

    def test_nobody_sees_them(self) -> None:
        """They are in no spelling."""
        self.assertNotIn("hunter2", repr(Credentials(b"hunter2", b"hunter2")))

    @given(st.binary(max_size=100).filter(lambda name: b":" not in name), st.binary(max_size=100))
    def test_any_pair(self, name: bytes, secret: bytes) -> None:
        """What is sent is what is read."""
        value = b"Basic " + b64encode(name + b":" + secret)

        self.assertEqual(Credentials(name, secret), read_credentials(value))

    @given(st.binary(max_size=100))
    def test_any_octets(self, value: bytes) -> None:
        """Nothing that a client sends is more than wrong."""
        read_credentials(value)
        read_credentials(b"Basic " + value)
