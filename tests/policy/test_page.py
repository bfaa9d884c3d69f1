"""docs/reference/policies.md agrees with the code."""

from __future__ import annotations

import re
import tomllib

from attrs import fields
from twisted.trial.unittest import SynchronousTestCase

from egress import plugins
from egress.policy.rate import BUCKETS_LIMIT, RateSettings
from egress.policy.registry import build_policies, find_makers
from egress.testing import FakeHost
from tests.documents import DOCS, blocks_of

PAGE = DOCS / "reference" / "policies.md"


class PageTests(SynchronousTestCase):
    """The page and the code do not drift apart."""

    def test_examples(self) -> None:
        """Every example builds."""
        examples = blocks_of(PAGE, "toml")
        self.assertEqual(len(examples), 3)

        for example in examples:
            self.assertTrue(build_policies(tomllib.loads(example)["policy"], find_makers(plugins), FakeHost()))

    def test_rate_keys(self) -> None:
        """The table of `rate` and its example have every key, and no other."""
        keys = [field.name for field in fields(RateSettings)]
        section = PAGE.read_text("utf-8").partition("## `rate`")[2]

        self.assertEqual(re.findall(r"^\| `(\w+)` \|", section, re.M), keys)
        (table,) = tomllib.loads(blocks_of(PAGE, "toml")[-1])["policy"]
        self.assertEqual(set(table) - {"kind"}, set(keys))

    def test_numbers(self) -> None:
        """Numbers on the page are those of the code."""
        self.assertIn(f"{BUCKETS_LIMIT:,} buckets", PAGE.read_text("utf-8"))
