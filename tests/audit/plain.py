"""The reference encoder: the line of an event as the documentation has it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from egress.audit.fields import FIELDS
from egress.errors import CODES, Refused
from egress.model import AuditEvent, Outcome, Verdict


def plain_line(record: AuditEvent, paths: str) -> bytes:
    """Give the line of an event.

    Args:
        record: what happened.
        paths: how much of a path is kept.
    """
    values = plain(record, paths)
    spelled = [f"{json.dumps(key)}:{_spelled(key, values[key])}" for key in FIELDS]
    return ("{" + ",".join(spelled) + "}").encode("ascii")


def plain(record: AuditEvent, paths: str) -> dict[str, object]:
    """Give the fields of an event's line, in any order."""
    request, admission, refused = record.request, record.admission, record.refused
    plan, resolution = (admission.plan, admission.resolution) if admission else (None, None)
    verdicts = admission.verdicts if admission else refused.verdicts if refused else ()
    hello, retry = record.hello, record.hello.retry_server_name if record.hello else None
    return {
        "schema": 1,
        "timestamp": _time(record.timestamp),
        "event": record.event,
        "request_id": request.id if request else record.request_id or None,
        "connection_id": record.connection_id,
        "listener": record.connection.listener,
        "client": cut(record.client.key),
        "client_labels": [cut(label) for label in sorted(record.client.labels)],
        "client_address": record.connection.peer,
        "client_port": record.connection.peer_port,
        "request_form": record.request_form,
        "http_request_method": cut(request.method, 32) if request else None,
        "server_address": cut(request.authority.host) if request else None,
        "server_port": (request.authority.port or None) if request else None,
        "url_path": _path(request.path, paths) if request else None,
        **_judged(record),
        "upstream": cut(plan.label) if plan else None,
        "upstream_level": plan.level if plan else _of_refusing(refused, "upstream_level"),
        "upstream_source": cut(plan.source) if plan else _of_refusing(refused, "upstream_source"),
        "hops": [cut(hop.upstream) for hop in plan.hops] if plan else [],
        "resolved_addresses": [str(address) for address in resolution.addresses[:64]] if resolution else [],
        "address_check": ("none" if resolution.is_delegated else "passed") if resolution else None,
        "audit_mode": [_audit_mode_verdicts(verdict) for verdict in verdicts if _is_rehearsed(verdict)],
        "config_generation": admission.generation if admission else None,
        "network_peer_address": record.dialled or None,
        "tls_client_server_name": cut(hello.server_name, 256) if hello else None,
        "tls_client_retry_server_name": None if retry is None else cut(retry, 256),
        "tls_client_ech": hello.has_ech if hello else None,
        "http_response_status_code": record.status or None,
        "response_source": record.response_source if record.status else None,
        "client_bytes": record.client_bytes,
        "server_bytes": record.server_bytes,
        "judge_ms": record.phases.judge,
        "resolve_ms": record.phases.resolve,
        "dial_ms": record.phases.dial,
        "wait_ms": record.phases.wait,
        "duration_ms": record.duration_ms,
        "cause": record.cause or None,
    }


def cut(text: str, limit: int = 512) -> str:
    """Cut a text that is too long, and mark the cut."""
    return text if len(text) <= limit else text[:limit] + "..."


def _spelled(key: str, value: object) -> str:
    if key.endswith("_ms"):
        assert isinstance(value, float)
        return f"{value:.3f}" if 0.0 <= value < 1e15 else "null"
    return json.dumps(value, separators=(",", ":"))


def _time(time: float) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(time * 1e6))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _path(path: str | None, paths: str) -> str | None:
    if path is None or paths == "none":
        return None
    path = path.split("?")[0].split("#")[0]
    first, slash, _ = path[1:].partition("/")
    segment, semicolon, _ = first.partition(";")
    if paths == "first" and (slash or semicolon):
        return f"{path[:1]}{segment[:256]}/..."
    return cut(path, 256)


def _judged(record: AuditEvent) -> dict[str, object]:
    admission, refused = record.admission, record.refused
    if refused is None:
        told = {"reason": cut(admission.verdict.reason) if admission else "", "code": None, "detail": None}
    else:
        told = {"reason": cut(refused.explanation), "code": refused.code, "detail": cut(refused.detail) or None}
    said = admission.verdict if admission and (refused is None or not refused.policy) else refused
    is_denied = refused is not None and refused.code in CODES and CODES[refused.code].status in (403, 407, 429)
    return {
        "verdict": "deny" if is_denied else "allow" if admission else "none",
        "policy": said.policy if said else "",
        "rule": said.rule if said else "",
        **told,
    }


def _is_rehearsed(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.ABSTAIN and verdict.reason.startswith("would have")


def _of_refusing(refused: Refused | None, name: str) -> str | None:
    return cut(getattr(refused, name)) if refused and refused.upstream_level else None


def _audit_mode_verdicts(verdict: Verdict) -> dict[str, str]:
    return {"policy": verdict.policy, "rule": verdict.rule, "reason": cut(verdict.reason)}
