"""A client that sends exactly the given octets and returns the supervisor's response."""

from __future__ import annotations

import http.client
import json
from typing import Any

from attrs import frozen

from tests.live.support import PATIENCE_SECONDS


@frozen
class Answer:
    """What came back.

    Attributes:
        status: of the answer.
        text: its content; "" for a tunnel that was opened.
    """

    status: int
    text: str

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document that a refusal is."""
        found: dict[str, Any] = json.loads(self.text)
        return found


def ask(port: int, supervisor: str, authority: str) -> Answer:
    """Ask for a destination.

    Args:
        port: of the listener.
        supervisor: "connect" for a tunnel, which is closed at once, or "http" for a page.
        authority: `host:port`.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        if supervisor == "connect":
            connection.request("CONNECT", authority, headers={"Host": authority})
        else:
            connection.request("GET", f"http://{authority}/", headers={"Host": authority})
        response = connection.getresponse()
        is_open = supervisor == "connect" and response.status == 200
        return Answer(response.status, "" if is_open else response.read().decode("utf-8"))
    finally:
        connection.close()
