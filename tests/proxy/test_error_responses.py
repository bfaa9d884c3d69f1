"""The responses to refusals."""

from __future__ import annotations

import json

from egress.errors import CODES, Refused
from egress.proxy.error_responses import refusal_response
from tests.proxy.support import ServerCase


class Catalogue(ServerCase):
    """The codes."""

    def test_every_status_has_a_phrase(self) -> None:
        """Each code can be answered."""
        for code, entry in CODES.items():
            answer = refusal_response(Refused(code, "Because."), "id-1", keep_alive=False)
            self.assertTrue(answer.startswith(f"HTTP/1.1 {entry.status} ".encode()), code)
            # Clients show the reason phrase of a refused CONNECT, and drop its content.
            self.assertTrue(answer.partition(b"\r\n")[0].endswith(f" by egress: {code} (id-1)".encode()), code)
            self.assertIn(f'; details="{code}: Because."\r\n'.encode(), answer)

    def test_message(self) -> None:
        """What the operator says is a member of the body, the end of the reason phrase, and a part of the details."""
        refused = Refused("denied", "Denied by rule x.", message="Ask in #platform.")

        answer = refusal_response(refused, "id-1", keep_alive=False)

        line, _, rest = answer.partition(b"\r\n")
        self.assertEqual(b"HTTP/1.1 403 Forbidden by egress: denied (id-1): Ask in #platform.", line)
        self.assertIn(b'; details="denied: Denied by rule x. Ask in #platform."\r\n', rest)
        self.assertEqual("Ask in #platform.", json.loads(rest.partition(b"\r\n\r\n")[2])["message"])
        silent = refusal_response(Refused("denied", "Because."), "id-1", keep_alive=False)
        self.assertNotIn("message", json.loads(silent.partition(b"\r\n\r\n")[2]))

    def test_message_cannot_break_the_head(self) -> None:
        """A plugin's message with control characters or any length stays within its line."""
        message = "a\r\nSet-Cookie: b\x00\x7f\u00e9" + "x" * 9999

        answer = refusal_response(Refused("denied", "Because.", message=message), "id-1", keep_alive=False)

        line = answer.partition(b"\r\n")[0]
        self.assertTrue(line.endswith(b"(id-1): a??Set-Cookie: b???" + b"x" * 181), line)
        self.assertEqual(b"Content-Type: application/problem+json", answer.split(b"\r\n")[1])

    def test_details_cannot_break_the_head(self) -> None:
        """A plugin's reason with quotes, control characters or any length stays within the field Proxy-Status."""
        reason = 'Say "please" \\ \r\nSet-Cookie: a=b\x7f\u00e9' + "x" * 9999

        head = refusal_response(Refused("denied", reason), "id-1", keep_alive=False).partition(b"\r\n\r\n")[0]

        status = next(line for line in head.split(b"\r\n") if line.startswith(b"Proxy-Status: "))
        details = rb'; details="denied: Say \"please\" \\ ??Set-Cookie: a=b??xxx'
        self.assertIn(details, status)
        self.assertTrue(status.endswith(b'x"'))
        self.assertLess(len(status), 700)
        self.assertNotIn(b"\r\nSet-Cookie", head)
