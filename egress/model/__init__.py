"""The values that the parts hand to each other.

What is kept or shared is frozen; what is made once per request (`Request`, `Phases`, `AuditEvent`) is plain slots,
because freezing one costs three times as much and nobody keeps it.
"""

from egress.model.audit_event import AuditEvent
from egress.model.clients import Client, Connection, Secret
from egress.model.requests import Address, Authority, Network, Obligation, Outcome, Phases, Request, Verdict
from egress.model.routes import Admission, Hop, Resolution, Route, RoutePlan, Trace

__all__ = [
    "Address",
    "Admission",
    "AuditEvent",
    "Authority",
    "Client",
    "Connection",
    "Hop",
    "Network",
    "Obligation",
    "Outcome",
    "Phases",
    "Request",
    "Resolution",
    "Route",
    "RoutePlan",
    "Secret",
    "Trace",
    "Verdict",
]
