"""The trace of an evaluation that is no explanation."""

from __future__ import annotations

import inspect

from twisted.trial.unittest import SynchronousTestCase

from egress.gate.explanation import Explanation
from egress.gate.trace import NO_TRACE, Trace
from egress.model import Outcome, Resolution, RoutePlan, Verdict


def record(trace: Trace) -> None:
    """Record every result once."""
    trace.said(Verdict(Outcome.DENY, "a"), False)
    trace.said(Verdict(Outcome.DENY, "b"), True)
    trace.planned(RoutePlan("direct", "none"))
    trace.resolved(Resolution("a.example", ()))
    trace.guarded("passed")


class TraceTests(SynchronousTestCase):
    """The two providers of `Trace`."""

    def test_no_trace(self) -> None:
        """All evaluations share one trace that keeps nothing and ends a round at the first DENY."""
        record(NO_TRACE)

        self.assertFalse(NO_TRACE.asks_everybody)
        self.assertEqual({}, vars(NO_TRACE))

    def test_explanation(self) -> None:
        """An explanation keeps each result in its place, and asks every policy."""
        explanation = Explanation()
        record(explanation)

        self.assertTrue(explanation.asks_everybody)
        self.assertEqual(["a"], [verdict.policy for verdict in explanation.first])
        self.assertEqual(["b"], [verdict.policy for verdict in explanation.second])
        self.assertEqual(RoutePlan("direct", "none"), explanation.plan)
        self.assertEqual(Resolution("a.example", ()), explanation.resolution)
        self.assertEqual("passed", explanation.guard)

    def test_arguments(self) -> None:
        """Both take the arguments of the protocol."""
        methods = [name for name, _ in inspect.getmembers(Trace, inspect.isfunction) if not name.startswith("_")]

        self.assertEqual(["guarded", "planned", "resolved", "said"], methods)
        for name in methods:
            expected = inspect.signature(getattr(Trace, name))
            for provider in (type(NO_TRACE), Explanation):
                self.assertEqual(expected, inspect.signature(getattr(provider, name)), name)
