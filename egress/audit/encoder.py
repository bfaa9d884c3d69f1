"""Formats audit events: one JSON object a line, ASCII, every string bounded and escaped.

A line is joined from prepared parts, because `json.dumps` of that many fields costs several times the budget of a whole
request. The parts that are equal in all lines of an admission, a client or a destination are formatted once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import TypeAlias

from attrs import define, frozen

from egress.audit.fields import ENVELOPE, SCHEMA
from egress.audit.timestamps import MICROS, TimestampFormat
from egress.errors import CODES, Refused
from egress.memo import Memo
from egress.model import Admission, AuditEvent, Client, Connection, HelloFacts, Outcome, Verdict

METHOD_LIMIT = 32
PATH_LIMIT = 256
TEXT_LIMIT = 512
ADDRESSES_LIMIT = 64
CUT = "..."

_MEMO_LIMIT = 4096
_WOULD_HAVE = "would have"
_DENYING_STATUSES = frozenset({403, 407, 429})
_NO_UPSTREAM = '"upstream":null,"upstream_level":null,"upstream_source":null'
_NO_ADDRESSES = '"hops":[],"resolved_addresses":[],"address_check":null'
_NOT_JUDGED = '"verdict":"none","policy":"","rule":"","reason":"","code":null,"detail":null'
# By `%`, which needs two thirds of the time of a format specification for a float.
_MS = "%.3f"
# The upper bound excludes an infinity, which JSON cannot represent; a NaN fails both bounds.
_MS_LIMIT = 1e15

_NO_HELLO = '"tls_client_server_name":null,"tls_client_retry_server_name":null,"tls_client_ech":null,'

_TargetKey: TypeAlias = tuple[str, str, str, str | None, str, HelloFacts | None, int, str]
"""Request form, method, authority, path, address dialled, ClientHellos, status and response source."""


def bounded(text: str, limit: int) -> str:
    """Quote text for JSON. Longer text is cut after `limit` characters and marked."""
    return quoted(text if len(text) <= limit else text[:limit] + CUT)


@define(eq=False)
class _AdmissionParts:
    """The prepared parts of the lines of one admission.

    Attributes:
        verdict: the fields `verdict` to `detail` of a request that did not fail.
        route: the fields `upstream` to `address_check`.
        snapshot: the fields `audit_mode` and `config_generation`.
        target_key: the values from which `target` was formatted.
        target: the part between `client_port` and `client_bytes`, as in the last line of this admission.
    """

    verdict: str
    route: str
    snapshot: str
    target_key: _TargetKey | None = None
    target: str = ""


@frozen(eq=False)
class _ClientParts:
    """The prepared parts of the lines of one client.

    Attributes:
        client: the client.
        listener: the listener in the client's last line.
        peer: the peer address in the client's last line.
        origin: the part between `connection_id` and the value of `client_port`, as in the client's last line.
        identity: the fields `client` and `client_labels`.
    """

    client: Client
    listener: str
    peer: str
    origin: str
    identity: str


class LineEncoder:
    """Formats audit events as lines.

    Args:
        paths: the part of a path that is logged: "none", "first" or "full".
    """

    def __init__(self, paths: str) -> None:
        self._paths = paths
        self._stamp = TimestampFormat()
        # By identity, because hashing a client costs more than formatting it. Each entry refers to its client, so that
        # no other client can get the same identity.
        self._clients: Memo[int, _ClientParts] = Memo(_MEMO_LIMIT)
        # By identity too, because admissions are compared by identity.
        self._admissions: Memo[Admission, _AdmissionParts] = Memo(_MEMO_LIMIT)

    def encode(self, record: AuditEvent) -> bytes:
        """Format one event.

        Returns:
            One JSON object in ASCII, without a line end.
        """
        request, admission, connection, client = record.request, record.admission, record.connection, record.client
        parts = self._clients.get(id(client))
        if (
            parts is None
            or parts.client is not client
            or parts.peer != connection.peer
            or parts.listener != connection.listener
        ):
            parts = self._client_parts(client, connection, parts)
        if request is None or admission is None or record.refused is not None:
            target = self._target(record, self._decision(admission, record.refused))
        else:
            key = (
                record.request_form,
                request.method,
                request.authority.text,
                request.path,
                record.dialled,
                record.hello,
                record.status,
                record.response_source,
            )
            known = self._admissions.get(admission)
            if known is None:
                known = self._admission_parts(admission)
            if known.target_key != key:
                known.target = self._target(record, self._decision(admission, None))
                known.target_key = key
            target = known.target
        identity = record.request_id if request is None else request.id
        stamp = self._stamp
        micros = int(record.timestamp * MICROS) - stamp.begun
        if not 0 <= micros < MICROS:
            micros = stamp.turn(micros + stamp.begun)
        phases, duration, cause = record.phases, record.duration_ms, record.cause
        judge, resolve, dial, wait = phases.judge, phases.resolve, phases.dial, phases.wait
        return (
            # Adding a million and removing the first digit costs half as much as padding with zeros.
            f'{{"schema":1,"timestamp":"{stamp.text}{f"{micros + MICROS}"[1:]}Z","event":{quoted(record.event)},'
            f'"request_id":{quoted(identity) if identity or request is not None else "null"},'
            f'"connection_id":{quoted(record.connection_id)},{parts.origin}{connection.peer_port}{target}'
            f'{record.client_bytes},"server_bytes":{record.server_bytes},'
            f'"judge_ms":{_MS % judge if 0.0 <= judge < _MS_LIMIT else "null"},'
            f'"resolve_ms":{_MS % resolve if 0.0 <= resolve < _MS_LIMIT else "null"},'
            f'"dial_ms":{_MS % dial if 0.0 <= dial < _MS_LIMIT else "null"},'
            f'"wait_ms":{_MS % wait if 0.0 <= wait < _MS_LIMIT else "null"},'
            f'"duration_ms":{_MS % duration if 0.0 <= duration < _MS_LIMIT else "null"},'
            f'"cause":{quoted(cause) if cause else "null"}}}'
        ).encode("ascii")

    def note(self, event: str, time: float, facts: Mapping[str, object]) -> bytes:
        """Format a line about the audit log or the supervisor.

        Args:
            event: one of `egress.audit.fields.EVENTS`.
            time: seconds since the epoch.
            facts: further fields. A value without a JSON type is written as text.
        """
        return encode_note(event, self._stamp.format(time), facts)

    def _client_parts(self, client: Client, connection: Connection, known: _ClientParts | None) -> _ClientParts:
        if known is not None and known.client is client:
            identity = known.identity
        else:
            labels = ",".join([bounded(label, TEXT_LIMIT) for label in sorted(client.labels)])
            identity = f'"client":{bounded(client.key, TEXT_LIMIT)},"client_labels":[{labels}]'
        listener, peer = connection.listener, connection.peer
        origin = f'"listener":{quoted(listener)},{identity},"client_address":{quoted(peer)},"client_port":'
        return self._clients.keep(id(client), _ClientParts(client, listener, peer, origin, identity))

    def _target(self, record: AuditEvent, decision: str) -> str:
        request, dialled, hello, status = record.request, record.dialled, record.hello, record.status
        if request is None:
            target = '"http_request_method":null,"server_address":null,"server_port":null,"url_path":null'
        else:
            path, authority = request.path, request.authority
            target = (
                f'"http_request_method":{bounded(request.method, METHOD_LIMIT)},'
                f'"server_address":{bounded(authority.host, TEXT_LIMIT)},"server_port":{authority.port or "null"},'
                f'"url_path":{"null" if path is None else self._path(path)}'
            )
        return (
            f',"request_form":{quoted(record.request_form)},{target},{decision},'
            f'"network_peer_address":{quoted(dialled) if dialled else "null"},'
            f"{_NO_HELLO if hello is None else _hello(hello)}"
            f'"http_response_status_code":{status or "null"},'
            f'"response_source":{quoted(record.response_source) if status else "null"},"client_bytes":'
        )

    def _path(self, path: str) -> str:
        if self._paths == "none":
            return "null"
        # A canonical path has no query, but the audit log must not depend on that.
        path = path.partition("?")[0].partition("#")[0]
        if self._paths == "first":
            first, slash, _ = path[1:].partition("/")
            # Parameters, such as session ids, follow a semicolon (RFC 3986 section 3.3).
            segment, semicolon, _ = first.partition(";")
            if semicolon or slash:
                return quoted(f"{path[:1]}{segment[:PATH_LIMIT]}/{CUT}")
        return bounded(path, PATH_LIMIT)

    def _decision(self, admission: Admission | None, refused: Refused | None) -> str:
        if admission is None:
            route, snapshot = f"{_upstream_of(refused)},{_NO_ADDRESSES}", '"audit_mode":[],"config_generation":null'
        else:
            known = self._admission_parts(admission)
            if refused is None:
                return f"{known.verdict},{known.route},{known.snapshot}"
            route, snapshot = known.route, known.snapshot
        if refused is None:
            return f"{_NOT_JUDGED},{route},{snapshot}"
        verdict = verdict_of(admission, refused)
        if admission is not None and not refused.policy:
            policy, rule = admission.verdict.policy, admission.verdict.rule
        else:
            policy, rule = refused.policy, refused.rule
        if admission is None and refused.verdicts:
            snapshot = f'"audit_mode":{_audit_mode_verdicts(refused.verdicts)},"config_generation":null'
        return (
            f'"verdict":"{verdict}","policy":{quoted(policy)},"rule":{quoted(rule)},'
            f'"reason":{bounded(refused.explanation, TEXT_LIMIT)},"code":{quoted(refused.code)},'
            f'"detail":{bounded(refused.detail, TEXT_LIMIT) if refused.detail else "null"},{route},{snapshot}'
        )

    def _admission_parts(self, admission: Admission) -> _AdmissionParts:
        known = self._admissions.get(admission)
        if known is not None:
            return known
        verdict, plan, resolution = admission.verdict, admission.plan, admission.resolution
        # Formatting an address costs more than all other fields. The route has its addresses as text, which in most
        # cases are the addresses of the resolution.
        is_formatted = admission.route.addresses is resolution.addresses
        texts = admission.route.texts if is_formatted else tuple(map(str, resolution.addresses))
        addresses = ",".join([f'"{address}"' for address in texts[:ADDRESSES_LIMIT]])
        hops = ",".join([bounded(hop.upstream, TEXT_LIMIT) for hop in plan.hops])
        decision = (
            f'"verdict":"allow","policy":{quoted(verdict.policy)},"rule":{quoted(verdict.rule)},'
            f'"reason":{bounded(verdict.reason, TEXT_LIMIT)},"code":null,"detail":null'
        )
        route = (
            f'"upstream":{bounded(plan.label, TEXT_LIMIT)},"upstream_level":{quoted(plan.level)},'
            f'"upstream_source":{bounded(plan.source, TEXT_LIMIT)},"hops":[{hops}],"resolved_addresses":[{addresses}],'
            f'"address_check":"{"none" if resolution.is_delegated else "passed"}"'
        )
        snapshot = f'"audit_mode":{_audit_mode_verdicts(admission.verdicts)},"config_generation":{admission.generation}'
        return self._admissions.keep(admission, _AdmissionParts(decision, route, snapshot))


def verdict_of(admission: Admission | None, refused: Refused | None) -> str:
    """Return the value of the field `verdict`: "allow", "deny" or "none"."""
    if refused is not None and refused.code in CODES and CODES[refused.code].status in _DENYING_STATUSES:
        return "deny"
    return "none" if admission is None else "allow"


def _hello(hello: HelloFacts) -> str:
    retry = hello.retry_server_name
    return (
        f'"tls_client_server_name":{bounded(hello.server_name, PATH_LIMIT)},'
        f'"tls_client_retry_server_name":{"null" if retry is None else bounded(retry, PATH_LIMIT)},'
        f'"tls_client_ech":{"true" if hello.has_ech else "false"},'
    )


def _upstream_of(refused: Refused | None) -> str:
    if refused is None or not refused.upstream_level:
        return _NO_UPSTREAM
    source = bounded(refused.upstream_source, TEXT_LIMIT)
    return f'"upstream":null,"upstream_level":{quoted(refused.upstream_level)},"upstream_source":{source}'


def _audit_mode_verdicts(verdicts: tuple[Verdict, ...]) -> str:
    objects = [
        f'{{"policy":{quoted(one.policy)},"rule":{quoted(one.rule)},"reason":{bounded(one.reason, TEXT_LIMIT)}}}'
        for one in verdicts
        if one.outcome is Outcome.ABSTAIN and one.reason.startswith(_WOULD_HAVE)
    ]
    return f"[{','.join(objects)}]"


def encode_note(event: str, timestamp: str, facts: Mapping[str, object]) -> bytes:
    """Format a line that does not describe a request.

    Args:
        event: one of `egress.audit.fields.EVENTS`.
        timestamp: the time of the event, formatted.
        facts: further fields; fields of the envelope are left out.
    """
    head = f'{{"schema":{SCHEMA},"timestamp":"{timestamp}","event":{quoted(event)}'
    shown = {key: value for key, value in facts.items() if key not in ENVELOPE}
    rest = json.dumps(shown, ensure_ascii=True, separators=(",", ":"), default=str)
    return f"{head}}}".encode("ascii") if not shown else f"{head},{rest[1:]}".encode("ascii")
