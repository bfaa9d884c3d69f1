"""A plan on its way to the launcher."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.contain.plan import Plan
from egress.contain.view import View

# As from os.fsdecode: any octets but zero.
WORDS = st.binary(max_size=20).map(lambda octets: octets.replace(b"\0", b"").decode("utf-8", "surrogateescape"))


class PlanTests(SynchronousTestCase):
    """What is sent is what is received."""

    @given(command=st.lists(WORDS, min_size=1), environment=st.dictionaries(WORDS, WORDS), paths=st.lists(WORDS))
    def test_round_trip(self, command: list[str], environment: dict[str, str], paths: list[str]) -> None:
        """Any words pass unchanged, also those that are not UTF-8."""
        plan = Plan(tuple(command), environment, View("/home/joe", "/srv", tuple(paths), ("/opt",)))

        self.assertEqual(plan, Plan.load(plan.dump()))
