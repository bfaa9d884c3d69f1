"""The `[dns]` table."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from attrs import fields
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.config import structure
from egress.errors import ConfigError
from egress.upstream import DnsSettings
from egress.upstream.dns_settings import ServerAddress
from tests.service.walk import toml

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "name-resolution.md"


class DnsSettingsTests(SynchronousTestCase):
    """What operators may write."""

    def test_numbers_have_bounds(self) -> None:
        """A lifetime or a bound that makes no sense is refused, with its key."""
        rows: list[tuple[str, object]] = [
            ("positive_seconds", 0),
            ("negative_seconds", -1),
            ("failure_seconds", float("nan")),
            ("timeout_seconds", float("inf")),
            ("cache_names", 0),
            ("concurrent", 0),
            ("concurrent", 257),
            ("concurrent_per_client", 0),
            ("concurrent_per_client", 65),
            ("waiting", 0),
            ("waiting_per_client", 257),
            ("resolver", "bind"),
            ("servers", ("ns.example",)),
            ("servers", ("192.0.2.53", "192.0.2.256")),
            ("servers", ("192.0.2.53:0",)),
            ("servers", ("192.0.2.53:65536",)),
            ("servers", ("192.0.2.53:",)),
            ("servers", ("[2001:db8::53]",)),
            ("servers", ("2001:db8::53:5353:x",)),
            ("servers", ("ns.example:53",)),
            ("servers", ("",)),
        ]
        for key, value in rows:
            with self.subTest(key=key, value=value):
                with self.assertRaises(ConfigError) as caught:
                    structure(DnsSettings, {key: list(value) if isinstance(value, tuple) else value}, "dns")
                self.assertEqual(caught.exception.where, f"dns.{key}")

    def test_servers_without_effect(self) -> None:
        """Name servers that nothing would ask are an error."""
        table = {"resolver": "system", "servers": ["10.0.0.53"]}
        error = self.assertRaises(ConfigError, structure, DnsSettings, table)

        self.assertIn("has no effect", error.problem)
        self.assertEqual("servers", error.where)

    def test_a_share_is_a_share(self) -> None:
        """A client cannot have more than there is for all, and the error says how much that is."""
        for key, total in (("concurrent_per_client", "concurrent"), ("waiting_per_client", "waiting")):
            error = self.assertRaises(ConfigError, structure, DnsSettings, {total: 3}, "dns")
            self.assertEqual(f"dns.{key}", error.where)
            self.assertIn(f"must not be more than {total}, which is 3", error.problem)
            structure(DnsSettings, {total: 3, key: 3}, "dns")

    def test_servers(self) -> None:
        """A name server is an address, with a port where it is not 53."""
        for text, wanted in (
            ("192.0.2.53", ServerAddress("192.0.2.53", 53)),
            ("192.0.2.53:5353", ServerAddress("192.0.2.53", 5353)),
            ("2001:DB8:0::53", ServerAddress("2001:db8::53", 53)),
            ("[2001:db8::53]:5353", ServerAddress("2001:db8::53", 5353)),
            ("fe80::1%eth0", ServerAddress("fe80::1%eth0", 53)),
            ("[fe80::1%eth0]:5353", ServerAddress("fe80::1%eth0", 5353)),
        ):
            self.assertEqual(wanted, ServerAddress.parse(text))

    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        """No text breaks it."""
        with contextlib.suppress(ValueError):
            self.assertTrue(ServerAddress.parse(text).address)

    def test_the_document_names_every_key(self) -> None:
        """Keys and defaults in the document are those of the code, no more and no less."""
        rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", DOCUMENT.read_text("utf-8"), re.MULTILINE))

        expected = {
            field.name: toml(int(field.default) if field.default.__class__ is float else field.default)
            for field in fields(DnsSettings)
        }
        self.assertEqual(rows, expected)
