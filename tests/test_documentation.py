"""The documentation as a whole: links, the index, pictures, paths, and words that are no longer used."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from egress.proxy.states import CLIENT_CONNECTION, EXCHANGE, TRANSACTION, TUNNEL, TUNNEL_INSPECTION
from egress.service.dry_run import make_dry_run
from egress.service.settings.source import load
from tests.documents import DOCS, blocks_of

ROOT = DOCS.parent
INDEX = DOCS / "index.md"
PAGES = (ROOT / "README.md", ROOT / "bench" / "README.md", *sorted(DOCS.rglob("*.md")))

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_PATH = re.compile(r"`((?:egress|tests|bench|docs|conf|systemd|twisted)/[\w./-]+)`")

RETIRED = re.compile(r"\b(roads?|doors?|passages?|travell?ers?|rehears\w*|newcomers?|journals?)\b", re.IGNORECASE)
"""The vocabulary before 0.1. `journald` is systemd's name, and no match."""

# Where a retired word may stand, and why.
EXCEPTIONS = {
    "newsfragments/+words.removal.md": "names what was renamed",
    "egress/audit/journald.py": "the journal of systemd",
}


def prose(page: Path) -> str:
    """Give the text of a page without its fenced code."""
    return _FENCED.sub("", page.read_text("utf-8"))


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Give every relative link of a page: as it is written, the file that it names, and the anchor or ""."""
    for link in _LINK.findall(prose(page)):
        if not re.match(r"[a-z]+:", link):
            name, _, anchor = link.partition("#")
            yield link, (page.parent / name).resolve() if name else page, anchor


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = sum(other == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", other) is not None for other in found)
        found.add(f"{slug}-{count}" if count else slug)
    return found


def retired_words(path: Path) -> list[str]:
    """Give the lines of a file that have a retired word, with the words."""
    lines = enumerate(path.read_text("utf-8").splitlines(), 1)
    return [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}" for number, line in lines for match in RETIRED.finditer(line)
    ]


class LinkTests(SynchronousTestCase):
    """Readers arrive where links lead."""

    def test_relative_links(self) -> None:
        """Every relative link leads to a file that exists, and to a heading of it where it has an anchor."""
        broken = []
        for page in PAGES:
            for link, target, anchor in links(page):
                if not target.exists() or (anchor and anchor not in anchors(target)):
                    broken.append(f"{page.relative_to(ROOT)}: {link}")
        self.assertEqual(broken, [])

    def test_index(self) -> None:
        """Every page can be reached from the index, and the index from the README."""
        reached, waiting = {INDEX}, [INDEX]
        while waiting:
            for _, target, _ in links(waiting.pop()):
                if target.suffix == ".md" and target not in reached:
                    reached.add(target)
                    waiting.append(target)
        self.assertEqual(set(PAGES) - reached, set())
        self.assertIn(INDEX, {target for _, target, _ in links(ROOT / "README.md")})

    def test_paths(self) -> None:
        """Every file and directory of the tree that a page names exists."""
        named = {(page.name, path) for page in PAGES for path in _PATH.findall(prose(page))}
        self.assertEqual({each for each in named if not (ROOT / each[1]).exists()}, set())
        self.assertGreater(len(named), 30)

    def test_anchors(self) -> None:
        """Anchors are made as GitHub makes them: of small letters, hyphens, and a number for each repetition."""
        page = Path(self.mktemp())
        page.write_text("# `[[route]]` of A-B\n## The same\n## The same\n```\n# no heading\n```\n", "utf-8")

        self.assertEqual(anchors(page), {"route-of-a-b", "the-same", "the-same-1"})


class PictureTests(SynchronousTestCase):
    """The pictures show what the code says."""

    def test_drawn(self) -> None:
        """Each picture that docs/draw.py draws is checked in as it draws it now: run `python docs/draw.py`."""
        drawn = runpy.run_path(str(DOCS / "draw.py"))["pictures"]()
        self.assertGreater(len(drawn), 1)
        for name, text in drawn.items():
            self.assertTrue((DOCS / "explanation" / name).read_text("utf-8") == text, name)

    def test_states(self) -> None:
        """The page of the states lists every state and every event of the tables, and no other."""
        listed = re.findall(
            r"^\| ((?:`\w+`(?:, )?)+) \|", (DOCS / "explanation" / "states.md").read_text("utf-8"), re.MULTILINE
        )
        words = {word for cell in listed for word in re.findall(r"\w+", cell)}
        tables = (CLIENT_CONNECTION, TRANSACTION, EXCHANGE, TUNNEL_INSPECTION, TUNNEL)
        states = {state for table in tables for state in table}
        events = {event for table in tables for events in table.values() for event in events}
        self.assertEqual(words - states - events, set())
        self.assertEqual(states - words, set())
        self.assertEqual(events - words, set())


class TutorialTests(SynchronousTestCase):
    """The tutorial's configuration is accepted."""

    def test_configuration(self) -> None:
        """Its file is valid as it is first written, and with what is added later."""
        first, added = blocks_of(DOCS / "tutorial" / "first-steps.md", "toml")
        for text in (first, f"{first}\n{added}"):
            name = self.mktemp()
            Path(name).write_text(text, "utf-8")
            make_dry_run(load(name), Clock())


class WordTests(SynchronousTestCase):
    """One word for one thing: those of docs/glossary.md."""

    def test_retired_words(self) -> None:
        """No page, example, unit or module has a word of the vocabulary before 0.1."""
        found = []
        for top in ("README.md", "NEWS.md", "newsfragments", "docs", "bench", "conf", "systemd", "egress", "twisted"):
            path = ROOT / top
            for file in [path] if path.is_file() else sorted(path.rglob("*")):
                is_text = file.suffix in (".md", ".py", ".toml", ".service", ".socket", ".svg")
                if is_text and str(file.relative_to(ROOT)) not in EXCEPTIONS:
                    found += retired_words(file)
        self.assertEqual(found, [])

    def test_exceptions(self) -> None:
        """Each exception is needed."""
        self.assertEqual([name for name in EXCEPTIONS if not retired_words(ROOT / name)], [])
