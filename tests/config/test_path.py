"""Key paths, and the values that errors may show."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from egress.config import join, prefix
from egress.config.path import is_secret, show


class PathTests(SynchronousTestCase):
    """Paths are spelt as a reader of the file would."""

    def test_keys_and_indices(self) -> None:
        """Keys are joined with dots, indices stand in brackets, odd keys in quotes."""
        self.assertEqual("policy[0].allow[2].hosts", join(join(join(join(join("", "policy"), 0), "allow"), 2), "hosts"))
        self.assertEqual('guard."a b"', join("guard", "a b"))
        self.assertEqual('"a.b"', join("", "a.b"))

    def test_odd_key_is_one_line(self) -> None:
        """A key with a line end, or of any length, cannot stretch an error over lines."""
        self.assertNotIn("\n", join("", "a\nb"))
        self.assertLess(len(join("", "x" * 10_000)), 100)

    def test_prefix(self) -> None:
        """A relative path is put behind the path that it is relative to."""
        self.assertEqual("policy[0].allow", prefix("policy[0]", "allow"))
        self.assertEqual("policy[0]", prefix("policy", "[0]"))
        self.assertEqual("policy", prefix("policy", ""))
        self.assertEqual("allow", prefix("", "allow"))


class ShowTests(SynchronousTestCase):
    """Secrets are not shown."""

    def test_secret_names(self) -> None:
        """A key that smells of a secret hides its value, alone, in the plural or in a compound."""
        for key in ("password", "tokens", "client_secret", "Credentials", "api_key"):
            self.assertTrue(is_secret(key), key)
        self.assertFalse(is_secret("hosts"))

    def test_hidden(self) -> None:
        """A secret, an address with user information and a URL are not repeated."""
        self.assertNotIn("hunter2", show("password", "hunter2"))
        self.assertNotIn("hunter2", show("upstream", "joe:hunter2@proxy"))
        self.assertNotIn("hunter2", show("upstream", "http://proxy/hunter2"))

    def test_shown(self) -> None:
        """Other scalars are spelt as in TOML, and bounded."""
        self.assertEqual('"allow"', show("mode", "allow"))
        self.assertEqual("true", show("mode", True))
        self.assertEqual("8", show("mode", 8))
        self.assertLess(len(show("mode", "x" * 10_000)), 200)
