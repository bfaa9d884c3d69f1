"""conf/egress.toml and docs/reference/configuration.md document every key correctly."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.service.dry_run import make_dry_run
from egress.service.settings.source import load
from tests.service.walk import Key, all_keys

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "conf" / "egress.toml"
DOCUMENT = ROOT / "docs" / "reference" / "configuration.md"

# Tables whose keys the writer chooses.
OPEN_TABLES = {key.path.rpartition(".")[2] for key in all_keys() if key.words.startswith("table of ")}

# `#key = value` is a key that is left at its default; prose has a space behind the sign.
_commented = re.compile(r"^#(?=[a-z_]+ = |\[)", re.MULTILINE).sub
_row = re.compile(r"\| `([a-z_.\[\]]+)` \| (.*?) \| (.*?) \| (.+) \|$", re.MULTILINE).finditer


def paths(table: dict[str, object], where: str = "") -> Iterator[tuple[str, object]]:
    """Give every key of a document with its value, in the spelling of `all_keys`."""
    for key, value in table.items():
        path = f"{where}{key}"
        if isinstance(value, dict) and key not in OPEN_TABLES:
            yield from paths(value, f"{path}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for each in value:
                kind = f"{each['kind']}[]" if key == "policy" else f"{path}[]"
                yield from paths(each, f"{kind}.")
        else:
            yield path, value


class ExampleTests(SynchronousTestCase):
    """The example file."""

    def test_loads(self) -> None:
        """The example is a configuration that the proxy would start with."""
        prepared = make_dry_run(load(str(EXAMPLE)), Clock()).prepared

        self.assertEqual(["destinations", "pace"], [policy.name for policy in prepared.policies])

    def test_loads_with_everything_uncommented(self) -> None:
        """What is commented out in it is right as well."""
        name = self.mktemp()
        Path(name).write_text(_commented("", EXAMPLE.read_text("utf-8")), "utf-8")

        prepared = make_dry_run(load(name), Clock()).prepared

        self.assertEqual(["agents", "builder"], [each.name for each in prepared.source.settings.listener])

    def test_holds_every_key(self) -> None:
        """Every key that there is stands in it."""
        shown = {path for path, _ in paths(tomllib.loads(_commented("", EXAMPLE.read_text("utf-8"))))}
        # A deny rule has the keys of an allow rule; showing them once is enough.
        wanted = {key.path for key in all_keys() if ".deny[]." not in key.path}

        self.assertEqual(set(), wanted - shown)

    def test_commented_values_are_the_defaults(self) -> None:
        """A key that is commented out shows what it is by default."""
        active = dict(paths(tomllib.loads(EXAMPLE.read_text("utf-8"))))
        whole = dict(paths(tomllib.loads(_commented("", EXAMPLE.read_text("utf-8")))))
        known = {key.path: key for key in all_keys()}
        compared = 0
        for path in whole.keys() - active.keys():
            if path in known and known[path].default not in ("none", "required"):
                self.assertEqual(tomllib.loads(f"x = {known[path].default}")["x"], whole[path], path)
                compared += 1
        self.assertGreater(compared, 30)


class DocumentTests(SynchronousTestCase):
    """The documentation of the configuration."""

    def test_keys_types_and_defaults(self) -> None:
        """It has a row for every key, with its type, its default and a meaning, and no row for anything else."""
        rows = {row[1]: Key(row[1], row[2], row[3].strip("`")) for row in _row(DOCUMENT.read_text("utf-8"))}
        wanted = {key.path: key for key in all_keys() if ".deny[]." not in key.path}

        self.assertEqual({"policy[].kind", "policy[].name", "policy[].mode"}, rows.keys() - wanted.keys())
        for path, key in wanted.items():
            self.assertEqual(key, rows.get(path))
