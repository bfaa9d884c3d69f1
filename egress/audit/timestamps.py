"""Formats the times of audit log lines."""

from __future__ import annotations

from time import gmtime, strftime

MICROS = 1_000_000


class TimestampFormat:
    """Formats times as RFC 3339 in UTC. The text of a second is kept, because most consecutive lines share a second.

    Attributes:
        begun: the beginning of the kept second, in microseconds since the epoch.
        text: the kept second as text, up to the decimal point.
    """

    def __init__(self) -> None:
        self.begun = -MICROS
        self.text = ""

    def turn(self, micros: int) -> int:
        """Replace the kept second.

        Args:
            micros: a time within the new second, in microseconds since the epoch.

        Returns:
            The microseconds from the beginning of the second to the time.
        """
        second = micros // MICROS
        self.begun = second * MICROS
        self.text = strftime("%Y-%m-%dT%H:%M:%S.", gmtime(second))
        return micros - self.begun

    def format(self, time: float) -> str:
        """Format a time with microseconds.

        Args:
            time: seconds since the epoch.
        """
        micros = self.turn(int(time * MICROS))
        return f"{self.text}{micros:06d}Z"
