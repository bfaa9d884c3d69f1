"""Credentials and challenges that concern a connection."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.wire.connection_authentication import has_credentials, has_proxy_support, is_challenged
from egress.wire.fields import parse_fields

OTHER_LINES = (b"A: b\r\n", b"Cookie: ntlm\r\n", b"X: Negotiate\r\n")
SCHEMES = ("NTLM", "Negotiate", "Kerberos", "ntlm", "nEGOTIATE")


class CredentialTests(SynchronousTestCase):
    """Request heads."""

    def test_of_connections(self) -> None:
        """The schemes that authenticate a connection are found, in any field and spelling."""
        for scheme in SCHEMES:
            for line in (
                "Authorization: {} abc=",
                "AUTHORIZATION:{}",
                "authorization: \t{} ",
                "A: b\r\nAuthorization: {}",
            ):
                head = f"GET / HTTP/1.1\r\nHost: a\r\n{line.format(scheme)}\r\nX: y\r\n\r\n".encode()
                self.assertTrue(has_credentials(head), head)

    def test_of_requests(self) -> None:
        """Other schemes and fields are not taken for one."""
        for line in (
            "Authorization: Basic bnRsbQ==",
            "Authorization: Bearer ntlm",
            "Authorization: NTLMv2 x",
            "Authorization: negotiate-x",
            "Authorization: Digest NTLM",
            "Proxy-Authorization: NTLM x",
            "X-Authorization: NTLM x",
            "Cookie: Authorization: NTLM",
            "Authorization-Info: NTLM",
        ):
            self.assertFalse(has_credentials(f"GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n".encode()), line)

    @settings(max_examples=200, deadline=None)
    @given(
        st.sampled_from(SCHEMES),
        st.lists(st.sampled_from(OTHER_LINES), max_size=4),
        st.integers(0, 4),
    )
    def test_anywhere(self, scheme: str, lines: list[bytes], place: int) -> None:
        """The place among the other fields does not matter."""
        block = [*lines[:place], f"Authorization: {scheme} x\r\n".encode(), *lines[place:]]

        self.assertTrue(has_credentials(b"GET / HTTP/1.1\r\n" + b"".join(block) + b"\r\n"))
        self.assertFalse(has_credentials(b"GET / HTTP/1.1\r\n" + b"".join(lines) + b"\r\n"))


class ChallengeTests(SynchronousTestCase):
    """Response heads."""

    def test_offered(self) -> None:
        """A challenge is found first, last, among others, and after a token of an earlier round."""
        for scheme in SCHEMES:
            for value in ("{}", "{} abc=", 'Basic realm="a", {}', "{}, Basic", "Basic realm=a,{}"):
                for name in ("WWW-Authenticate", "www-authenticate", "Proxy-Authenticate"):
                    block = f"Date: x\r\n{name}: {value.format(scheme)}\r\n".encode()
                    self.assertTrue(is_challenged(block), block)

    def test_not_offered(self) -> None:
        """Other schemes are no such offer."""
        for line in (
            'WWW-Authenticate: Basic realm="x"',
            "WWW-Authenticate: Bearer",
            "WWW-Authenticate: XNTLM",
            "WWW-Authenticate: NTLM2",
            "X: NTLM",
            "X-WWW-Authenticate: NTLM",
        ):
            self.assertFalse(is_challenged(line.encode() + b"\r\n"), line)

    def test_proxy_support(self) -> None:
        """A proxy says that it keeps connections."""
        for line, expected in (
            (b"Proxy-Support: Session-Based-Authentication\r\n", True),
            (b"proxy-support: x, session-based-authentication\r\n", True),
            (b"Proxy-Support: x\r\n", False),
            (b"Support: Session-Based-Authentication\r\n", False),
        ):
            self.assertEqual(expected, has_proxy_support(parse_fields(line, is_request=False)), line)
