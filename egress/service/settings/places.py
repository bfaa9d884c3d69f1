"""The state directory of a configuration, and the destinations of its audit log."""

from __future__ import annotations

import os

from egress.audit import state_directory
from egress.service.settings.settings import Settings


def state_of(settings: Settings) -> str:
    """Return the state directory as an absolute path, because a daemon changes its working directory."""
    return os.path.abspath(settings.state or state_directory())


def audit_log_places(settings: Settings) -> list[str]:
    """List the destinations of the audit log, a file by its path."""
    return [settings.audit.path_in(state_of(settings)) if word == "file" else word for word in settings.audit.to]
