"""Events to count."""

from __future__ import annotations

from egress.errors import Refused
from egress.model import Admission, AuditEvent, Connection, Outcome, Phases, Route, RoutePlan, Verdict
from egress.testing import make_authority, make_client, make_request, resolve_to

CLIENT = make_client()
CONNECTION = Connection("agents", "127.0.0.1", 40_000)


def make_admission(policy: str = "rules", upstream: str = "direct") -> Admission:
    """Make an admission."""
    verdict, plan, resolution = (
        Verdict(Outcome.ALLOW, policy, "rule"),
        RoutePlan(upstream, "none"),
        resolve_to("192.0.2.1"),
    )
    route = Route(upstream, (), resolution.addresses)
    return Admission(verdict, (verdict,), plan, route, resolution, 1, make_authority("a.example", 80))


def make_event(
    admission: Admission | None = None,
    refused: Refused | None = None,
    *,
    event: str = "end",
    cause: str = "complete",
    request_form: str = "http",
    phases: Phases | None = None,
    duration_ms: float = 12.0,
    moved: tuple[int, int] = (0, 0),
    is_read: bool = True,
) -> AuditEvent:
    """Make the event of one request; an unreadable one has no request."""
    return AuditEvent(
        event,
        1.0,
        make_request() if is_read else None,
        CLIENT,
        CONNECTION,
        "c",
        request_form,
        admission,
        refused,
        client_bytes=moved[0],
        server_bytes=moved[1],
        phases=phases or Phases(),
        duration_ms=duration_ms,
        cause=cause,
    )
