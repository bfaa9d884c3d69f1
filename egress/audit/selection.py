"""Selects lines of the audit log for a reader, and escapes them for a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from attrs import frozen

_AGO = re.compile(r"(\d{1,9})\s*([smhd])\Z")
_HEX = re.compile(r"[0-9a-f]{1,16}\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_line(line: bytes) -> dict[str, object] | None:
    """Parse one line.

    Returns:
        The object, or None where the line is not a line of an audit log.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None


def escaped(text: str) -> str:
    """Escape text to printable ASCII: data from a file must not control a terminal."""
    return "".join(
        character if " " <= character <= "~" else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


def escaped_line(line: bytes) -> str:
    """Escape a line that is not a line of an audit log."""
    return escaped(line.decode("latin-1"))


def moment(text: str, now: datetime) -> datetime:
    """Parse a time: "10m" (s, m, h, d) before now, or RFC 3339, in UTC where it has no offset.

    Raises:
        ValueError: the text is neither.
    """
    if ago := _AGO.match(text.strip()):
        try:
            return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        except OverflowError:
            raise ValueError("too long ago")
    given = datetime.fromisoformat(text.strip())
    return given if given.tzinfo is not None else given.replace(tzinfo=UTC)


@frozen
class Selection:
    """Criteria that select lines. Lines about the supervisor match unless a criterion concerns a request.

    Attributes:
        client: the client's key or one of its labels, with `*`.
        host: the host, with `*`.
        verdict: "allow", "deny" or "none".
        code: the code of a refusal.
        rule: the rule's name.
        request: the request's id. A line that counts requests matches if it may count this one.
        since: the earliest time.
    """

    client: str = ""
    host: str = ""
    verdict: str = ""
    code: str = ""
    rule: str = ""
    request: str = ""
    since: datetime | None = None

    def matches(self, line: Mapping[str, object]) -> bool:
        """Whether a line matches."""
        return (
            (not self.client or self._is_client(line))
            and (not self.host or fnmatchcase(_text(line, "server_address"), self.host.lower()))
            and (not self.verdict or line.get("verdict") == self.verdict)
            and (not self.code or line.get("code") == self.code)
            and (not self.rule or line.get("rule") == self.rule)
            and (not self.request or self._is_request(line))
            and (self.since is None or self._is_recent(line, self.since))
        )

    def _is_client(self, line: Mapping[str, object]) -> bool:
        labels = line.get("client_labels")
        names = [line.get("client"), *(labels if isinstance(labels, list) else [])]
        return any(isinstance(name, str) and fnmatchcase(name, self.client) for name in names)

    def _is_request(self, line: Mapping[str, object]) -> bool:
        last, first = _text(line, "request_id"), _text(line, "first_request_id")
        if self.request in (last, first):
            return True
        # Ids of one supervisor are numbers in hex behind the supervisor's own part.
        parts = [_request_number(each) for each in (first, self.request, last)]
        if None in parts or not first:
            return False
        (one, low), (other, number), (another, high) = parts  # type: ignore[misc]  # none of them is None
        return one == other == another and low <= number <= high

    def _is_recent(self, line: Mapping[str, object], since: datetime) -> bool:
        try:
            return moment(_text(line, "timestamp"), since) >= since
        except ValueError:
            return False


def _request_number(request_id: str) -> tuple[str, int] | None:
    boot, _, number = request_id.rpartition("-")
    return (boot, int(number, 16)) if _HEX.match(number) else None


def _text(line: Mapping[str, object], key: str) -> str:
    value = line.get(key)
    return value if isinstance(value, str) else ""
