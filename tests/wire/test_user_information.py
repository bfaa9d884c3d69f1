"""Tests of egress.wire.user_information."""

from __future__ import annotations

from base64 import b64decode
from urllib.parse import quote, quote_from_bytes, unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ProtocolError
from egress.wire.user_information import basic_authorization, without_user_information

_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x17F, exclude_characters="\x7f"), max_size=12)


def decoded(raw: bytes) -> bytes:
    """Give the user name and password of the field value that user information becomes."""
    value = basic_authorization(raw)
    assert value is not None
    scheme, _, credentials = value.partition(b" ")
    assert scheme == b"Basic"
    return b64decode(credentials, validate=True)


class UserInformationTests(SynchronousTestCase):
    """`basic_authorization`."""

    def test_accepted(self) -> None:
        """User name and password are decoded apart; a missing password is empty."""
        for raw, credentials in (
            (b"joe:secret", b"joe:secret"),
            (b"joe", b"joe:"),
            (b"joe:", b"joe:"),
            (b":secret", b":secret"),
            (b":", b":"),
            (b"joe:a:b", b"joe:a:b"),
            (b"joe:a%3Ab%40c%2f%25", b"joe:a:b@c/%"),
            (b"j%6Fe%20x:%c3%a9%FF", b"joe x:\xc3\xa9\xff"),
            (b"a+b:c+d", b"a+b:c+d"),
            (b"-._~!$&'()*+,;=:-._~!$&'()*+,;=", b"-._~!$&'()*+,;=:-._~!$&'()*+,;="),
        ):
            self.assertEqual(credentials, decoded(raw))
        self.assertIsNone(basic_authorization(b""))

    def test_refused(self) -> None:
        """What RFC 3986 or RFC 7617 does not allow is refused, and not repeated."""
        for raw in (
            *(b"joe:se%same", b"joe:sesame%", b"joe:sesame%4", b"joe:sesame%u0041", b"joe%3asesame:x", b"%3A:sesame"),
            *(b"joe:sesame%00", b"joe:sesame%0A", b"sesame%0d%0a:", b"joe:sesame%7F", b"joe:sesame%1f"),
            *(b"joe@sesame", b"joe:ses[ame", b"joe\\sesame", b'joe:"sesame"', b"joe:ses|ame", b"joe:sesame\xe9"),
        ):
            fault = self.assertRaises(ProtocolError, basic_authorization, raw)
            self.assertEqual("bad_target", fault.code, raw)
            self.assertNotIn("sesame", fault.reason)

    @given(_TEXT.filter(lambda user: ":" not in user), _TEXT)
    def test_like_another_reader(self, user: str, password: str) -> None:
        """Credentials that a client encodes are those that another reader finds."""
        url = urlsplit(f"http://{quote(user, safe='')}:{quote(password, safe='')}@a/")

        found = decoded(url.netloc.rpartition("@")[0].encode("ascii")).decode("utf-8")

        self.assertEqual((user, password), (unquote(url.username or ""), unquote(url.password or "")))
        self.assertEqual(f"{user}:{password}", found)

    @given(st.binary(min_size=1, max_size=12))
    def test_any_octets(self, octets: bytes) -> None:
        """Any octets give a value of one line, or a ProtocolError; encoded, they are decoded again."""
        for raw in (octets, b"x:" + quote_from_bytes(octets, safe="").encode("ascii")):
            try:
                value = basic_authorization(raw)
            except ProtocolError:
                continue
            assert value is not None
            self.assertNotRegex(value, rb"[^!-~ ]")
            if raw is not octets:
                self.assertEqual(b"x:" + octets, decoded(raw))


class RemovalTests(SynchronousTestCase):
    """`without_user_information`."""

    def test_targets(self) -> None:
        """Only the user information of an absolute form is removed, malformed or not."""
        for target, expected in (
            (b"http://u:p@a/b@c?d@e", b"http://a/b@c?d@e"),
            (b"http://u@p@a", b"http://a"),
            (b"WS://@a/", b"WS://a/"),
            (b"http://a/b@c", b"http://a/b@c"),
            (b"http://a?b@c", b"http://a?b@c"),
            (b"*", b"*"),
            (b"/a://b@c", b"/a://b@c"),
        ):
            self.assertEqual(expected, without_user_information(target))
