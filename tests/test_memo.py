"""The bounded memo."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.memo import Memo


class MemoTests(SynchronousTestCase):
    """A memo holds what was kept, and never more than its limit."""

    def test_keep_returns_the_value(self) -> None:
        """A kept value is returned, and found again by its key."""
        memo: Memo[str, list[int]] = Memo(2)
        value = [1]

        self.assertIs(value, memo.keep("a", value))
        self.assertIs(value, memo.get("a"))
        self.assertIsNone(memo.get("b"))

    def test_full_memo_is_emptied(self) -> None:
        """One entry more than the limit empties the memo; replacing an entry does not."""
        memo: Memo[str, int] = Memo(2)
        memo.keep("a", 1)
        memo.keep("b", 2)

        memo.keep("b", 3)
        self.assertEqual({"a": 1, "b": 3}, memo)
        memo.keep("c", 4)
        self.assertEqual({"c": 4}, memo)

    def test_limit_below_one_is_refused(self) -> None:
        """A memo without room for an entry is an error of the caller."""
        self.assertRaises(ValueError, Memo, 0)

    @given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 9), st.integers())))
    def test_never_more_than_the_limit(self, limit: int, kept: list[tuple[int, int]]) -> None:
        """Whatever is kept, the latest value of a key that is found is the one that was kept last."""
        memo: Memo[int, int] = Memo(limit)
        latest: dict[int, int] = {}
        for key, value in kept:
            memo.keep(key, value)
            latest[key] = value
            self.assertLessEqual(len(memo), limit)
            self.assertEqual(value, memo.get(key))
        self.assertLessEqual(memo.items(), latest.items())
