"""Names and paths in the configuration."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.config.validators import NAME_LIMIT, check_name, check_path, is_name

NOWHERE = cast(Any, None)


class ValidatorTests(SynchronousTestCase):
    """What may be a name, and what a path."""

    def test_names(self) -> None:
        """Printable ASCII, bounded, with no space at either end."""
        for text in ("a", "build agents", "x" * NAME_LIMIT, "[1]", "a:b"):
            self.assertTrue(is_name(text), text)
            check_name(None, NOWHERE, text)
        for text in ("", " a", "a ", "x" * (NAME_LIMIT + 1), "a\tb", "a\n", "caf\u00e9", "a\0"):
            self.assertFalse(is_name(text), text)
            with self.assertRaises(ValueError):
                check_name(None, NOWHERE, text)

    @given(st.text(max_size=80))
    def test_any_text(self, text: str) -> None:
        """A name can be shown unchanged in one line."""
        if is_name(text):
            self.assertEqual([text], text.splitlines())
            self.assertEqual(text, text.encode("ascii").decode())

    def test_paths(self) -> None:
        """A path holds no NUL."""
        check_path(None, NOWHERE, "/etc/egress/ca.pem")
        with self.assertRaises(ValueError):
            check_path(None, NOWHERE, "/etc/a\0b")
