"""The `[status]` table."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.api.settings import StatusSettings
from egress.config import structure
from egress.errors import ConfigError


class StatusSettingsTests(SynchronousTestCase):
    """Valid and invalid settings."""

    def test_nothing_is_served_by_default(self) -> None:
        """Without the table there is no status listener."""
        self.assertEqual("", StatusSettings().endpoint)

    def test_names(self) -> None:
        """Names are taken in their canonical spelling."""
        settings = structure(StatusSettings, {"hosts": ["egress.monitoring.svc"]})

        self.assertEqual(("egress.monitoring.svc",), settings.hosts)

    def test_what_is_no_name(self) -> None:
        """Addresses, names in another form and nonsense are errors with the reason."""
        for host, problem in (
            ("127.0.0.1", "addresses are always accepted"),
            ("Egress.Example", "canonical form is 'egress.example'"),
            ("a b", "is not a name"),
            ("*.example", "is not a name"),
        ):
            with self.subTest(host):
                error = self.assertRaises(ConfigError, structure, StatusSettings, {"hosts": [host]})
                self.assertEqual("hosts", error.where)
                self.assertIn(problem, error.problem)
