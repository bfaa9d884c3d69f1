"""docs/reference/audit-log.md agrees with the code."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

import egress
from egress.audit import AuditSettings
from egress.audit.encoder import LineEncoder
from egress.audit.fields import EVENTS, FIELDS, REPEATED_FIELDS
from egress.audit.refusal_folding import CEILINGS, CLIENTS, DESTINATIONS_PER_CLIENT, FOLD_SECONDS, FOLDS
from egress.audit.repeated import Repeated
from egress.audit.settings import ON_LOSS, PATHS, SINKS
from egress.audit.timestamps import TimestampFormat
from egress.cli import audit
from egress.cli.tail import tail
from egress.config import structure
from tests.audit.fakes import make_event

DOCUMENT = Path(next(iter(egress.__path__))).parent / "docs" / "reference" / "audit-log.md"


class AuditLogDocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.text = DOCUMENT.read_text(encoding="ascii")

    def rows(self, heading: str) -> list[tuple[str, str]]:
        """Give the first column, without backquotes, and the last one of the table under a header row."""
        table = self.text.split(f"\n{heading}\n", 1)[1].split("\n\n", 1)[0]
        cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[1:]]
        return [(row[0].strip("`"), row[-1]) for row in cells]

    def test_fields(self) -> None:
        """Every field of a line is documented, in its order and in the code's words."""
        self.assertEqual([(name, field.meaning) for name, field in FIELDS.items()], self.rows("| field | meaning |"))

    def test_further_fields(self) -> None:
        """So are the further fields of counted lines."""
        wanted = [(name, field.meaning) for name, field in REPEATED_FIELDS.items()]
        self.assertEqual(wanted, self.rows("| further field | meaning |"))
        line = Repeated(make_event("repeated"), 2, "a", 0.0).encode(LineEncoder("none"), TimestampFormat())
        self.assertEqual([*FIELDS, *REPEATED_FIELDS], list(json.loads(line)))

    def test_bounds_of_refusals(self) -> None:
        """So are the bounds of lines about refusals."""
        text = " ".join(self.text.split())
        for words in (
            f"Every {FOLD_SECONDS:.0f} seconds, at a rotation",
            f"at most {DESTINATIONS_PER_CLIENT} kinds at a time",
            f"at most {CLIENTS:,} clients and {FOLDS:,} kinds at a time",
            f"at most {CEILINGS} times `refusal_bytes_per_second`",
        ):
            self.assertIn(words, text)

    def test_conventions(self) -> None:
        """The page gives for each field the names of OpenTelemetry and ECS that the code gives."""
        fields = {**FIELDS, **REPEATED_FIELDS}
        wanted = [(name, field.otel, field.ecs) for name, field in fields.items() if field.otel or field.ecs]
        table = self.text.split("\n| field | OpenTelemetry | ECS |\n", 1)[1].split("\n\n", 1)[0]

        found = [tuple(cell.strip(" `") for cell in row.strip("|").split("|")) for row in table.splitlines()[1:]]

        self.assertEqual(wanted, found)
        for _, otel, ecs in found:
            self.assertTrue("." in otel or otel in ("", "Timestamp", "EventName"), otel)
            self.assertTrue("." in ecs or ecs in ("", "@timestamp"), ecs)

    def test_events(self) -> None:
        """So is every event."""
        self.assertEqual(list(EVENTS.items()), self.rows("| event | meaning |"))

    def test_settings(self) -> None:
        """So is every setting with its default, and the example is the default."""
        rows = self.rows("| key | default | meaning |")
        example = re.search(r"```toml\n(.*?)```", self.text, re.DOTALL)
        assert example is not None

        self.assertEqual([field.name for field in attrs.fields(AuditSettings)], [key for key, _ in rows])
        table = tomllib.loads(example[1])["audit"]
        self.assertEqual([key for key, _ in rows], list(table))
        self.assertEqual(AuditSettings(), structure(AuditSettings, table))
        for word in (*SINKS, *PATHS, *ON_LOSS):
            self.assertIn(f'`"{word}"`', self.text)

    def test_exit_statuses(self) -> None:
        """So is every exit status of `egress audit verify`."""
        statuses = [value for name, value in vars(audit).items() if name.startswith("EXIT_")]

        self.assertEqual(sorted(statuses), [int(status) for status, _ in self.rows("| exit status | word | meaning |")])

    def test_options(self) -> None:
        """So is every option of `egress tail`."""
        documented = {option.split()[0] for option, _ in self.rows("| option | meaning |")}
        known = {
            (parameter.secondary_opts or parameter.opts)[0] for parameter in tail.params if parameter.opts[0][0] == "-"
        }

        self.assertEqual(known, documented)
