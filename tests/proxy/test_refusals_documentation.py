"""docs/reference/refusals.md agrees with the code."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import CAUSES, CODES, Refused
from egress.proxy.error_responses import refusal_response
from tests.documents import DOCS


class RefusalsDocumentTests(SynchronousTestCase):
    """The page and the catalogue agree."""

    def setUp(self) -> None:
        self.page = (DOCS / "reference" / "refusals.md").read_text(encoding="utf-8")

    def test_codes(self) -> None:
        """Every code stands there with its status, its retry and its title, and no other."""
        rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (yes|no) \| (.*) \|$", self.page, re.M)

        expected = [
            (name, str(code.status), "yes" if code.may_retry else "no", code.title) for name, code in CODES.items()
        ]
        self.assertEqual(rows, expected)

    def test_causes(self) -> None:
        """Every cause stands there, and no other."""
        _, _, part = self.page.partition("## Causes")

        self.assertEqual(re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.M), list(CAUSES.items()))

    def test_fields(self) -> None:
        """Every field of an answer stands there."""
        body = refusal_response(Refused("denied", "Because."), "id", keep_alive=False).partition(b"\r\n\r\n")[2]

        for field in re.findall(rb'^ "(\w+)":', body, re.M):
            self.assertIn(f"| `{field.decode()}` |", self.page)
