"""Credentials of a request."""

from __future__ import annotations

from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.identity.credentials import Presented, read_presented


class PresentedTests(SynchronousTestCase):
    """Basic and Bearer."""

    def test_examples(self) -> None:
        """Those of the standards: RFC 7617 section 2, RFC 6750 section 2.1."""
        self.assertEqual(Presented(b"Aladdin", b"open sesame"), read_presented(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="))
        self.assertEqual(Presented(None, b"mF_9.B5f-4.1JqM"), read_presented(b"Bearer mF_9.B5f-4.1JqM"))

    def test_spellings(self) -> None:
        """A scheme has no case, and may be followed by several spaces (RFC 9110 section 11.4)."""
        for value in (b"basic YTpi", b"BASIC   YTpi", b"Basic YTpi  "):
            self.assertEqual(Presented(b"a", b"b"), read_presented(value))
        self.assertEqual(Presented(b"a", b"b:c"), read_presented(b"Basic YTpiOmM="))
        self.assertEqual(Presented(b"", b""), read_presented(b"Basic Og=="))

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
            self.assertIsNone(read_presented(value), value)

    def test_nobody_sees_them(self) -> None:
        """They are in no spelling."""
        self.assertNotIn("hunter2", repr(Presented(b"hunter2", b"hunter2")))

    @given(st.binary(max_size=100).filter(lambda name: b":" not in name), st.binary(max_size=100))
    def test_any_pair(self, name: bytes, secret: bytes) -> None:
        """What is sent is what is read."""
        value = b"Basic " + b64encode(name + b":" + secret)

        self.assertEqual(Presented(name, secret), read_presented(value))

    @given(st.binary(max_size=100))
    def test_any_octets(self, value: bytes) -> None:
        """Nothing that a client sends is more than wrong."""
        read_presented(value)
        read_presented(b"Basic " + value)
