"""Refusals that several modules make, and their classification."""

from __future__ import annotations

from egress.errors import CODES, DialFailed, Refused

_REASONS = {
    "connection_refused": "The destination refused the connection.",
    "unreachable": "The destination cannot be reached from here.",
    "dial_timeout": "The destination did not answer in time.",
    "origin_closed": "The destination closed the connection at once.",
}


def dial_refusal(error: DialFailed) -> Refused:
    """Make the refusal of a request whose dial failed."""
    return Refused(error.code, error.reason or _REASONS[error.code], detail=str(error))


def is_failure(refused: Refused) -> bool:
    """Whether the route or the destination failed. Otherwise the request was refused."""
    return CODES[refused.code].status in (500, 502, 504, 508)


def loop() -> Refused:
    """Make the refusal of a request that has passed this proxy before."""
    return Refused("loop_detected", "The Via field of the request names this proxy: the route is a loop.")


def listener_removed() -> Refused:
    """Make the refusal of a request on a connection whose listener a reload removed."""
    return Refused("listener_gone", "The listener is no longer configured; connect anew.")
