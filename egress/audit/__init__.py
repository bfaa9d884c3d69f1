"""The audit log: one JSON line for each request, written by separate threads."""

from egress.audit.audit_log import AuditLog
from egress.audit.open import open_audit_log
from egress.audit.settings import AuditSettings, state_directory

__all__ = ["AuditLog", "AuditSettings", "open_audit_log", "state_directory"]
