"""Consistency of the authentication settings of listeners."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from egress.errors import ConfigError
from egress.identity import Requirement, check_authentication

_LOCAL: dict[str, Any] = {
    "has_tokens": False,
    "allow_plaintext_tokens": False,
    "is_local": True,
    "has_tls": False,
    "has_client_authorities": False,
}


class CheckTests(SynchronousTestCase):
    """Keys that bear on each other."""

    def test_good(self) -> None:
        """What a listener can have."""
        check_authentication("none", **_LOCAL)
        check_authentication("none", **_LOCAL | {"is_local": False})
        for require in ("none", "basic"):
            for more in (
                {},
                {"is_local": False, "has_tls": True},
                {"is_local": False, "allow_plaintext_tokens": True},
                {"allow_plaintext_tokens": True},
            ):
                check_authentication(require, **_LOCAL | {"has_tokens": True} | more)
        authorities = {"is_local": False, "has_tls": True, "has_client_authorities": True}
        check_authentication("certificate", **_LOCAL | authorities)
        check_authentication("certificate", **_LOCAL | authorities | {"has_tokens": True})

    def test_bad(self) -> None:
        """What it cannot; the key is named."""
        rows: list[tuple[Requirement, dict[str, bool], str]] = [
            ("basic", {}, "require"),
            ("certificate", {}, "require"),
            ("certificate", {"has_tls": True}, "require"),
            ("none", {"allow_plaintext_tokens": True}, "allow_plaintext_tokens"),
            ("none", {"has_tokens": True, "is_local": False}, "tokens"),
            ("basic", {"has_tokens": True, "is_local": False}, "tokens"),
        ]
        for require, more, key in rows:
            with self.assertRaises(ConfigError) as caught:
                check_authentication(require, **_LOCAL | more)
            self.assertTrue(str(caught.exception).startswith(f"{key}: "), str(caught.exception))
