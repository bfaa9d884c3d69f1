"""Values that the packages of egress exchange.

Values that are kept or shared are frozen. Values that are made once for each request (`Request`, `Phases`,
`AuditEvent`) have plain slots, because creating a frozen one takes three times as long.
"""

from egress.model.audit_event import AuditEvent, HelloFacts
from egress.model.clients import Client, Connection, Secret
from egress.model.override_fields import METHOD_OVERRIDES, OVERRIDES, PATH_OVERRIDES
from egress.model.policy_rules import PolicyRule, RuleEffect
from egress.model.requests import Address, Authority, Network, Obligation, Outcome, Phases, Request, Verdict
from egress.model.routes import NO_FIELDS, Admission, ConnectFields, Hop, Resolution, Route, RoutePlan, Trace

__all__ = [
    "METHOD_OVERRIDES",
    "NO_FIELDS",
    "OVERRIDES",
    "PATH_OVERRIDES",
    "Address",
    "Admission",
    "AuditEvent",
    "Authority",
    "Client",
    "ConnectFields",
    "Connection",
    "HelloFacts",
    "Hop",
    "Network",
    "Obligation",
    "Outcome",
    "Phases",
    "PolicyRule",
    "Request",
    "Resolution",
    "Route",
    "RoutePlan",
    "RuleEffect",
    "Secret",
    "Trace",
    "Verdict",
]
