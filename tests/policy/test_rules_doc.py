"""The reference of rules and guard, held against the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from egress.config import structure
from egress.policy.destinations import make_destinations
from egress.policy.guard import GuardSettings
from egress.policy.rules import DestinationsSettings, RuleSettings
from egress.testing import FakeHost

_text = (Path(__file__).parents[2] / "docs" / "reference" / "rules.md").read_text("utf-8")


def _table_keys(heading: str) -> set[str]:
    """Read the first column of the first table under a heading."""
    section = _text.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    table = section.split("|---|", 1)[1].split("\n\n", 1)[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def _fields(cls: type[attrs.AttrsInstance]) -> set[str]:
    return {field.name for field in attrs.fields(cls)}


class RulesDocumentTests(SynchronousTestCase):
    """What operators read is what they get."""

    def test_every_key_is_there(self) -> None:
        """The tables list the keys that there are, and no others."""
        self.assertEqual(_table_keys("## The keys of a `destinations` policy"), _fields(DestinationsSettings))
        self.assertEqual(_table_keys("## The keys of a rule"), _fields(RuleSettings))
        self.assertEqual(_table_keys("## The guard"), _fields(GuardSettings))

    def test_examples(self) -> None:
        """Every example is accepted."""
        examples = [tomllib.loads(example) for example in re.findall(r"```toml\n(.*?)```", _text, re.DOTALL)]
        self.assertEqual(len(examples), 3)
        for example in examples:
            if "guard" in example:
                structure(GuardSettings, example["guard"])
                continue
            tables = example["policy"] if isinstance(example["policy"], list) else [example["policy"]]
            for table in tables:
                table.pop("kind", None)
                make_destinations("destinations", table, FakeHost())
