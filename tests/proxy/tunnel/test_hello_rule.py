"""What a ClientHello in a tunnel must be, by itself."""

from __future__ import annotations

from ipaddress import IPv4Address

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import CAUSES, CODES, ProtocolError
from egress.model import Authority
from egress.proxy.limits import TlsSettings
from egress.proxy.tunnel.hello_rule import find_refusal, has_rule, unreadable
from egress.wire.client_hello import ClientHello

NAME = Authority("a.example", 443)
ADDRESS = Authority("192.0.2.1", 443, IPv4Address("192.0.2.1"))

ENFORCE, RECORD = TlsSettings(), TlsSettings(sni="record")
REFUSE, REFUSE_ECH = TlsSettings(ech="refuse"), TlsSettings(sni="record", ech="refuse")
SETTINGS = (ENFORCE, RECORD, REFUSE, REFUSE_ECH)

# For each ClientHello and destination: the causes with the four settings, "" for none.
ROWS: tuple[tuple[ClientHello, Authority, tuple[str, str, str, str]], ...] = (
    (ClientHello("a.example", False), NAME, ("", "", "", "")),
    (ClientHello("", False), NAME, ("", "", "", "")),
    (ClientHello("b.example", False), NAME, ("server_name", "", "server_name", "")),
    (ClientHello("a.example", True), NAME, ("", "", "ech", "ech")),
    (ClientHello("", True), NAME, ("", "", "ech", "ech")),
    (ClientHello("b.example", True), NAME, ("server_name", "", "server_name", "ech")),
    (ClientHello("b.example", False), ADDRESS, ("", "", "", "")),
    (ClientHello("b.example", True), ADDRESS, ("", "", "ech", "ech")),
)


class HelloRuleTests(SynchronousTestCase):
    """The rule by itself."""

    def test_rows(self) -> None:
        """Names are compared with `sni = "enforce"` and a name to compare, ECH is refused with `ech = "refuse"`."""
        for hello, authority, causes in ROWS:
            for tls, cause in zip(SETTINGS, causes, strict=True):
                found = find_refusal(hello, authority, tls)
                self.assertEqual(found[0] if found else "", cause, (hello, authority, tls))
                if found:
                    self.assertEqual(found[1].code, "server_name_refused" if cause == "server_name" else "ech_refused")
                    self.assertIn(found[1].code, CODES)
                    self.assertIn(cause, CAUSES)
                    self.assertTrue(has_rule(authority, tls))

    def test_unreadable(self) -> None:
        """One that cannot be read is refused by the rule that would have judged it, and where there is one."""
        error = ProtocolError("hello_malformed", "it is too long")
        for authority, expected in (
            (NAME, ("server_name_refused", "", "server_name_refused", "ech_refused")),
            (ADDRESS, ("", "", "ech_refused", "ech_refused")),
        ):
            for tls, code in zip(SETTINGS, expected, strict=True):
                self.assertEqual(has_rule(authority, tls), bool(code), (authority, tls))
                if code:
                    refused = unreadable(error, authority, tls)
                    self.assertEqual((refused.code, refused.reason), (code, "It is too long."))
