"""Folds the events of requests that were not admitted: the first of a kind has a line, and those after it are counted.

A client costs the proxy microseconds with a request that is refused, and can send thousands of them in a second. Three
kinds of counted lines bound what they add to the audit log: repeated requests to one destination, requests of a client
beyond its bounds by reason alone, and requests beyond all bounds by code alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import define, field

from egress.audit.encoder import METHOD_LIMIT, LineEncoder
from egress.audit.repeated import Fold, Repeated, without_client, without_destination, without_path
from egress.errors import CODES
from egress.model import AuditEvent

FOLD_SECONDS = 10.0
"""Seconds between two lines that count requests of one kind."""

REFUSAL_BYTES_PER_SECOND = 8_192
"""The default of the ceiling for one client."""

CEILINGS = 32
"""Ceilings of one client that all clients together may reach."""

DESTINATIONS_PER_CLIENT = 64
REASONS_PER_CLIENT = 16
CLIENTS = 1_024
FOLDS = 4_096

# More than most lines have: counted lines are charged before they are formatted.
_LINE_BYTES = 1_024
_COUNT_BYTES = 160

_Key: TypeAlias = tuple[object, ...]
"""Client, listener, event, cause, status, code, policy, rule, request form; a fine key also has method, host, port."""

_REASON = 9
_CLIENT = 0


@define(eq=False)
class _Bucket:
    """What lines may still add, in octets.

    Attributes:
        rate: octets in a second.
        filled_at: the time at which `octets` was correct.
        octets: below zero once a line was longer than what was left.
        destinations: fine folds of the client.
        reasons: coarse folds of the client.
    """

    rate: float
    filled_at: float
    octets: float = field(init=False)
    destinations: int = 0
    reasons: int = 0

    def __attrs_post_init__(self) -> None:
        self.octets = self.rate * FOLD_SECONDS

    def has_room(self, now: float) -> bool:
        """Whether a line may be added now."""
        self.octets = min(self.rate * FOLD_SECONDS, self.octets + (now - self.filled_at) * self.rate)
        self.filled_at = now
        return self.octets > 0.0


class RefusalFolding:
    """Decides which requests that were not admitted have a line of their own, and counts the others.

    Args:
        encoder: formats lines.
        bytes_per_second: octets that lines may add for one client.
        seconds: returns the time of a clock that only goes forward.

    Attributes:
        folded: requests without a line of their own so far.
    """

    def __init__(self, encoder: LineEncoder, bytes_per_second: int, seconds: Callable[[], float]) -> None:
        self.folded = 0
        self._encoder = encoder
        self._rate = bytes_per_second
        self._seconds = seconds
        self._fine: dict[_Key, Fold] = {}
        self._reasons: dict[_Key, Fold] = {}
        self._others: dict[_Key, Fold] = {}
        self._clients: dict[str, _Bucket] = {}
        self._all = _Bucket(bytes_per_second * CEILINGS, seconds())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is remembered."""
        return not (self._clients or self._others)

    def take(self, event: AuditEvent) -> bytes | None:
        """Take the event of a request that was not admitted.

        Returns:
            The line of the event, or None if it was counted.
        """
        request, refused, client = event.request, event.refused, event.client.key
        code, policy, rule = ("", "", "") if refused is None else (refused.code, refused.policy, refused.rule)
        kind = client, event.connection.listener, event.event, event.cause, event.status, code, policy, rule
        if request is None:
            key: _Key = (*kind, event.request_form, "", "", 0)
        else:
            authority = request.authority
            key = (*kind, request.request_form, request.method[:METHOD_LIMIT], authority.host, authority.port)
        fold = self._fine.get(key)
        if fold is None:
            line = self._add_fine(key, event)
            if line is not None:
                return line
            fold = self._coarse(key, event)
        self.folded += 1
        fold.add(event)
        return None

    def close_interval(self, room: int | None) -> list[Repeated]:
        """Return what was counted, for a line each. What is returned is not counted again.

        Args:
            room: the most lines to give; what is left is counted further. None for everything, whatever the ceilings:
                the audit log ends, or its file.
        """
        given: list[Repeated] = []
        now = self._seconds()
        for folds in (self._fine, self._reasons, self._others):
            for key, fold in list(folds.items()):
                if room is not None and len(given) >= room:
                    return given
                if not fold.count:
                    if not fold.is_kept:
                        self._drop(folds, key)
                    fold.is_kept = False
                elif room is None or folds is self._others or self._charge(key, fold.line_bytes, now):
                    given.append(fold.take())
                else:
                    self._coarse(key, fold.sample, folds is self._fine).merge(fold)
        for client, bucket in list(self._clients.items()):
            if not bucket.destinations and not bucket.reasons:
                del self._clients[client]
        return given

    def _add_fine(self, key: _Key, event: AuditEvent) -> bytes | None:
        """Return the line of the first request of a kind, if it may have one; those after it are counted."""
        client = event.client.key
        bucket, now = self._clients.get(client), self._seconds()
        if bucket is None:
            if len(self._clients) >= CLIENTS:
                return None
            bucket = self._clients[client] = _Bucket(self._rate, now)
        if (
            bucket.destinations >= DESTINATIONS_PER_CLIENT
            or len(self._fine) >= FOLDS
            or not bucket.has_room(now)
            or not self._all.has_room(now)
        ):
            return None
        line = self._encoder.encode(event)
        bucket.octets -= len(line) + 1
        self._all.octets -= len(line) + 1
        bucket.destinations += 1
        self._fine[key] = Fold(without_path(event), len(line) + _COUNT_BYTES)
        return line

    def _coarse(self, key: _Key, event: AuditEvent, has_reason: bool = True) -> Fold:
        """Return the fold that counts a request by reason, or by code where the client has too many folds."""
        client = event.client.key
        if has_reason:
            reason = key[:_REASON]
            fold = self._reasons.get(reason)
            if fold is not None:
                return fold
            bucket = self._clients.get(client)
            if bucket is not None and bucket.reasons < REASONS_PER_CLIENT and len(self._reasons) < FOLDS:
                bucket.reasons += 1
                fold = self._reasons[reason] = Fold(without_destination(event), _LINE_BYTES)
                return fold
        code = "" if event.refused is None or event.refused.code not in CODES else event.refused.code
        other = event.event, event.cause, event.status, code
        fold = self._others.get(other)
        if fold is None:
            fold = self._others[other] = Fold(without_client(event, code), _LINE_BYTES)
        return fold

    def _charge(self, key: _Key, octets: int, now: float) -> bool:
        bucket = self._clients[str(key[_CLIENT])]
        if not (bucket.has_room(now) and self._all.has_room(now)):
            return False
        bucket.octets -= octets
        self._all.octets -= octets
        return True

    def _drop(self, folds: dict[_Key, Fold], key: _Key) -> None:
        del folds[key]
        if folds is self._others:
            return
        bucket = self._clients[str(key[_CLIENT])]
        if folds is self._fine:
            bucket.destinations -= 1
        else:
            bucket.reasons -= 1
