"""The `[audit]` table."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.audit import AuditSettings, state_directory
from egress.config import structure
from egress.errors import ConfigError


class SettingsTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """By default the audit log is a file in the state directory, with the first segment of paths."""
        settings = AuditSettings()

        self.assertEqual(settings, structure(AuditSettings, {}))
        self.assertEqual("/var/lib/egress/audit.jsonl", settings.path_in("/var/lib/egress"))
        self.assertEqual(("first", "continue", False), (settings.paths, settings.on_loss, settings.chain))

    def test_absolute_file(self) -> None:
        """An absolute file does not depend on the state directory."""
        self.assertEqual("/srv/a.jsonl", AuditSettings(file="/srv/a.jsonl").path_in("/var/lib/egress"))

    def test_wrong_values(self) -> None:
        """A wrong value stops the start, and the error names its key."""
        cases: list[tuple[str, object]] = [
            ("to", []),
            ("to", ["syslog"]),
            ("to", ["file", "file"]),
            ("file", ""),
            ("file", "logs/"),
            ("file", "a\0b"),
            ("paths", "all"),
            ("on_loss", "panic"),
            ("chain", "yes"),
            ("backlog_records", 1),
            ("backlog_bytes", 10),
            ("refusal_bytes_per_second", 255),
            ("refusal_bytes_per_second", 1 << 41),
        ]
        for key, value in cases:
            with self.subTest(key=key, value=value):
                error = self.assertRaises(ConfigError, structure, AuditSettings, {key: value}, "audit")
                self.assertTrue(error.where.startswith(f"audit.{key}"), error.where)

    def test_construction_checks_too(self) -> None:
        """Settings made in code are checked too."""
        with self.assertRaises(ValueError):
            AuditSettings(to=())
        with self.assertRaises(ValueError):
            AuditSettings(paths="all")  # type: ignore[arg-type]


class StateDirectoryTests(SynchronousTestCase):
    def test_order(self) -> None:
        """EGRESS_STATE, then XDG_STATE_HOME if absolute, then the home directory."""
        everything = {"EGRESS_STATE": "/e", "XDG_STATE_HOME": "/x", "HOME": "/h"}
        self.assertEqual("/e", state_directory(everything))
        self.assertEqual("/x/egress", state_directory({**everything, "EGRESS_STATE": ""}))
        self.assertEqual("/h/.local/state/egress", state_directory({"XDG_STATE_HOME": "x", "HOME": "/h"}))
