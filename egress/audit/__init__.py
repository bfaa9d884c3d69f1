"""The record: one JSON line per request, kept without making anybody wait for it."""

from egress.audit.audit_log import Journal
from egress.audit.open import open_journal
from egress.audit.settings import AuditSettings, state_directory

__all__ = ["AuditSettings", "Journal", "open_journal", "state_directory"]
