"""What the proxy server does to a request because a policy demands it."""

from __future__ import annotations

from egress.model import Admission, Obligation
from egress.proxy.request_roles import ParsedRequest


def fulfil(parsed: ParsedRequest, admission: Admission | None) -> ParsedRequest:
    """Change a request that is about to be forwarded as the policies demand.

    Every policy's verdict counts, whichever of them allowed: a policy that abstains may do so only because of its
    obligation.

    Args:
        parsed: the request as it was read.
        admission: of the request.
    """
    if admission is not None:
        for verdict in (admission.verdict, *admission.verdicts):
            if Obligation.STRIP_OVERRIDES in verdict.obligations:
                return parsed.without_overrides()
    return parsed
