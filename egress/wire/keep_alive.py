"""The field Keep-Alive of HTTP/1.1 origins: `Keep-Alive: timeout=5, max=100` (RFC 2068 section 19.7.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import inf

_find_timeouts = re.compile(rb"(?:\A|[,;\t ])timeout[\t ]*=[\t ]*\"?([0-9]{1,9})(?![0-9])", re.IGNORECASE).findall


def find_idle_seconds(values: Iterable[bytes]) -> float:
    """Find how long the sender keeps its connection open while it is idle.

    `max` is not read: a sender whose last response this is says `Connection: close`.

    Args:
        values: of all Keep-Alive fields of a head.

    Returns:
        The least number of seconds; infinity where none is given.
    """
    return min((float(seconds) for value in values for seconds in _find_timeouts(value)), default=inf)
