"""Formats records: one JSON object a line, ASCII, every string bounded and escaped.

Lines are put together from prepared parts, because `json.dumps` of so many keys costs several times the whole budget:
what an admission, a client and a destination have in common in all their lines is spelled once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from time import gmtime, strftime
from typing import TypeAlias

from attrs import define, frozen

from egress.errors import CODES, Refused
from egress.model import Admission, AuditEvent, Client, Connection, Outcome, Verdict

METHOD_LIMIT = 32
PATH_LIMIT = 256
TEXT_LIMIT = 512
ADDRESSES_LIMIT = 64
CUT = "..."

_MEMORY_LIMIT = 4096
_WOULD_HAVE = "would have"
_JUDGED = frozenset({403, 407, 429})
_NO_UPSTREAM = '"upstream":null,"upstream_level":null,"upstream_source":null'
_NO_HOPS = '"hops":[],"addresses":[],"address_check":null'
_UNJUDGED = '"verdict":"none","policy":"","rule":"","reason":"","code":null,"detail":null'
_MICROS = 1_000_000
# By `%`, which spells a float in two thirds of the time of a format specification.
_MS = "%.3f"
# The upper bound keeps an infinity, which JSON cannot spell, off the line; a NaN fails both.
_MS_LIMIT = 1e15

_Asked: TypeAlias = tuple[str, str, str, str | None, str, str | None, int]
"""The front, the method, the authority, the path, the address dialled, the ClientHello's name and the status."""


def bounded(text: str, limit: int) -> str:
    """Quote text for JSON, cut after `limit` characters and marked where it was longer."""
    return quoted(text if len(text) <= limit else text[:limit] + CUT)


class TimestampFormat:
    """Formats times (RFC 3339), and remembers the second: lines come in order, many in one.

    Attributes:
        begun: the remembered second, in microseconds since the epoch.
        text: its spelling, up to the point.
    """

    def __init__(self) -> None:
        self.begun = -_MICROS
        self.text = ""

    def turn(self, micros: int) -> int:
        """Remember another second.

        Args:
            micros: a time in it, in microseconds since the epoch.

        Returns:
            How far it is from the second's beginning.
        """
        second = micros // _MICROS
        self.begun = second * _MICROS
        self.text = strftime("%Y-%m-%dT%H:%M:%S.", gmtime(second))
        return micros - self.begun

    def format(self, time: float) -> str:
        """Give a time in UTC with microseconds.

        Args:
            time: seconds since the epoch.
        """
        micros = self.turn(int(time * _MICROS))
        return f"{self.text}{micros:06d}Z"


@define(eq=False)
class _Admitted:
    """The prepared parts of an admission.

    Attributes:
        judged: what its requests say of the verdict where they end well.
        route: what all of them say of the route.
        after: what they say after that.
        asked: what the last line with it was about.
        what: of that line, what stands between the peer's port and the octets.
    """

    judged: str
    route: str
    after: str
    asked: _Asked | None = None
    what: str = ""


@frozen(eq=False)
class _Caller:
    """The prepared parts of a client.

    Attributes:
        client: the client.
        listener: that its last line was of.
        peer: the same.
        who: of that line, what stands between the connection's id and the peer's port.
        told: what says the client in it.
    """

    client: Client
    listener: str
    peer: str
    who: str
    told: str


class LineEncoder:
    """Makes the line of a record.

    Args:
        paths: how much of a path is kept: "none", "first" or "full".
    """

    def __init__(self, paths: str) -> None:
        self._paths = paths
        self._stamp = TimestampFormat()
        # By identity, because hashing a client costs more than formatting it; the value is kept so that its identity
        # cannot be given to another.
        self._callers: dict[int, _Caller] = {}
        # By identity, too: admissions are not compared otherwise.
        self._admissions: dict[Admission, _Admitted] = {}

    def encode(self, record: AuditEvent) -> bytes:
        """Format one record.

        Returns:
            One JSON object in ASCII, without a line end.
        """
        request, admission, connection, client = record.request, record.admission, record.connection, record.client
        caller = self._callers.get(id(client))
        if (
            caller is None
            or caller.client is not client
            or caller.peer != connection.peer
            or caller.listener != connection.listener
        ):
            caller = self._caller(client, connection, caller)
        if request is None or admission is None or record.refused is not None:
            what = self._what(record, self._judgement(admission, record.refused))
        else:
            asked = (
                record.request_form,
                request.method,
                request.authority.text,
                request.path,
                record.dialled,
                record.server_name,
                record.status,
            )
            known = self._admissions.get(admission)
            if known is None:
                known = self._admitted(admission)
            if known.asked != asked:
                known.what = self._what(record, self._judgement(admission, None))
                known.asked = asked
            what = known.what
        identity = record.request_id if request is None else request.id
        stamp = self._stamp
        micros = int(record.time * _MICROS) - stamp.begun
        if not 0 <= micros < _MICROS:
            micros = stamp.turn(micros + stamp.begun)
        phases, total, cause = record.phases, record.total_ms, record.cause
        judge, resolve, dial, wait = phases.judge, phases.resolve, phases.dial, phases.wait
        return (
            # A million more, cut off again: half the price of padding with zeros.
            f'{{"time":"{stamp.text}{f"{micros + _MICROS}"[1:]}Z","type":{quoted(record.kind)},'
            f'"request_id":{quoted(identity) if identity or request is not None else "null"},'
            f'"connection_id":{quoted(record.connection_id)},{caller.who}{connection.peer_port}{what}{record.bytes_up},'
            f'"bytes_down":{record.bytes_down},"judge_ms":{_MS % judge if 0.0 <= judge < _MS_LIMIT else "null"},'
            f'"resolve_ms":{_MS % resolve if 0.0 <= resolve < _MS_LIMIT else "null"},'
            f'"dial_ms":{_MS % dial if 0.0 <= dial < _MS_LIMIT else "null"},'
            f'"wait_ms":{_MS % wait if 0.0 <= wait < _MS_LIMIT else "null"},'
            f'"total_ms":{_MS % total if 0.0 <= total < _MS_LIMIT else "null"},'
            f'"cause":{quoted(cause) if cause else "null"}}}'
        ).encode("ascii")

    def note(self, kind: str, time: float, facts: Mapping[str, object]) -> bytes:
        """Format a line about the audit log or the supervisor itself.

        Args:
            kind: one of `egress.audit.fields.TYPES`.
            time: seconds since the epoch.
            facts: its further keys. Values that JSON does not know are written as text.
        """
        return encode_note(kind, self._stamp.format(time), facts)

    def _caller(self, client: Client, connection: Connection, known: _Caller | None) -> _Caller:
        if known is not None and known.client is client:
            told = known.told
        else:
            labels = ",".join([bounded(label, TEXT_LIMIT) for label in sorted(client.labels)])
            told = f'"client":{bounded(client.key, TEXT_LIMIT)},"labels":[{labels}]'
        listener, peer = connection.listener, connection.peer
        who = f'"listener":{quoted(listener)},{told},"peer":{quoted(peer)},"peer_port":'
        if len(self._callers) >= _MEMORY_LIMIT:
            self._callers.clear()
        self._callers[id(client)] = known = _Caller(client, listener, peer, who, told)
        return known

    def _what(self, record: AuditEvent, judgement: str) -> str:
        request, dialled, name = record.request, record.dialled, record.server_name
        if request is None:
            wish = '"method":null,"host":null,"port":null,"path":null'
        else:
            path, authority = request.path, request.authority
            wish = (
                f'"method":{bounded(request.method, METHOD_LIMIT)},"host":{bounded(authority.host, TEXT_LIMIT)},'
                f'"port":{authority.port},"path":{"null" if path is None else self._path(path)}'
            )
        return (
            f',"request_form":{quoted(record.request_form)},{wish},{judgement},'
            f'"dialled":{quoted(dialled) if dialled else "null"},'
            f'"server_name":{"null" if name is None else bounded(name, PATH_LIMIT)},'
            f'"status":{record.status or "null"},"bytes_up":'
        )

    def _path(self, path: str) -> str:
        if self._paths == "none":
            return "null"
        # A canonical path has no query; a record must not depend on that promise being kept.
        path = path.partition("?")[0].partition("#")[0]
        if self._paths == "first":
            first, slash, _ = path[1:].partition("/")
            # What follows a semicolon are parameters, session ids among them (RFC 3986 section 3.3).
            segment, semicolon, _ = first.partition(";")
            if semicolon or slash:
                return quoted(f"{path[:1]}{segment[:PATH_LIMIT]}/{CUT}")
        return bounded(path, PATH_LIMIT)

    def _judgement(self, admission: Admission | None, refused: Refused | None) -> str:
        if admission is None:
            route, after = f"{_upstream_of(refused)},{_NO_HOPS}", '"audit":[],"generation":null'
        else:
            known = self._admitted(admission)
            if refused is None:
                return f"{known.judged},{known.route},{known.after}"
            route, after = known.route, known.after
        if refused is None:
            return f"{_UNJUDGED},{route},{after}"
        verdict = verdict_of(admission, refused)
        if admission is not None and not refused.policy:
            policy, rule = admission.verdict.policy, admission.verdict.rule
        else:
            policy, rule = refused.policy, refused.rule
        if admission is None and refused.verdicts:
            after = f'"audit":{_audit_mode_verdicts(refused.verdicts)},"generation":null'
        return (
            f'"verdict":"{verdict}","policy":{quoted(policy)},"rule":{quoted(rule)},'
            f'"reason":{bounded(refused.reason, TEXT_LIMIT)},"code":{quoted(refused.code)},'
            f'"detail":{bounded(refused.detail, TEXT_LIMIT) if refused.detail else "null"},{route},{after}'
        )

    def _admitted(self, admission: Admission) -> _Admitted:
        known = self._admissions.get(admission)
        if known is not None:
            return known
        verdict, plan, resolution = admission.verdict, admission.plan, admission.resolution
        # To spell an address takes longer than all the rest, and the route's are spelled; most often they are the same.
        is_spelled = admission.route.addresses is resolution.addresses
        spelled = admission.route.texts if is_spelled else tuple(map(str, resolution.addresses))
        addresses = ",".join([f'"{address}"' for address in spelled[:ADDRESSES_LIMIT]])
        hops = ",".join([bounded(hop.upstream, TEXT_LIMIT) for hop in plan.hops])
        judged = (
            f'"verdict":"allow","policy":{quoted(verdict.policy)},"rule":{quoted(verdict.rule)},'
            f'"reason":{bounded(verdict.reason, TEXT_LIMIT)},"code":null,"detail":null'
        )
        route = (
            f'"upstream":{bounded(plan.label, TEXT_LIMIT)},"upstream_level":{quoted(plan.level)},'
            f'"upstream_source":{bounded(plan.source, TEXT_LIMIT)},"hops":[{hops}],"addresses":[{addresses}],'
            f'"address_check":"{"none" if resolution.is_delegated else "passed"}"'
        )
        after = f'"audit":{_audit_mode_verdicts(admission.verdicts)},"generation":{admission.generation}'
        if len(self._admissions) >= _MEMORY_LIMIT:
            self._admissions.clear()
        self._admissions[admission] = known = _Admitted(judged, route, after)
        return known


def verdict_of(admission: Admission | None, refused: Refused | None) -> str:
    """Give the word for what was decided about a request."""
    if refused is not None and refused.code in CODES and CODES[refused.code].status in _JUDGED:
        return "deny"
    return "none" if admission is None else "allow"


def _upstream_of(refused: Refused | None) -> str:
    if refused is None or not refused.upstream_level:
        return _NO_UPSTREAM
    source = bounded(refused.upstream_source, TEXT_LIMIT)
    return f'"upstream":null,"upstream_level":{quoted(refused.upstream_level)},"upstream_source":{source}'


def _audit_mode_verdicts(verdicts: tuple[Verdict, ...]) -> str:
    said = [
        f'{{"policy":{quoted(one.policy)},"rule":{quoted(one.rule)},"reason":{bounded(one.reason, TEXT_LIMIT)}}}'
        for one in verdicts
        if one.outcome is Outcome.ABSTAIN and one.reason.startswith(_WOULD_HAVE)
    ]
    return f"[{','.join(said)}]"


def encode_note(kind: str, stamp: str, facts: Mapping[str, object]) -> bytes:
    """Format a line that is not about a request.

    Args:
        kind: one of `egress.audit.fields.TYPES`.
        stamp: its time, formatted.
        facts: its further keys.
    """
    head = f'{{"time":"{stamp}","type":{quoted(kind)}'
    shown = {key: value for key, value in facts.items() if key not in ("time", "type", "seq", "prev", "writer", "sum")}
    rest = json.dumps(shown, ensure_ascii=True, separators=(",", ":"), default=str)
    return f"{head}}}".encode("ascii") if not shown else f"{head},{rest[1:]}".encode("ascii")
