"""The values that the parts hand to each other.

What is kept or shared is frozen; what is made once per request (`Request`, `Phases`, `AuditRecord`) is plain slots,
because freezing one costs three times as much and nobody keeps it.
"""

from egress.model.audit_event import AuditRecord
from egress.model.clients import Client, Connection, Secret
from egress.model.requests import Address, Authority, Network, Obligation, Outcome, Phases, Request, Verdict
from egress.model.routes import Admission, Hop, Plan, Resolution, Route, Trace

__all__ = [
    "Address",
    "Admission",
    "AuditRecord",
    "Authority",
    "Client",
    "Connection",
    "Hop",
    "Network",
    "Obligation",
    "Outcome",
    "Phases",
    "Plan",
    "Request",
    "Resolution",
    "Route",
    "Secret",
    "Trace",
    "Verdict",
]
