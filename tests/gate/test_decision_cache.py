"""What a snapshot keeps of its decisions."""

from __future__ import annotations

from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from egress.gate.decision_cache import PATH_CHARACTERS, DecisionCache, DecisionKey


def key(path: str | None) -> DecisionKey:
    """Make a key."""
    return "client", frozenset(["listener:a"]), "a", "http", "GET", "a.example:80", frozenset(), path


class DecisionCacheTests(SynchronousTestCase):
    """Keys are bounded in length, as their number is."""

    def test_long_paths(self) -> None:
        """Decisions about a long path are not kept: a client could fill the memory with paths."""
        decisions, anything = DecisionCache(), cast(Any, object())
        for path in (None, "/", "/" + "x" * (PATH_CHARACTERS - 1), "/" + "x" * PATH_CHARACTERS):
            decisions.keep_by_name(key(path), (), anything)
            decisions.keep_admission(key(path), anything)

        kept = {key(None), key("/"), key("/" + "x" * (PATH_CHARACTERS - 1))}
        self.assertEqual(kept, set(decisions.by_name))
        self.assertEqual(kept, set(decisions.admissions))
