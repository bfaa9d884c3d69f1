"""The state directory of a configuration."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from egress.service.settings.places import audit_log_places, state_of
from egress.service.settings.settings import Settings
from egress.service.settings.source import load


class PlacesTests(SynchronousTestCase):
    """Directories and files."""

    def test_audit_log_places(self) -> None:
        """The audit log's file is named with its directory."""
        self.patch(os, "environ", {"EGRESS_STATE": "/var/lib/elsewhere"})

        self.assertEqual(["/var/lib/elsewhere/audit.jsonl"], audit_log_places(load(None).settings))

    def test_state_is_absolute(self) -> None:
        """A relative state directory is told as an absolute one."""
        self.assertEqual(os.path.abspath("state"), state_of(Settings(state="state")))
