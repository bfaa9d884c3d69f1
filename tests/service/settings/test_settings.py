"""The settings of the whole file, and the additions of options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.service.settings.settings import DEFAULT_ENDPOINT, Settings
from egress.service.settings.source import Source, load


class SettingsCase(SynchronousTestCase):
    """Loads settings from files."""

    def load(self, text: str | None = None, allow: Sequence[str] = (), listen: Sequence[str] = ()) -> Source:
        """Load a file with this text, or none."""
        self.name: str | None = None
        if text is not None:
            self.name = self.mktemp()
            Path(str(self.name)).write_text(text, "utf-8")
        return load(self.name, allow, listen)

    def fault(self, text: str | None = None, allow: Sequence[str] = (), listen: Sequence[str] = ()) -> str:
        """Load what cannot be loaded.

        Returns:
            The error without the file's name.
        """
        error = self.assertRaises(ConfigError, self.load, text, allow, listen)
        self.assertEqual(self.name or "", error.file)
        return f"{error.where}: {error.problem}"


class FileTests(SettingsCase):
    """What stands in a file."""

    def test_defaults(self) -> None:
        """Without a file: one listener on the loopback address, the guard on, and nothing allowed."""
        settings = self.load().settings

        self.assertEqual([("default", DEFAULT_ENDPOINT)], [(each.name, each.endpoint) for each in settings.listener])
        self.assertTrue(settings.guard.enabled)
        self.assertEqual((), settings.policy)

    def test_empty_file(self) -> None:
        """An empty file is the defaults."""
        self.assertEqual(Settings(), self.load("").settings)

    def test_unknown_table(self) -> None:
        """A table that nobody reads is an error."""
        self.assertIn("limit: unknown key (did you mean 'limits'?)", self.fault("[limit]\nhead_bytes = 4096\n"))

    def test_nested_key(self) -> None:
        """An error in a table names the table and the key."""
        self.assertIn("limits.head_bytes: must be between", self.fault("[limits]\nhead_bytes = 1\n"))

    def test_bounds_are_spelled_out(self) -> None:
        """A large bound is a plain number."""
        self.assertIn("between 0.05 and 31536000", self.fault("[limits]\nhead_seconds = 0\n"))

    def test_state_is_a_path(self) -> None:
        """What no path can hold is told as an error of the file, not as a traceback."""
        self.assertIn("state: no path holds a NUL", self.fault('state = "a\\u0000b"\n'))

    def test_listeners(self) -> None:
        """Listeners need a name and an endpoint, and names are unique."""
        self.assertIn("listener[0].name: is missing", self.fault('[[listener]]\nendpoint = "tcp:1"\n'))
        self.assertIn("listener[0].endpoint: is missing", self.fault('[[listener]]\nname = "a"\n'))
        twice = '[[listener]]\nname = "a"\nendpoint = "tcp:1"\n' * 2
        self.assertIn("listener[1].name: listener[0] is called 'a' already", self.fault(twice))
        self.assertIn("listener[0].name: must be 1 to 64", self.fault('[[listener]]\nname = ""\nendpoint = "tcp:1"\n'))
        self.assertIn("listener: names no listener", self.fault("listener = []\n"))
