"""The summary of a prepared configuration."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.task import Clock

from egress.service.build.prepare import Prepared
from egress.service.build.summary import allows_nothing, summary
from egress.service.dry_run import make_dry_run
from egress.service.settings.source import load
from tests.service.reload.downgrades.support import ACME, RATE, RULES, DowngradeCase, policies_of

MIRRORS = '[[policy]]\nkind = "mirrors"\n'


class SummaryTests(DowngradeCase):
    """Counts, and whether anything is allowed."""

    def prepared(self, text: str) -> Prepared:
        """Prepare a file, with policies of third parties."""
        empty = make_dry_run(load(None), Clock(), {}).prepared
        settings = self.load(text)
        return evolve(empty, source=evolve(empty.source, settings=settings), policies=policies_of(settings))

    def test_counts(self) -> None:
        """Policies and rules that allow or deny are counted, with the right noun."""
        for text, words in (
            ("", "0 policies, 0 rules, guard on"),
            (RULES, "1 policy, 3 rules, guard on"),
            (RATE + "[guard]\nenabled = false\n", "1 policy, 0 rules, guard off"),
            (ACME, "1 policy, 0 rules, guard on"),
            (MIRRORS + 'hosts = ["a.example"]\ndenied = ["b.example"]\nlevel = 1\n', "1 policy, 2 rules, guard on"),
        ):
            self.assertEqual(words, summary(self.prepared(text)))

    def test_allows_nothing(self) -> None:
        """That nothing is allowed is known of every policy that describes itself, and claimed of no other."""
        for text, is_nothing in (
            ("", True),
            (RATE, True),
            (RULES, False),
            (RULES.partition("[[policy.allow]]")[0], True),
            (RULES.replace("[[policy]]\n", '[[policy]]\nmode = "audit"\n'), True),
            (ACME, False),
            (ACME + 'mode = "audit"\n', True),
            (MIRRORS + 'denied = ["a.example"]\n', True),
            (MIRRORS + 'hosts = ["a.example"]\n', False),
        ):
            self.assertEqual(is_nothing, allows_nothing(self.prepared(text)), text)
