"""The `[dns]` table."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import fields
from twisted.trial.unittest import SynchronousTestCase

from egress.config import structure
from egress.errors import ConfigError
from egress.upstream import DnsSettings

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
            ("waiting", 0),
        ]
        for key, value in rows:
            with self.subTest(key=key, value=value):
                with self.assertRaises(ValueError):
                    DnsSettings(**{key: value})  # type: ignore[arg-type]
                with self.assertRaises(ConfigError) as caught:
                    structure(DnsSettings, {key: value}, "dns")
                self.assertEqual(caught.exception.where, f"dns.{key}")

    def test_the_document_names_every_key(self) -> None:
        """Keys and defaults in the document are those of the code, no more and no less."""
        rows = dict(re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", DOCUMENT.read_text("utf-8"), re.MULTILINE))

        expected = {
            field.name: str(field.default).lower() if isinstance(field.default, bool) else f"{field.default:g}"
            for field in fields(DnsSettings)
        }
        self.assertEqual(rows, expected)
