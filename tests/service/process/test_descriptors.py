"""The limit of open files, and what it permits."""

from __future__ import annotations

import resource

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from egress.api.settings import CONNECTIONS_LIMIT
from egress.errors import ConfigError
from egress.proxy.limits import Limits
from egress.service.process.descriptors import (
    _CONTROL,
    _FILES,
    _OURS,
    _PER_LISTENER,
    _PER_LOOK_UP,
    _REFUSED,
    MIN_CONNECTIONS,
    DescriptorBudget,
    fit,
    raise_descriptor_limit,
    read_descriptor_limit,
)
from egress.service.settings.settings import Settings
from tests.documents import DOCS

ENOUGH = 65_536


class FitTests(SynchronousTestCase):
    """Limits and descriptors."""

    def test_enough(self) -> None:
        """With enough descriptors every limit is as it was configured, and nothing is said."""
        fitted = fit(Settings(), ENOUGH)

        self.assertEqual((Limits(), ""), (fitted.limits, fitted.warning))
        self.assertLess(fitted.ceiling, ENOUGH - 64)

    def test_too_few(self) -> None:
        """With too few there are fewer connections, in the configured proportions; the warning has the numbers."""
        fitted = fit(Settings(), 4_096)

        self.assertEqual((1_499, 1_124, 512), (
            fitted.limits.connections, fitted.limits.connections_per_client, fitted.limits.pool_connections
        ))  # fmt: skip
        self.assertEqual(
            "4096 descriptors (RLIMIT_NOFILE) permit only limits.connections = 1499 (not 8192), "
            "limits.connections_per_client = 1124 (not 6144); 488 are reserved",
            fitted.warning,
        )
        changed = {"connections", "connections_per_client"}
        self.assertEqual(evolve(Limits(), **{name: getattr(fitted.limits, name) for name in changed}), fitted.limits)

    def test_pool(self) -> None:
        """The pool gives way before connections do, and takes what few connections leave."""
        limits = fit(Settings(), 1_024).limits
        self.assertEqual((251, 167), (limits.connections, limits.pool_connections))
        few = Settings(limits=Limits(connections=100, connections_per_client=100))
        self.assertEqual((100, 100, 470), (
            (limits := fit(few, 1_024).limits).connections, limits.connections_per_client, limits.pool_connections
        ))  # fmt: skip

    def test_documentation(self) -> None:
        """The page on limits has this warning, and the parts of the budget."""
        text = " ".join((DOCS / "reference" / "limits.md").read_text("utf-8").split())

        self.assertIn(fit(Settings(), 4_096).warning, text)
        for words in (
            f"| the process itself | {_OURS}, and {_PER_LISTENER} for each listener |",
            f"| clients that are being refused | {_REFUSED}, at most a sixteenth of all |",
            f"| {CONNECTIONS_LIMIT + _CONTROL + _FILES} and {_PER_LOOK_UP} for each of `dns.concurrent`, at most",
            f"If even {MIN_CONNECTIONS} connections do not fit",
        ):
            self.assertIn(words, text)

    def test_far_too_few(self) -> None:
        """What permits no proxy is an error that names the key and the number."""
        error = self.assertRaises(ConfigError, fit, Settings(), 64)

        self.assertEqual("limits.connections", error.where)
        self.assertIn("64 descriptors (RLIMIT_NOFILE) permit no proxy", error.problem)

    @given(
        descriptors=st.integers(0, 70_000),
        connections=st.integers(1, 40_000),
        per_client=st.integers(1, 40_000),
        pool=st.integers(0, 10_000),
    )
    def test_fits(self, descriptors: int, connections: int, per_client: int, pool: int) -> None:
        """Whatever is configured: connections, their origins and the pool have descriptors below the reserve."""
        configured = Limits(connections=connections, connections_per_client=per_client, pool_connections=pool)
        settings = Settings(limits=configured)
        try:
            fitted = fit(settings, descriptors)
        except ConfigError:
            self.assertLess(descriptors, 128)
            return

        limits = fitted.limits
        self.assertLess(2 * limits.connections + limits.pool_connections, fitted.ceiling)
        self.assertLess(fitted.ceiling, descriptors)
        self.assertLessEqual(limits.connections, connections)
        self.assertLessEqual(limits.connections_per_client, per_client)
        self.assertLessEqual(limits.pool_connections, pool)
        self.assertGreaterEqual(limits.connections, min(MIN_CONNECTIONS, connections))
        self.assertEqual(limits == configured, fitted.warning == "")
        if per_client < connections:
            self.assertLessEqual(limits.connections_per_client, max(1, limits.connections))


class LimitTests(SynchronousTestCase):
    """The limit of the process."""

    def test_raised(self) -> None:
        """The limit that holds afterwards is told, and raising it twice changes nothing."""
        self.assertEqual(raise_descriptor_limit(), raise_descriptor_limit())
        self.assertEqual(raise_descriptor_limit(), read_descriptor_limit())

    def test_no_limit(self) -> None:
        """A process without a limit is limited by nothing."""
        self.patch(resource, "getrlimit", lambda _kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        self.assertEqual(Limits(), fit(Settings(), read_descriptor_limit()).limits)

    def test_budget(self) -> None:
        """The ceiling is that of the configuration that was applied last."""
        budget = DescriptorBudget(lambda: 1_024)
        fitted = budget.fit(Settings())
        self.assertGreater(budget.ceiling.number, 1 << 40)

        budget.apply(fitted)

        self.assertEqual(768, budget.ceiling.number)
